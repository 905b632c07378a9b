"""Gives files to a worker as a batch, under a lease, and takes them back.

A lease saves two workers from doing the same work. It does not make loading exactly once; the
compare-and-set on the Iceberg table does (DESIGN, section 2).
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from autoloader_dagster.batch_ids import BatchId, new_batch_id
from autoloader_dagster.errors import FilesInUse, LeaseLost, StateError
from autoloader_dagster.state.batches import OPEN, find
from autoloader_dagster.state.database import Database, now, one_of
from autoloader_dagster.state.file_ids import read_ids, write_ids
from autoloader_dagster.state.models import StoredBatch, StoredFile
from autoloader_dagster.state.records import (
    Amendment,
    Batch,
    Claim,
    PartitionKeys,
    PartitionRange,
    Partitions,
)
from autoloader_dagster.state.transitions import move

_NAMED_AT_MOST = 3


class Claims:
    """The batches that workers hold."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, wanted: Claim, moment: datetime | None = None) -> Batch | None:
        """Take pending files, by partition and age, as one batch that nobody else gets.

        Args:
            wanted: Which ones.
            moment: The time; the database's own clock by default.

        Returns:
            The batch; None if nothing is pending that another worker is not just taking.
        """
        # No lock on the ingestion here: claimers pass over each other's rows instead of waiting.
        with self._database.writing() as connection:
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
            batch_id = new_batch_id(moment)
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

    def claim_amendment(
        self, wanted: Amendment, owner: str, run_id: str, lease: timedelta
    ) -> Batch:
        """Begin an undo or a reload. Its files keep their status until it is recorded.

        Raises:
            FilesInUse: An open undo or reload has one of the files, in whatever version.
        """
        with self._database.writing(wanted.ingestion_id) as connection:
            moment = now(connection)
            _refuse_files_in_use(connection, wanted)
            batch_id = new_batch_id(moment)
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

    def renew(self, batch_id: BatchId, owner: str, lease: timedelta) -> bool:
        """Prolong the lease from now; False if the batch was released or recorded meanwhile."""
        with self._database.writing() as connection:
            renewed = connection.execute(
                update(StoredBatch)
                .where(_ours(batch_id, owner))
                .values(lease_expires_at=now(connection) + lease)
            )
            return renewed.rowcount == 1

    def begin_attempt(
        self, batch_id: BatchId, owner: str, base_snapshot_id: int | None, table_id: str | None
    ) -> int:
        """Count one more attempt on this base, and return its number, from 1.

        Raises:
            LeaseLost: The batch was released or recorded meanwhile.
        """
        with self._database.writing() as connection:
            row = owned(connection, batch_id, owner)
            connection.execute(
                update(StoredBatch)
                .where(StoredBatch.id == batch_id)
                .values(
                    status="CLAIMED",
                    attempt=row.attempt + 1,
                    base_snapshot_id=base_snapshot_id,
                    table_id=table_id,
                    snapshot_id=None,
                    rows=None,
                )
            )
            return row.attempt + 1

    def mark_written(self, batch_id: BatchId, owner: str, snapshot_id: int, rows: int) -> None:
        """Note the commit that the attempt made on its branch, before it is published.

        Raises:
            LeaseLost: The batch was released or recorded meanwhile.
        """
        with self._database.writing() as connection:
            owned(connection, batch_id, owner)
            connection.execute(
                update(StoredBatch)
                .where(StoredBatch.id == batch_id)
                .values(status="WRITTEN", snapshot_id=snapshot_id, rows=rows)
            )

    def leave_out(self, batch_id: BatchId, owner: str, file_ids: Collection[int]) -> None:
        """Take files out of an undo or a reload; they stay as they are.

        Raises:
            LeaseLost: The batch was released or recorded meanwhile.
        """
        with self._database.writing() as connection:
            owned(connection, batch_id, owner)
            leave_out(connection, batch_id, file_ids, now(connection))

    def release(self, batch_id: BatchId, owner: str | None, error: str | None = None) -> bool:
        """Release the batch; the files that are still in it are pending again.

        Args:
            batch_id: The batch.
            owner: Who holds it; None to release it whoever does, once it is known
                not to be in main.
            error: Why, for people.

        Returns:
            False if it was not ours, or was released or recorded before.
        """
        with self._database.reading() as connection:
            ingestion_id = connection.scalar(
                select(StoredBatch.ingestion_id).where(StoredBatch.id == batch_id)
            )
        with self._database.writing(ingestion_id) as connection:
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


def owned(connection: Connection, batch_id: BatchId, owner: str) -> Row[tuple[str, int]]:
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


def _ours(batch_id: BatchId, owner: str | None) -> ColumnElement[bool]:
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


def leave_out(
    connection: Connection, batch_id: BatchId, file_ids: Collection[int], moment: datetime
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
