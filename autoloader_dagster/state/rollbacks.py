"""Rolls back what was recorded: batches that main held once and does not hold any more.

Main was rolled back by hand, or the table was dropped and created again. The table is the truth, so
their files are not loaded any more; whether they are to be loaded again is for the caller to say.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.state.database import Database, now, one_of
from autoloader_dagster.state.file_ids import write_ids
from autoloader_dagster.state.guarded import write_guarded
from autoloader_dagster.state.models import StoredBatch, StoredFile
from autoloader_dagster.state.rebuild import write_loaded
from autoloader_dagster.state.records import (
    FILE_CHANGED,
    DisplacedFile,
    FileStatus,
    Guard,
    LoadedFile,
    RolledBack,
    no_guard,
)
from autoloader_dagster.state.transitions import ALL, move

_DISPLACED: tuple[FileStatus, ...] = ("REPLACED", "UNDONE")
_NOT_LOADED: tuple[FileStatus, ...] = tuple(status for status in ALL if status != "SUCCESS")


class Rollbacks:
    """What main has lost."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def loaded_batches(
        self, table: str, ingestion_id: str | None = None, but_table_id: str | None = None
    ) -> dict[BatchId, int]:
        """The recorded batches of a table that have loaded files, and how many rows these have.

        Args:
            table: The table.
            ingestion_id: Whose batches; None for those of all that load it.
            but_table_id: Leave out the batches that went to this table of that name.
        """
        with self._database.reading() as connection:
            chosen = (
                select(StoredBatch.id, func.sum(func.coalesce(StoredFile.rows, 0)))
                .join(StoredFile, StoredFile.batch_id == StoredBatch.id)
                .where(
                    StoredBatch.table == table,
                    StoredBatch.status == "RECORDED",
                    StoredFile.status == "SUCCESS",
                )
                .group_by(StoredBatch.id)
            )
            if ingestion_id is not None:
                chosen = chosen.where(StoredBatch.ingestion_id == ingestion_id)
            if but_table_id is not None:
                chosen = chosen.where(
                    or_(StoredBatch.table_id.is_(None), StoredBatch.table_id != but_table_id)
                )
            return {batch_id: int(rows) for batch_id, rows in connection.execute(chosen)}

    def displaced_by(self, batch_id: BatchId) -> list[DisplacedFile]:
        """The file versions whose rows this batch took out: it replaced or undid them."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(
                    StoredFile.id,
                    StoredFile.file_path,
                    StoredFile.batch_id,
                    func.coalesce(StoredFile.rows, 0),
                )
                .join(StoredBatch, StoredBatch.ingestion_id == StoredFile.ingestion_id)
                .where(
                    StoredBatch.id == batch_id,
                    StoredFile.status.in_(_DISPLACED),
                    StoredFile.displaced_by_batch == batch_id,
                    StoredFile.batch_id.is_not(None),
                )
            )
            return [DisplacedFile(*row) for row in rows]

    def roll_back(
        self,
        batch_id: BatchId,
        snapshot_id: int | None,
        reason: str,
        back_again: Mapping[str, Sequence[LoadedFile]] = MappingProxyType({}),
        guard: Guard = no_guard,
    ) -> RolledBack | None:
        """Roll back a batch that main has lost: its files become UNDONE.

        ``BatchFiles.record`` records it again if it turns up in main again.

        Args:
            batch_id: The batch.
            snapshot_id: The snapshot that it is recorded with; None for any.
            reason: For people.
            back_again: Files whose rows are in main again, by the batch that had loaded them. One
                that another batch has loaded stays, and so do all of a batch that is not recorded.
            guard: As for ``BatchFiles.record``.

        Returns:
            None if it is not recorded, or with another snapshot.
        """
        with self._database.reading() as connection:
            ingestion_id = connection.scalar(
                select(StoredBatch.ingestion_id).where(StoredBatch.id == batch_id)
            )

        def write(connection: Connection) -> RolledBack | None:
            moment = now(connection)
            recorded = and_(StoredBatch.id == batch_id, StoredBatch.status == "RECORDED")
            if snapshot_id is not None:
                recorded = and_(recorded, StoredBatch.snapshot_id == snapshot_id)
            if connection.scalar(select(StoredBatch.id).where(recorded).with_for_update()) is None:
                return None
            loaded = and_(StoredFile.batch_id == batch_id, StoredFile.status == "SUCCESS")
            ids = list(connection.scalars(select(StoredFile.id).where(loaded)))
            move(connection, loaded, ("SUCCESS",), "UNDONE", moment, reason=reason)
            earlier = connection.execute(
                select(StoredBatch.id, StoredBatch.snapshot_id).where(
                    one_of(StoredBatch.id, back_again, connection), StoredBatch.status == "RECORDED"
                )
            ).all()
            for each in earlier:
                write_loaded(
                    connection, each.id, each.snapshot_id, back_again[each.id], _NOT_LOADED
                )
            _release(connection, {batch_id: ids}, reason, moment)
            return RolledBack(str(ingestion_id), len(ids))

        return write_guarded(self._database, ingestion_id, guard, write)

    def requeue_batches(
        self, batch_ids: Collection[str], reason: str, guard: Guard = no_guard
    ) -> int:
        """Requeue the files of batches whose table is gone.

        Where the source has shown a newer version since, that one is requeued instead, also if it
        was left out because the older one was loaded.

        Returns:
            How many files are not loaded any more.
        """
        with self._database.reading() as connection:
            ingestion_ids = connection.scalars(
                select(StoredBatch.ingestion_id)
                .where(one_of(StoredBatch.id, batch_ids, connection))
                .distinct()
                .order_by(StoredBatch.ingestion_id)
            ).all()
        return sum(
            _requeue_of(self._database, each, batch_ids, reason, guard) for each in ingestion_ids
        )

    def requeue_files(
        self,
        ingestion_id: str,
        loaded_by: Mapping[int, str],
        reason: str,
        guard: Guard = no_guard,
    ) -> int:
        """Requeue loaded files whose rows are gone, as ``requeue_batches`` does for batches.

        Args:
            ingestion_id: ``tenant/name``.
            loaded_by: For each file the batch whose rows are gone. A file that is not loaded by
                this batch any more stays as it is.
            reason: For people.
            guard: As for ``BatchFiles.record``.

        Returns:
            How many files were loaded by those batches.
        """

        def write(connection: Connection) -> int:
            held = connection.execute(
                select(StoredFile.id, StoredFile.batch_id)
                .where(
                    StoredFile.ingestion_id == ingestion_id,
                    one_of(StoredFile.id, loaded_by, connection),
                    StoredFile.status == "SUCCESS",
                )
                .with_for_update()
            )
            ids = [row.id for row in held if row.batch_id == loaded_by[row.id]]
            if not ids:
                return 0
            still = and_(one_of(StoredFile.id, ids, connection), StoredFile.status == "SUCCESS")
            _requeue(connection, still, reason, now(connection))
            return len(ids)

        return write_guarded(self._database, ingestion_id, guard, write)


def _requeue_of(
    database: Database, ingestion_id: str, batch_ids: Collection[str], reason: str, guard: Guard
) -> int:

    def write(connection: Connection) -> int:
        moment = now(connection)
        still = list(
            connection.scalars(
                select(StoredBatch.id)
                .where(
                    one_of(StoredBatch.id, batch_ids, connection),
                    StoredBatch.ingestion_id == ingestion_id,
                    StoredBatch.status == "RECORDED",
                )
                .with_for_update()
            )
        )
        loaded = and_(
            one_of(StoredFile.batch_id, still, connection), StoredFile.status == "SUCCESS"
        )
        files: dict[str, list[int]] = {batch_id: [] for batch_id in still}
        for batch_id, file_id in connection.execute(
            select(StoredFile.batch_id, StoredFile.id).where(loaded)
        ):
            files[batch_id].append(file_id)
        _requeue(connection, loaded, reason, moment)
        _release(connection, files, reason, moment)
        return sum(len(ids) for ids in files.values())

    return write_guarded(database, ingestion_id, guard, write)


def _requeue(
    connection: Connection, loaded: ColumnElement[bool], reason: str, moment: datetime
) -> None:
    """Requeue loaded files, or the newer versions of their paths."""
    _requeue_newer(connection, loaded, reason, moment)
    outdated = and_(loaded, _has_newer())
    move(connection, outdated, ("SUCCESS",), "REPLACED", moment, reason=reason)
    move(connection, loaded, ("SUCCESS",), "DISCOVERED", moment, reason=reason)


def _has_newer() -> ColumnElement[bool]:
    """Whether the source has shown another version of the path since this one."""
    newer = aliased(StoredFile)
    return exists().where(
        newer.ingestion_id == StoredFile.ingestion_id,
        newer.file_path == StoredFile.file_path,
        newer.id > StoredFile.id,
        newer.status != "REPLACED",
    )


def _requeue_newer(
    connection: Connection, loaded: ColumnElement[bool], reason: str, moment: datetime
) -> None:
    """Requeue versions that were left out because an older one was loaded.

    Of a path only the latest waits, because the source has one version of it at a time.
    """
    older = (
        select(StoredFile.ingestion_id, StoredFile.file_path, StoredFile.id)
        .where(loaded)
        .subquery()
    )
    left_out = or_(
        and_(StoredFile.status == "SKIPPED", StoredFile.error_type.is_(None)),
        and_(StoredFile.status == "QUARANTINED", StoredFile.error_type == FILE_CHANGED),
    )
    found = connection.execute(
        select(StoredFile.id, _has_newer().label("outdated"))
        .join(
            older,
            and_(
                older.c.ingestion_id == StoredFile.ingestion_id,
                older.c.file_path == StoredFile.file_path,
                older.c.id < StoredFile.id,
            ),
        )
        .where(left_out)
    ).all()
    outcomes: tuple[tuple[FileStatus, bool], ...] = (("DISCOVERED", False), ("REPLACED", True))
    for to, outdated in outcomes:
        ids = {row.id for row in found if bool(row.outdated) is outdated}
        chosen = one_of(StoredFile.id, ids, connection)
        move(
            connection,
            chosen,
            ("SKIPPED", "QUARANTINED"),
            to,
            moment,
            reason=reason,
            retry_count=0,
        )


def _release(
    connection: Connection, files: dict[str, list[int]], reason: str, moment: datetime
) -> None:
    """The batches stay, so that they can be recorded again if they turn up in main again."""
    if not files:
        return
    connection.execute(
        update(StoredBatch)
        .where(StoredBatch.id == bindparam("batch"))
        .values(
            status="RELEASED",
            snapshot_id=null(),
            finished_at=moment,
            error=reason,
            released_files=bindparam("ids"),
        ),
        [{"batch": batch_id, "ids": write_ids(ids)} for batch_id, ids in files.items()],
    )
