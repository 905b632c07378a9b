"""Batches that amend what is loaded, an undo or a reload, and files that are to be tried again.

The files of such a batch keep their status until it is recorded: whatever happens to its worker,
they are loaded as before or have become what the batch made of them, and never something between.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, func, insert, select, update

from autoloader_dagster.errors import FilesInUse, StateError
from autoloader_dagster.state.batches import OPEN, find
from autoloader_dagster.state.claims import owned
from autoloader_dagster.state.database import Database, now, one_of
from autoloader_dagster.state.file_ids import read_ids, write_ids
from autoloader_dagster.state.models import StoredBatch, StoredFile
from autoloader_dagster.state.records import (
    DISMISSED,
    DISMISSIBLE,
    RETRIABLE,
    Amendment,
    Batch,
    FileStatus,
    TableState,
    UndoneFile,
)
from autoloader_dagster.state.tables import write_table_state
from autoloader_dagster.state.transitions import move

_NAMED_AT_MOST = 3
# A state that was lost has listed a loaded file again, and a batch may hold it already.
_LISTED_AGAIN: tuple[FileStatus, ...] = ("DISCOVERED", "PROCESSING", "FAILED")


def claim_amendment(
    database: Database, wanted: Amendment, owner: str, run_id: str, lease: timedelta
) -> Batch:
    """Begin an undo or a reload of loaded files; see ``ProcessedFiles.claim_amendment``."""
    with database.writing(wanted.ingestion_id) as connection:
        moment = now(connection)
        _refuse_files_in_use(connection, wanted)
        batch_id = f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        chosen = one_of(StoredFile.id, wanted.file_ids, connection)
        size = connection.scalar(
            select(func.coalesce(func.sum(StoredFile.file_size_bytes), 0)).where(chosen)
        )
        connection.execute(
            insert(StoredBatch).values(
                id=batch_id,
                tenant=wanted.tenant,
                ingestion_id=wanted.ingestion_id,
                kind=wanted.kind,
                run_id=run_id,
                table=wanted.table,
                status="CLAIMED",
                attempt=0,
                lease_owner=owner,
                lease_expires_at=moment + lease,
                files=len(wanted.file_ids),
                bytes=int(size or 0),
                started_at=moment,
                member_files=write_ids(wanted.file_ids),
            )
        )
        batch = find(connection, batch_id)
    if batch is None:  # for the type checker: it was inserted just now
        raise StateError(f"Batch {batch_id} has vanished from the state")
    return batch


def leave_out(
    connection: Connection, batch_id: str, file_ids: Collection[int], moment: datetime
) -> None:
    """Take files out of an amending batch; their own rows stay as they are."""
    members = connection.scalar(
        select(StoredBatch.member_files).where(StoredBatch.id == batch_id).with_for_update()
    )
    rest = set(read_ids(members or "")) - set(file_ids)
    connection.execute(
        update(StoredBatch)
        .where(StoredBatch.id == batch_id)
        .values(member_files=write_ids(rest), files=len(rest))
    )


def leave_out_of(database: Database, batch_id: str, owner: str, file_ids: Collection[int]) -> None:
    """Take files out of an amending batch; see ``ProcessedFiles.leave_out``."""
    with database.writing() as connection:
        owned(connection, batch_id, owner)
        leave_out(connection, batch_id, file_ids, now(connection))


def record_undo(
    database: Database,
    batch_id: str,
    snapshot_id: int | None,
    files: Sequence[UndoneFile],
    rows: int,
    *,
    ingestion_id: str,
    tenant: str,
    table: str,
) -> None:
    """Note that an undo is in the table; see ``ProcessedFiles.record_undo``."""
    with database.writing(ingestion_id) as connection:
        moment = now(connection)
        if _status(connection, batch_id) is None:
            connection.execute(
                insert(StoredBatch).values(
                    id=batch_id,
                    tenant=tenant,
                    ingestion_id=ingestion_id,
                    kind="undo",
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
        stored = connection.execute(
            select(StoredBatch.status, StoredBatch.table_uuid)
            .where(StoredBatch.id == batch_id)
            .with_for_update()
        ).one()
        if stored.status == "RECORDED":
            return
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
                error=None,
            )
        )
        if snapshot_id is not None:
            write_table_state(
                connection, table, ingestion_id, TableState(stored.table_uuid, snapshot_id)
            )


def retry(
    database: Database, ingestion_id: str, partition_of: Mapping[int, str | None]
) -> set[int]:
    """Let files that were set aside or undone wait again; see ``ProcessedFiles.retry``."""
    with database.writing(ingestion_id) as connection:
        moment = now(connection)
        ids = set(
            connection.scalars(
                select(StoredFile.id)
                .where(
                    StoredFile.ingestion_id == ingestion_id,
                    one_of(StoredFile.id, partition_of, connection),
                    StoredFile.status.in_(RETRIABLE),
                )
                .with_for_update()
            )
        )
        if ids:
            placed = [{"row_id": each, "partition_key": partition_of[each]} for each in ids]
            move(connection, placed, RETRIABLE, "DISCOVERED", moment)
        return ids


def dismiss(database: Database, ingestion_id: str, file_ids: Collection[int]) -> set[int]:
    """Skip files for good that failed or were quarantined; see ``ProcessedFiles.dismiss``."""
    with database.writing(ingestion_id) as connection:
        moment = now(connection)
        bad = connection.execute(
            select(
                StoredFile.id, StoredFile.status, StoredFile.error_type, StoredFile.error_message
            )
            .where(
                StoredFile.ingestion_id == ingestion_id,
                one_of(StoredFile.id, file_ids, connection),
                StoredFile.status.in_(DISMISSIBLE),
            )
            .with_for_update()
        ).all()
        if bad:
            reasons = [{"row_id": row.id, "error_message": _dismissed(row)} for row in bad]
            move(connection, reasons, DISMISSIBLE, "SKIPPED", moment, error_type=DISMISSED)
        return {row.id for row in bad}


def _dismissed(row: Row[tuple[int, str, str | None, str | None]]) -> str:
    why = ": ".join(part for part in (row.error_type, row.error_message) if part)
    return f"dismissed; it was {row.status}" + (f", {why}" if why else "")


def _refuse_files_in_use(connection: Connection, wanted: Amendment) -> None:
    """Refuse files that an open undo or reload has, by their paths: it may be another version."""
    still_open = connection.execute(
        select(StoredBatch.id, StoredBatch.kind, StoredBatch.member_files).where(
            StoredBatch.ingestion_id == wanted.ingestion_id,
            StoredBatch.kind != "load",
            StoredBatch.status.in_(OPEN),
        )
    ).all()
    for batch in still_open:
        theirs = select(StoredFile.file_path).where(
            one_of(StoredFile.id, read_ids(batch.member_files or ""), connection)
        )
        shared = list(
            connection.scalars(
                select(StoredFile.file_path)
                .where(
                    one_of(StoredFile.id, wanted.file_ids, connection),
                    StoredFile.file_path.in_(theirs),
                )
                .order_by(StoredFile.file_path)
            )
        )
        if shared:
            more = f" and {len(shared) - _NAMED_AT_MOST} more" if shared[_NAMED_AT_MOST:] else ""
            raise FilesInUse(
                f"{', '.join(shared[:_NAMED_AT_MOST])}{more} of {wanted.ingestion_id}: the "
                f"{batch.kind} {batch.id} is at work on the same file",
                "Wait until it has ended. If its worker died, its lease runs out within a minute, "
                "and the next run settles it.",
            )


def _mark_undone(
    connection: Connection, batch_id: str, files: Sequence[UndoneFile], moment: datetime
) -> list[int]:
    """Mark the versions whose rows have gone; not one that another batch has loaded since."""
    batch_of = {each.file_id: each.batch_id for each in files}
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
        error_message=f"its rows were taken out by the undo {batch_id}",
        processed_at=moment,
    )
    return [row.id for row in undone]


def _still_that(row: Row[tuple[int, str, str | None]], loaded_by: str | None) -> bool:
    if row.status == "SUCCESS":
        return loaded_by is None or row.batch_id == loaded_by
    return row.status in _LISTED_AGAIN


def _status(connection: Connection, batch_id: str) -> str | None:
    return connection.scalar(select(StoredBatch.status).where(StoredBatch.id == batch_id))
