"""Reads batches, with their files or without. Nothing here writes."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    exists,
    false,
    func,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.state.database import Database, now, one_of
from autoloader_dagster.state.file_ids import holds, read_ids
from autoloader_dagster.state.models import StoredBatch, StoredFile
from autoloader_dagster.state.records import (
    Batch,
    BatchFile,
    BatchRow,
    KnownBatch,
)

# How far back the batches of a file are looked for.
_SEARCHED = 10_000
# A worker is at it, or should be.
OPEN = ("CLAIMED", "WRITTEN")
_BATCH_COLUMNS = [StoredBatch.__table__.c[name] for name in BatchRow.__dataclass_fields__]


class Batches:
    """The recorded batches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, batch_id: BatchId) -> Batch | None:
        """Read one batch with its files; None if it is not known."""
        with self._database.reading() as connection:
            return find(connection, batch_id)

    def stale(
        self,
        ingestion_id: str | None = None,
        moment: datetime | None = None,
        ended_runs: Collection[str] = (),
    ) -> list[Batch]:
        """Open batches whose lease ran out, or whose run is one of ``ended_runs``; oldest first."""
        with self._database.reading() as connection:
            over = one_of(StoredBatch.run_id, ended_runs, connection) if ended_runs else false()
            stale = (
                select(StoredBatch.id)
                .where(
                    StoredBatch.status.in_(OPEN),
                    or_(StoredBatch.lease_expires_at < (moment or now(connection)), over),
                )
                .order_by(StoredBatch.started_at, StoredBatch.id)
            )
            if ingestion_id is not None:
                stale = stale.where(StoredBatch.ingestion_id == ingestion_id)
            found = [
                find(connection, BatchId(batch_id)) for batch_id in list(connection.scalars(stale))
            ]
            return [each for each in found if each]

    def of_files(self, ingestion_id: str, file_ids: Collection[int]) -> list[BatchId]:
        """The recorded batches that loaded these file versions or took them out, oldest first.

        Args:
            ingestion_id: Whose files and batches.
            file_ids: Ids of the versions. Of a version that was loaded before batches noted
                their files, only the last batch is known.
        """
        latest = (
            select(StoredBatch.id, StoredBatch.member_files)
            .where(
                StoredBatch.ingestion_id == ingestion_id,
                StoredBatch.status == "RECORDED",
                StoredBatch.member_files.is_not(None),
                StoredBatch.record_number.is_not(None),
            )
            .order_by(StoredBatch.record_number.desc())
            .limit(_SEARCHED)
        )
        ids = sorted(file_ids)
        with self._database.reading() as connection:
            found = [row.id for row in connection.execute(latest) if holds(row[1], ids)]
        return found[::-1]

    def latest(
        self, ingestion_id: str | None = None, run_id: str | None = None, limit: int = 100
    ) -> list[BatchRow]:
        """The latest batches, the newest first."""
        latest = (
            select(*_BATCH_COLUMNS)
            .order_by(StoredBatch.started_at.desc(), StoredBatch.id.desc())
            .limit(limit)
        )
        if ingestion_id is not None:
            latest = latest.where(StoredBatch.ingestion_id == ingestion_id)
        if run_id is not None:
            latest = latest.where(StoredBatch.run_id == run_id)
        with self._database.reading() as connection:
            return [BatchRow(**row) for row in connection.execute(latest).mappings()]

    def recorded_after(
        self, ingestion_id: str, number: int, also: Collection[str], limit: int
    ) -> list[BatchRow]:
        """The batches that were recorded after the one with this number, the oldest first.

        Args:
            ingestion_id: Whose batches.
            number: A ``record_number``; 0 for all of them.
            also: Ids of earlier batches that are wanted too, in whatever status; they come first.
            limit: The most that are given of those after the number.
        """
        of_ingestion = StoredBatch.ingestion_id == ingestion_id
        oldest_first = select(*_BATCH_COLUMNS).order_by(StoredBatch.record_number, StoredBatch.id)
        later = oldest_first.where(
            of_ingestion, StoredBatch.record_number > number, StoredBatch.status == "RECORDED"
        ).limit(limit)
        with self._database.reading() as connection:
            rows = [BatchRow(**row) for row in connection.execute(later).mappings()]
            missing = {*also} - {row.id for row in rows}
            if missing:
                named = oldest_first.where(
                    of_ingestion, one_of(StoredBatch.id, missing, connection)
                )
                rows = [*(BatchRow(**row) for row in connection.execute(named).mappings()), *rows]
        return rows

    def record_number(self, batch_id: BatchId) -> int | None:
        """The number with which a batch was last recorded; None if it was not, or is not known."""
        with self._database.reading() as connection:
            return connection.scalar(
                select(StoredBatch.record_number).where(StoredBatch.id == batch_id)
            )

    def known(self, ids: Collection[str]) -> dict[str, KnownBatch]:
        """Whose they are and what became of them, for those batches that the state knows."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(
                    StoredBatch.id,
                    StoredBatch.ingestion_id,
                    StoredBatch.status,
                    StoredBatch.snapshot_id,
                ).where(one_of(StoredBatch.id, ids, connection))
            )
            return {row.id: KnownBatch(*row[1:]) for row in rows}

    def open_run_ids(self) -> set[str]:
        """The runs that hold open batches."""
        with self._database.reading() as connection:
            runs = select(StoredBatch.run_id).where(StoredBatch.status.in_(OPEN)).distinct()
            return set(connection.scalars(runs))

    def runs_that_loaded(self, run_ids: Collection[str]) -> set[str]:
        """Which of these runs loaded files, whether or not the files are still loaded."""
        # A batch that loads files notes which ones when it is recorded, and keeps that for good.
        was_recorded = and_(StoredBatch.kind == "load", StoredBatch.member_files.is_not(None))
        if not run_ids:
            return set()
        with self._database.reading() as connection:
            runs = select(StoredBatch.run_id).where(
                one_of(StoredBatch.run_id, run_ids, connection), was_recorded
            )
            return set(connection.scalars(runs.distinct()))

    def oldest_open(self, table: str) -> datetime | None:
        """When the oldest batch of a table began at which a worker is, or was when it died."""
        oldest = select(func.min(StoredBatch.started_at)).where(
            StoredBatch.table == table, StoredBatch.status.in_(OPEN)
        )
        with self._database.reading() as connection:
            return connection.scalar(oldest)

    def has_open(self, ingestion_id: str) -> bool:
        """Whether a worker is at a batch of this ingestion, or was when it died."""
        still_open = select(StoredBatch.id).where(
            StoredBatch.ingestion_id == ingestion_id, StoredBatch.status.in_(OPEN)
        )
        with self._database.reading() as connection:
            return connection.scalar(still_open.limit(1)) is not None


def find(connection: Connection, batch_id: BatchId) -> Batch | None:
    """Read a batch and its files."""
    row = connection.execute(
        select(StoredBatch.__table__).where(StoredBatch.id == batch_id)
    ).one_or_none()
    if row is None:
        return None
    if row.kind != "load" or (row.status == "RECORDED" and row.member_files is not None):
        members = one_of(StoredFile.id, read_ids(row.member_files or ""), connection)
    elif row.status in OPEN:
        members = and_(StoredFile.batch_id == batch_id, StoredFile.status == "PROCESSING")
    elif row.status == "RECORDED":
        # Of an earlier version, which noted no files: those that no other batch has loaded since.
        loaded = StoredFile.status.in_(("SUCCESS", "REPLACED", "UNDONE"))
        members = and_(
            StoredFile.batch_id == batch_id, loaded, StoredFile.snapshot_id == row.snapshot_id
        )
    else:
        members = one_of(StoredFile.id, read_ids(row.released_files or ""), connection)
    return Batch(
        batch_id=row.id,
        ingestion_id=row.ingestion_id,
        kind=row.kind,
        table=row.table,
        table_id=row.table_id,
        status=row.status,
        owner=row.lease_owner,
        run_id=row.run_id,
        attempt=row.attempt,
        base_snapshot_id=row.base_snapshot_id,
        snapshot_id=row.snapshot_id,
        lease_expires_at=row.lease_expires_at,
        files=_claimed_files(connection, members),
    )


def last_record_number(connection: Connection, ingestion_id: str) -> int:
    """The highest number of a batch that was recorded; 0 if none was."""
    highest = select(func.max(StoredBatch.record_number))
    return connection.scalar(highest.where(StoredBatch.ingestion_id == ingestion_id)) or 0


def is_loaded(status: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether a row that was found by its path is loaded.

    Not a plain comparison: SQLite would then go through all loaded files by the index on the status
    instead of through the few rows of the path.
    """
    return func.coalesce(status, "") == "SUCCESS"


def _claimed_files(connection: Connection, members: ColumnElement[bool]) -> tuple[BatchFile, ...]:
    other = aliased(StoredFile)
    replaces = exists().where(
        other.ingestion_id == StoredFile.ingestion_id,
        other.file_path == StoredFile.file_path,
        is_loaded(other.status),
        other.id != StoredFile.id,
    )
    rows = connection.execute(
        select(
            StoredFile.id,
            StoredFile.file_path,
            StoredFile.file_size_bytes,
            StoredFile.file_modified_at,
            StoredFile.file_version,
            StoredFile.file_etag,
            StoredFile.partition_key,
            StoredFile.retry_count,
            replaces,
        )
        .where(members)
        .order_by(
            StoredFile.partition_key.nulls_first(),
            StoredFile.file_modified_at,
            StoredFile.file_path,
            StoredFile.id,
        )
    )
    return tuple(BatchFile(*row[:-1], replaces=bool(row[-1])) for row in rows)
