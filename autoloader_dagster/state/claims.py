"""Gives files to a worker as a batch, under a lease, and takes them back.

A lease saves two workers from doing the same work. It does not make loading exactly once; the
compare-and-set on the Iceberg table does (DESIGN, section 2).
"""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    exists,
    insert,
    not_,
    or_,
    select,
    update,
)

from autoloader_dagster.errors import LeaseLost
from autoloader_dagster.state.batches import OPEN, find
from autoloader_dagster.state.database import Database, now, one_of
from autoloader_dagster.state.file_ids import write_ids
from autoloader_dagster.state.models import StoredBatch, StoredFile
from autoloader_dagster.state.records import (
    Batch,
    Claim,
    PartitionKeys,
    PartitionRange,
    Partitions,
)
from autoloader_dagster.state.transitions import move


def is_pending(
    ingestion_id: str, retries: int, but_failed_with: str | None = None
) -> ColumnElement[bool]:
    """The files that wait to be loaded; a failed one while it has tries left.

    Args:
        ingestion_id: ``tenant/name``.
        retries: How often a file may fail before it is given up.
        but_failed_with: Leave out files that failed in batches of this owner. No clock tells
            that: a worker's own may be an hour from the database's.
    """
    failed = and_(StoredFile.status == "FAILED", StoredFile.retry_count <= retries)
    if but_failed_with is not None:
        own = exists().where(
            StoredBatch.id == StoredFile.batch_id, StoredBatch.lease_owner == but_failed_with
        )
        failed = and_(failed, not_(own))
    return and_(
        StoredFile.ingestion_id == ingestion_id, or_(StoredFile.status == "DISCOVERED", failed)
    )


def claim(database: Database, wanted: Claim, moment: datetime | None) -> Batch | None:
    """Take pending files; see ``ProcessedFiles.claim``."""
    # No lock on the ingestion here: claimers pass over each other's rows instead of waiting.
    with database.writing() as connection:
        moment = moment or now(connection)
        pending = (
            select(StoredFile.id, StoredFile.file_size_bytes)
            .where(
                is_pending(wanted.ingestion_id, wanted.retries, wanted.owner),
                in_partitions(wanted.partitions, connection),
            )
            .order_by(
                StoredFile.partition_key.nulls_first(),
                StoredFile.file_modified_at,
                StoredFile.file_path,
                StoredFile.id,
            )
            .limit(wanted.max_files)
            .with_for_update(skip_locked=True)
        )
        ids: list[int] = []
        size = 0
        for file_id, file_size in connection.execute(pending):
            if ids and size + file_size > wanted.max_bytes:
                break
            ids.append(file_id)
            size += file_size
        if not ids:
            return None
        batch_id = f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        connection.execute(
            insert(StoredBatch).values(
                id=batch_id,
                tenant=wanted.tenant,
                ingestion_id=wanted.ingestion_id,
                run_id=wanted.run_id,
                table=wanted.table,
                status="CLAIMED",
                attempt=0,
                lease_owner=wanted.owner,
                lease_expires_at=moment + wanted.lease,
                files=len(ids),
                bytes=size,
                started_at=moment,
            )
        )
        move(
            connection,
            one_of(StoredFile.id, ids, connection),
            ("DISCOVERED", "FAILED"),
            "PROCESSING",
            moment,
            batch_id=batch_id,
            run_id=wanted.run_id,
            processing_started_at=moment,
        )
        return find(connection, batch_id)


def renew(database: Database, batch_id: str, owner: str, lease: timedelta) -> bool:
    """Prolong the lease; see ``ProcessedFiles.renew``."""
    with database.writing() as connection:
        renewed = connection.execute(
            update(StoredBatch)
            .where(_ours(batch_id, owner))
            .values(lease_expires_at=now(connection) + lease)
        )
        return renewed.rowcount == 1


def begin_attempt(
    database: Database,
    batch_id: str,
    owner: str,
    base_snapshot_id: int | None,
    table_uuid: str | None,
) -> int:
    """Count one more attempt; see ``ProcessedFiles.begin_attempt``."""
    with database.writing() as connection:
        row = owned(connection, batch_id, owner)
        connection.execute(
            update(StoredBatch)
            .where(StoredBatch.id == batch_id)
            .values(
                status="CLAIMED",
                attempt=row.attempt + 1,
                base_snapshot_id=base_snapshot_id,
                table_uuid=table_uuid,
                snapshot_id=None,
                rows=None,
            )
        )
        return row.attempt + 1


def mark_written(
    database: Database, batch_id: str, owner: str, snapshot_id: int, rows: int
) -> None:
    """Note the attempt's commit; see ``ProcessedFiles.mark_written``."""
    with database.writing() as connection:
        owned(connection, batch_id, owner)
        connection.execute(
            update(StoredBatch)
            .where(StoredBatch.id == batch_id)
            .values(status="WRITTEN", snapshot_id=snapshot_id, rows=rows)
        )


def release(database: Database, batch_id: str, owner: str | None, error: str | None) -> bool:
    """Give the files back; see ``ProcessedFiles.release``."""
    with database.reading() as connection:
        ingestion_id = connection.scalar(
            select(StoredBatch.ingestion_id).where(StoredBatch.id == batch_id)
        )
    with database.writing(ingestion_id) as connection:
        moment = now(connection)
        ours = _ours(batch_id, owner)
        if connection.scalar(select(StoredBatch.id).where(ours).with_for_update()) is None:
            return False
        held = and_(StoredFile.batch_id == batch_id, StoredFile.status == "PROCESSING")
        ids = list(connection.scalars(select(StoredFile.id).where(held)))
        move(connection, held, ("PROCESSING",), "DISCOVERED", moment)
        connection.execute(
            update(StoredBatch)
            .where(StoredBatch.id == batch_id)
            .values(
                status="RELEASED",
                finished_at=moment,
                error=error,
                released_files=write_ids(ids),
            )
        )
        return True


def owned(connection: Connection, batch_id: str, owner: str) -> Row[tuple[str, int]]:
    """The batch's ingestion and attempts, locked, if this worker still holds it.

    Raises:
        LeaseLost: It does not.
    """
    row = connection.execute(
        select(StoredBatch.ingestion_id, StoredBatch.attempt)
        .where(_ours(batch_id, owner))
        .with_for_update()
    ).one_or_none()
    if row is not None:
        return row
    status = connection.scalar(select(StoredBatch.status).where(StoredBatch.id == batch_id))
    state = f"is {status} meanwhile" if status else "is not known"
    raise LeaseLost(
        f"Batch {batch_id} is not held by {owner} any more: it {state}",
        "Nothing is lost: its files are loaded by whoever takes them next.",
    )


def _ours(batch_id: str, owner: str | None) -> ColumnElement[bool]:
    still_open = and_(StoredBatch.id == batch_id, StoredBatch.status.in_(OPEN))
    return still_open if owner is None else and_(still_open, StoredBatch.lease_owner == owner)


def in_partitions(partitions: Partitions, connection: Connection) -> ColumnElement[bool]:
    key = StoredFile.partition_key
    if isinstance(partitions, PartitionRange):
        return and_(key >= partitions.start, key <= partitions.end)
    if isinstance(partitions, PartitionKeys):
        named = one_of(key, [each for each in partitions.keys if each is not None], connection)
        return or_(named, key.is_(None)) if None in partitions.keys else named
    return or_(key.is_(None), key.is_not(None))
