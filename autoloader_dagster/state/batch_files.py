"""Writes down what became of a batch's files: removed from it, or in the table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    and_,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import aliased

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import StateError
from autoloader_dagster.redaction import strike
from autoloader_dagster.state.batches import OPEN, is_loaded, last_record_number
from autoloader_dagster.state.claims import owned
from autoloader_dagster.state.database import Database, now, one_of
from autoloader_dagster.state.file_ids import read_ids, write_ids
from autoloader_dagster.state.followed import move_table_state
from autoloader_dagster.state.guarded import write_guarded
from autoloader_dagster.state.models import StoredBatch, StoredFile
from autoloader_dagster.state.records import (
    BatchKind,
    FileStatus,
    Guard,
    LoadedFile,
    RemovedFile,
    no_guard,
)
from autoloader_dagster.state.transitions import ALL, move

# A state that was lost has listed a loaded file again, and a batch may hold it already.
_LISTED_AGAIN: tuple[FileStatus, ...] = ("DISCOVERED", "PROCESSING", "FAILED")


class BatchFiles:
    """What became of the files of batches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remove(
        self, batch_id: BatchId, owner: str, outcomes: Sequence[RemovedFile], retries: int
    ) -> None:
        """Take files out of the batch without loading them.

        A FAILED file whose tries are used up becomes QUARANTINED.

        Raises:
            LeaseLost: The batch was released or recorded meanwhile.
        """
        with self._database.reading() as connection:
            ingestion_id = connection.scalar(
                select(StoredBatch.ingestion_id).where(StoredBatch.id == batch_id)
            )
        with self._database.writing(ingestion_id) as connection:
            owned(connection, batch_id, owner)
            moment = now(connection)
            rows = connection.execute(
                select(StoredFile.id, StoredFile.retry_count).where(
                    StoredFile.batch_id == batch_id, StoredFile.status == "PROCESSING"
                )
            )
            tries = {row.id: row.retry_count for row in rows}
            # A file that is not held any more was recorded meanwhile, by a batch that loaded it.
            leaving: dict[FileStatus, list[dict[str, Any]]] = defaultdict(list)
            for each in outcomes:
                if each.file_id in tries:
                    status, change = _change(each, tries[each.file_id], retries)
                    leaving[status].append(change)
            for status, changes in leaving.items():
                # A file that is pending again was not processed.
                ended = None if status == "DISCOVERED" else moment
                move(connection, changes, ("PROCESSING",), status, moment, processed_at=ended)

    def record(
        self,
        batch_id: BatchId,
        snapshot_id: int | None,
        files: Sequence[LoadedFile],
        seconds: float,
        *,
        replace: bool = False,
        kind: BatchKind = "load",
        ingestion_id: str | None = None,
        tenant: str | None = None,
        table: str | None = None,
        own_snapshot: bool = True,
        base: int | None = None,
        guard: Guard = no_guard,
    ) -> None:
        """Note that the batch is in the table. The table is the truth, so this needs no lease.

        A file that another batch holds by now leaves it. Recording the same again does nothing.

        Args:
            batch_id: The batch, open or released, or not known (a state restored from a backup).
            snapshot_id: Its snapshot in main; None if its files had no rows, so that it made none.
            files: Every file that the commit holds, those without rows included.
            seconds: How long the batch took.
            replace: Other loaded versions of the same paths went with this commit.
            kind: For a batch that is not known.
            ingestion_id: The same.
            tenant: The same.
            table: The same.
            own_snapshot: Whether the batch made this snapshot; else it is known only that the
                batch's rows are in it.
            base: Main's head before the commit, if the worker that published it records it itself.
            guard: Called before anything is written, without a transaction. If it raises, nothing
                is written. It is called again if other workers recorded something of this
                ingestion before this is written.

        Raises:
            StateError: The files are not those of the batch, or it is recorded with another
                snapshot.
            MainMoved: Other workers recorded something each time that the guard had passed.
        """
        with self._database.reading() as connection:
            stored = connection.execute(_batch_row(batch_id)).one_or_none()
        if stored is None and not (ingestion_id and tenant and table):
            raise StateError(
                f"Batch {batch_id} is in the table, but the state does not know it",
                "Run 'autoloader reconcile'.",
            )
        whose = stored.ingestion_id if stored else ingestion_id

        def write(connection: Connection) -> None:
            moment = now(connection)
            # Read again, now that nobody else can change it.
            again = _batch_row(batch_id).with_for_update()
            batch = connection.execute(again).one_or_none()
            if batch is None:
                _add_batch(connection, moment, batch_id, kind, ingestion_id, tenant, table)
                batch = connection.execute(again).one()
            if batch.status == "RECORDED":
                if own_snapshot:
                    _refuse_other_snapshot(batch, snapshot_id)
                return
            _refuse_missing(connection, batch, files)
            number = _next_record_number(connection, batch.ingestion_id)
            ids = [each.file_id for each in files]
            changes = [
                {
                    "row_id": each.file_id,
                    "rows": each.rows,
                    "bad_rows": each.bad_rows,
                }
                for each in files
            ]
            move(
                connection,
                changes,
                ALL,
                "SUCCESS",
                moment,
                batch_id=batch_id,
                run_id=batch.run_id or None,
                snapshot_id=snapshot_id,
                processed_at=moment,
                processing_duration_ms=round(seconds * 1000),
                bytes_read=StoredFile.file_size_bytes,
            )
            if replace:
                _replace_older(connection, batch_id, ids, moment)
            size = connection.scalar(
                select(func.coalesce(func.sum(StoredFile.file_size_bytes), 0)).where(
                    one_of(StoredFile.id, ids, connection)
                )
            )
            connection.execute(
                update(StoredBatch)
                .where(StoredBatch.id == batch_id)
                .values(
                    status="RECORDED",
                    snapshot_id=snapshot_id,
                    files=len(ids),
                    rows=sum(each.rows for each in files),
                    bytes=int(size or 0),
                    finished_at=moment,
                    record_number=number,
                    error=None,
                    released_files=None,
                    # A file that is loaded again belongs to its new batch; this keeps the old one.
                    member_files=write_ids(ids),
                )
            )
            if own_snapshot:
                move_table_state(
                    connection,
                    batch.table,
                    batch.ingestion_id,
                    batch.table_id,
                    snapshot_id,
                    number,
                    base,
                )

        write_guarded(self._database, whose, guard, write)

    def record_undo(
        self,
        batch_id: BatchId,
        snapshot_id: int | None,
        files: Mapping[int, BatchId | None],
        rows: int,
        *,
        ingestion_id: str,
        tenant: str,
        table: str,
        base: int | None = None,
    ) -> None:
        """Note that the rows of these files are gone from the table. This needs no lease.

        A file that another batch has loaded since is left as it is. Recording the same again does
        nothing.

        Args:
            batch_id: The undo, open or released, or not known (a state restored from a backup).
            snapshot_id: Its snapshot in main.
            files: Ids of the file versions, each with the batch that had loaded its rows; None
                where that is not known any more.
            rows: How many rows it took out.
            ingestion_id: Whose files they are.
            tenant: For a batch that is not known.
            table: The table.
            base: Main's head before it, if the worker that published it records it itself.
        """
        with self._database.writing(ingestion_id) as connection:
            moment = now(connection)
            known = select(StoredBatch.id).where(StoredBatch.id == batch_id)
            if connection.scalar(known) is None:
                _add_batch(connection, moment, batch_id, "undo", ingestion_id, tenant, table)
            stored = connection.execute(
                select(StoredBatch.status, StoredBatch.table_id)
                .where(StoredBatch.id == batch_id)
                .with_for_update()
            ).one()
            if stored.status == "RECORDED":
                return
            number = _next_record_number(connection, ingestion_id)
            undone = _mark_undone(connection, batch_id, files, moment)
            connection.execute(
                update(StoredBatch)
                .where(StoredBatch.id == batch_id)
                .values(
                    status="RECORDED",
                    snapshot_id=snapshot_id,
                    files=len(undone),
                    rows=rows,
                    member_files=write_ids(undone),
                    finished_at=moment,
                    record_number=number,
                    error=None,
                )
            )
            move_table_state(
                connection, table, ingestion_id, stored.table_id, snapshot_id, number, base
            )


def _change(outcome: RemovedFile, tries: int, retries: int) -> tuple[FileStatus, dict[str, Any]]:
    """The status that a file gets as it leaves its batch, and the values of its row."""
    counts = outcome.count_retry and outcome.status in ("FAILED", "DISCOVERED")
    tried = tries + int(counts)
    status, message = outcome.status, outcome.message
    if status == "FAILED" and tried > retries:
        status = "QUARANTINED"
        message = f"{message or 'it failed'} (tried {tried} times)"
    return status, {
        "row_id": outcome.file_id,
        "retry_count": tried,
        "error_type": outcome.error_type,
        "reason": None if message is None else strike(message),
    }


def _add_batch(
    connection: Connection,
    moment: datetime,
    batch_id: BatchId,
    kind: BatchKind,
    ingestion_id: str | None,
    tenant: str | None,
    table: str | None,
) -> None:
    """Add a batch that the state has lost; it holds nothing yet."""
    connection.execute(
        insert(StoredBatch).values(
            id=batch_id,
            tenant=tenant,
            ingestion_id=ingestion_id,
            kind=kind,
            run_id="",
            table=table,
            status="RELEASED",
            attempt=0,
            lease_owner="",
            lease_expires_at=moment,
            files=0,
            bytes=0,
            started_at=moment,
        )
    )


def _next_record_number(connection: Connection, ingestion_id: str) -> int:
    """The number of the next batch to be recorded. Hold the lock of the ingestion."""
    return last_record_number(connection, ingestion_id) + 1


def _batch_row(batch_id: BatchId) -> Any:
    return select(
        StoredBatch.id,
        StoredBatch.ingestion_id,
        StoredBatch.kind,
        StoredBatch.member_files,
        StoredBatch.run_id,
        StoredBatch.table,
        StoredBatch.table_id,
        StoredBatch.status,
        StoredBatch.snapshot_id,
    ).where(StoredBatch.id == batch_id)


def _refuse_other_snapshot(batch: Row[Any], snapshot_id: int | None) -> None:
    if batch.snapshot_id != snapshot_id:
        raise StateError(
            f"Batch {batch.id} of {batch.ingestion_id} is recorded with snapshot "
            f"{batch.snapshot_id}, and now snapshot {snapshot_id} of {batch.table} claims it too",
            "Its rows may be in the table twice: compare the two snapshots before loading more.",
        )


def _refuse_missing(connection: Connection, batch: Row[Any], files: Sequence[LoadedFile]) -> None:
    """Refuse a record that leaves a file of the batch behind, or names one that is not there.

    Such a file would never be looked at again, or be loaded a second time.
    """
    ids = {each.file_id for each in files}
    known = set(
        connection.scalars(
            select(StoredFile.id).where(
                one_of(StoredFile.id, ids, connection),
                StoredFile.ingestion_id == batch.ingestion_id,
            )
        )
    )
    if batch.kind == "load":
        processing = select(StoredFile.id).where(
            StoredFile.batch_id == batch.id, StoredFile.status == "PROCESSING"
        )
        held = set(connection.scalars(processing))
    else:
        held = set(read_ids(batch.member_files or ""))
    if batch.status in OPEN and held - ids:
        raise StateError(
            f"Batch {batch.id} of {batch.ingestion_id} holds {counted(len(held), 'file')}, and "
            f"the record of its commit leaves {len(held - ids)} of them out",
            "Set those aside before publishing, or record them with 0 rows. This is a fault of "
            "autoloader_dagster; please report it.",
        )
    if ids - known:
        raise StateError(
            f"Batch {batch.id} of {batch.ingestion_id} has loaded "
            f"{counted(len(ids - known), 'file')} that the state does not know",
            "List the source first ('autoloader files'), then run 'autoloader reconcile'.",
        )


def _replace_older(
    connection: Connection, batch_id: BatchId, ids: Sequence[int], moment: datetime
) -> None:
    """Mark the loaded versions whose rows went when these came."""
    newer = aliased(StoredFile)
    loaded = (
        select(StoredFile.id)
        .join(
            newer,
            and_(
                newer.ingestion_id == StoredFile.ingestion_id,
                newer.file_path == StoredFile.file_path,
                newer.id != StoredFile.id,
            ),
        )
        .where(one_of(newer.id, ids, connection), is_loaded(StoredFile.status))
    )
    older = set(connection.scalars(loaded)) - set(ids)
    if older:
        move(
            connection,
            one_of(StoredFile.id, older, connection),
            ("SUCCESS",),
            "REPLACED",
            moment,
            displaced_by=batch_id,
            reason=f"a newer version of the file took its place in batch {batch_id}",
        )


def _mark_undone(
    connection: Connection,
    batch_id: BatchId,
    batch_of: Mapping[int, BatchId | None],
    moment: datetime,
) -> list[int]:
    """Mark the versions whose rows have gone; not one that another batch has loaded since."""
    held = connection.execute(
        select(StoredFile.id, StoredFile.status, StoredFile.batch_id)
        .where(one_of(StoredFile.id, batch_of, connection))
        .with_for_update()
    ).all()
    undone = [row for row in held if _still_that(row, batch_of[row.id])]
    move(
        connection,
        one_of(StoredFile.id, [row.id for row in undone], connection),
        ("SUCCESS", *_LISTED_AGAIN),
        "UNDONE",
        moment,
        displaced_by=batch_id,
        reason=f"its rows were taken out by the undo {batch_id}",
        processed_at=moment,
    )
    return [row.id for row in undone]


def _still_that(row: Row[tuple[int, str, str | None]], loaded_by: str | None) -> bool:
    if row.status == "SUCCESS":
        return loaded_by is None or row.batch_id == loaded_by
    return row.status in _LISTED_AGAIN
