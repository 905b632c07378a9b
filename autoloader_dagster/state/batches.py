"""Reads batches with their files."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, false, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from autoloader_dagster.state.database import Database, now, one_of
from autoloader_dagster.state.file_ids import holds, read_ids
from autoloader_dagster.state.models import StoredBatch, StoredFile
from autoloader_dagster.state.records import Batch, ClaimedFile

# How far back the batches of a file are looked for.
_SEARCHED = 10_000
# A worker is at it, or should be.
OPEN = ("CLAIMED", "WRITTEN")


def batch(database: Database, batch_id: str) -> Batch | None:
    """Read one batch and its files."""
    with database.reading() as connection:
        return find(connection, batch_id)


def stale_batches(
    database: Database,
    ingestion_id: str | None,
    moment: datetime | None,
    over_runs: Collection[str],
) -> list[Batch]:
    """Open batches that nobody works on; see ``ProcessedFiles.stale_batches``."""
    with database.reading() as connection:
        over = one_of(StoredBatch.run_id, over_runs, connection) if over_runs else false()
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
        found = [find(connection, batch_id) for batch_id in list(connection.scalars(stale))]
        return [each for each in found if each]


def find(connection: Connection, batch_id: str) -> Batch | None:
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
        table_uuid=row.table_uuid,
        status=row.status,
        owner=row.lease_owner,
        run_id=row.run_id,
        attempt=row.attempt,
        base_snapshot_id=row.base_snapshot_id,
        snapshot_id=row.snapshot_id,
        lease_expires_at=row.lease_expires_at,
        files=_claimed_files(connection, members),
    )


def batches_of(database: Database, ingestion_id: str, file_ids: Collection[int]) -> list[str]:
    """Ids of the recorded batches that had these files, the oldest first."""
    latest = (
        select(StoredBatch.id, StoredBatch.member_files)
        .where(
            StoredBatch.ingestion_id == ingestion_id,
            StoredBatch.status == "RECORDED",
            StoredBatch.member_files.is_not(None),
        )
        .order_by(StoredBatch.started_at.desc(), StoredBatch.id.desc())
        .limit(_SEARCHED)
    )
    ids = sorted(file_ids)
    with database.reading() as connection:
        found = [row.id for row in connection.execute(latest) if holds(row[1], ids)]
    return found[::-1]


def is_loaded(status: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether a row that was found by its path is loaded.

    Not a plain comparison: SQLite would then go through all loaded files by the index on the status
    instead of through the few rows of the path.
    """
    return func.coalesce(status, "") == "SUCCESS"


def _claimed_files(connection: Connection, members: ColumnElement[bool]) -> tuple[ClaimedFile, ...]:
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
    return tuple(ClaimedFile(*row[:-1], replaces=bool(row[-1])) for row in rows)
