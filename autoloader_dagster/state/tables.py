"""How far each ingestion has followed its Iceberg tables, and whose files they hold.

Not one position for a table: what one ingestion finds in a shared table are its own batches only,
and the others must find theirs. A spec that was renamed or moved is a new ingestion to the state,
and would load its table again; so the state of one can be handed over to another.
"""

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.errors import FilesInUse, LoadError
from autoloader_dagster.state.batches import OPEN, last_record_number
from autoloader_dagster.state.database import Database, lock_ingestion, one_of
from autoloader_dagster.state.followed import read_table_state, write_table_state
from autoloader_dagster.state.guarded import write_guarded
from autoloader_dagster.state.models import StoredBatch, StoredFile, StoredTable
from autoloader_dagster.state.records import (
    Guard,
    HandOver,
    LoadedElsewhere,
    TableState,
)


class Tables:
    """The Iceberg tables that ingestions load."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, table: str, ingestion_id: str) -> TableState:
        """Read how far this ingestion has followed this table."""
        with self._database.reading() as connection:
            number = last_record_number(connection, ingestion_id)
            return read_table_state(connection, table, ingestion_id, number)

    def save(self, table: str, ingestion_id: str, state: TableState) -> None:
        """Note how far; a ``table_id`` of None leaves the known one.

        ``agreed_number`` is noted only if no batch was recorded since: one that was recorded while
        main was read may have been rolled back off main before.
        """
        with self._database.writing(ingestion_id) as connection:
            if state.agreed_number != last_record_number(connection, ingestion_id):
                state = replace(state, agreed_number=None)
            write_table_state(connection, table, ingestion_id, state)

    def loaders_of(self, table: str, but: str) -> dict[str, set[str | None]]:
        """The other ingestions with loaded files in a table, and the ids of these tables."""
        loaded = exists().where(
            StoredFile.batch_id == StoredBatch.id, StoredFile.status == "SUCCESS"
        )
        with self._database.reading() as connection:
            rows = connection.execute(
                select(StoredBatch.ingestion_id, StoredBatch.table_id)
                .where(
                    StoredBatch.table == table,
                    StoredBatch.ingestion_id != but,
                    StoredBatch.status == "RECORDED",
                    loaded,
                )
                .distinct()
            )
            found: dict[str, set[str | None]] = {}
            for ingestion_id, table_id in rows:
                found.setdefault(ingestion_id, set()).add(table_id)
            return found

    def loaded_elsewhere(
        self, ingestion_id: str, table: str, table_id: str | None = None
    ) -> list[LoadedElsewhere]:
        """Count the loaded files of an ingestion whose rows are not in this table, by table.

        Args:
            ingestion_id: Whose files.
            table: The table that its spec names.
            table_id: Which table that is, whatever its name was; default the id that is known.
        """
        # A batch that was found in the table has no id of its own.
        its_id = func.coalesce(StoredBatch.table_id, StoredTable.table_id)
        chosen = (
            select(
                StoredBatch.table,
                func.count(),
                func.sum(StoredFile.rows),
                func.min(StoredFile.file_path),
            )
            .join(StoredFile, StoredFile.batch_id == StoredBatch.id)
            .outerjoin(
                StoredTable,
                and_(
                    StoredTable.table == StoredBatch.table,
                    StoredTable.ingestion_id == StoredBatch.ingestion_id,
                ),
            )
            .where(
                StoredBatch.ingestion_id == ingestion_id,
                StoredBatch.status == "RECORDED",
                StoredBatch.table != table,
                StoredFile.status == "SUCCESS",
                # A file without rows is in no table.
                StoredFile.rows > 0,
            )
            .group_by(StoredBatch.table)
            .order_by(StoredBatch.table)
        )
        if table_id is None:
            known = (
                select(StoredTable.table_id)
                .where(StoredTable.table == table, StoredTable.ingestion_id == ingestion_id)
                .scalar_subquery()
            )
            chosen = chosen.where(or_(its_id.is_(None), known.is_(None), its_id != known))
        else:
            chosen = chosen.where(or_(its_id.is_(None), its_id != table_id))
        with self._database.reading() as connection:
            return [
                LoadedElsewhere(name, int(files), int(rows), path)
                for name, files, rows, path in connection.execute(chosen)
            ]

    def move_batches(
        self,
        ingestion_id: str,
        batch_ids: Collection[BatchId],
        table: str,
        table_id: str,
        snapshot_id: int | None,
        guard: Guard,
    ) -> None:
        """Note that a table, or another snapshot of it, has what recorded batches made, as a copy.

        Args:
            ingestion_id: Whose batches.
            batch_ids: Which of them. Their files keep their statuses.
            table: The table.
            table_id: Which table that is.
            snapshot_id: A snapshot of it that has their rows.
            guard: As for ``BatchFiles.record``.
        """

        def write(connection: Connection) -> None:
            connection.execute(
                update(StoredBatch)
                .where(
                    StoredBatch.ingestion_id == ingestion_id,
                    StoredBatch.status == "RECORDED",
                    one_of(StoredBatch.id, batch_ids, connection),
                )
                .values(table=table, table_id=table_id, snapshot_id=snapshot_id)
            )

        write_guarded(self._database, ingestion_id, guard, write)

    def waiting_paths_of(self, ingestion_id: str, others: Collection[str]) -> str | None:
        """One of the other ingestions that has loaded a path which waits in this one."""
        theirs = aliased(StoredFile)
        with self._database.reading() as connection:
            return connection.scalar(
                select(theirs.ingestion_id)
                .join(StoredFile, StoredFile.file_path == theirs.file_path)
                .where(
                    StoredFile.ingestion_id == ingestion_id,
                    StoredFile.status.in_(("DISCOVERED", "FAILED")),
                    theirs.ingestion_id.in_(list(others)),
                    theirs.status == "SUCCESS",
                )
                .limit(1)
            )

    def hand_over(self, old: str, new: str, tenant: str, *, really: bool) -> HandOver:
        """Give all that is known of one ingestion to another, in one transaction.

        Args:
            old: Whose it is.
            new: Whose it becomes. What it has only listed of the same files is forgotten.
            tenant: Of the new one.
            really: If not, only say what is known.

        Raises:
            FilesInUse: One of both has an open batch.
            LoadError: Both have loaded the same file.
        """
        first, second = sorted((old, new))
        with self._database.writing(first) as connection:
            lock_ingestion(connection, second)
            _refuse(connection, old, new)
            found = HandOver(
                _count(connection, StoredFile, old),
                _count(connection, StoredBatch, old),
                tuple(
                    connection.scalars(
                        select(StoredBatch.table)
                        .where(StoredBatch.ingestion_id == old)
                        .distinct()
                        .order_by(StoredBatch.table)
                    )
                ),
            )
            if really:
                _move(connection, old, new, tenant)
            return found

    def forget(self, ingestion_id: str) -> None:
        """Delete all that is known of an ingestion's files and batches.

        Drop its table first: every file is new again, and would be loaded once more.
        """
        with self._database.writing(ingestion_id) as connection:
            # The files first, because they refer to the batches.
            connection.execute(delete(StoredFile).where(StoredFile.ingestion_id == ingestion_id))
            connection.execute(delete(StoredBatch).where(StoredBatch.ingestion_id == ingestion_id))
            connection.execute(delete(StoredTable).where(StoredTable.ingestion_id == ingestion_id))

    def forget_table(self, table: str) -> None:
        """Delete how far the state has followed a table, once the table was dropped."""
        with self._database.writing(f"table {table}") as connection:
            connection.execute(delete(StoredTable).where(StoredTable.table == table))


def _count(connection: Connection, model: type, ingestion_id: str) -> int:
    counted = select(func.count()).select_from(model)
    return int(connection.scalar(counted.where(model.ingestion_id == ingestion_id)) or 0)


def _refuse(connection: Connection, old: str, new: str) -> None:
    both = (old, new)
    at_work = connection.scalar(
        select(StoredBatch.id).where(
            StoredBatch.ingestion_id.in_(both), StoredBatch.status.in_(OPEN)
        )
    )
    if at_work is not None:
        raise FilesInUse(
            f"batch {at_work} of {old} or {new} is at work",
            "Wait until it has ended. If its worker died, 'autoloader reconcile' settles it.",
        )
    theirs = aliased(StoredFile)
    twice = connection.scalar(
        select(StoredFile.file_path)
        .join(theirs, theirs.file_path == StoredFile.file_path)
        .where(
            StoredFile.ingestion_id == new,
            StoredFile.status == "SUCCESS",
            theirs.ingestion_id == old,
            theirs.status == "SUCCESS",
        )
        .limit(1)
    )
    if twice is not None:
        raise LoadError(
            f"{old} and {new} have both loaded {twice}, so its rows are in the table twice",
            f"Undo what {new} has loaded first: 'autoloader history' shows its batches.",
        )


def _move(connection: Connection, old: str, new: str, tenant: str) -> None:
    theirs = aliased(StoredFile)
    known = exists().where(theirs.ingestion_id == old, theirs.file_path == StoredFile.file_path)
    # What the new name has listed meanwhile; the next listing follows the policy for changes.
    connection.execute(
        delete(StoredFile).where(
            and_(StoredFile.ingestion_id == new, StoredFile.status != "SUCCESS"), known
        )
    )
    # A version that the old name has quarantined and the new one has loaded is the loaded one.
    ours = aliased(StoredFile)
    loaded = exists().where(
        ours.ingestion_id == new,
        ours.file_path == StoredFile.file_path,
        ours.file_version == StoredFile.file_version,
    )
    connection.execute(delete(StoredFile).where(StoredFile.ingestion_id == old, loaded))
    tables = select(StoredTable.table).where(StoredTable.ingestion_id == old)
    connection.execute(
        delete(StoredTable).where(
            StoredTable.ingestion_id == new, StoredTable.table.in_(tables.scalar_subquery())
        )
    )
    # After those that the new name has recorded already, so that none counts as told.
    after = last_record_number(connection, new)
    connection.execute(
        update(StoredBatch)
        .where(StoredBatch.ingestion_id == old)
        .values(record_number=StoredBatch.record_number + after)
    )
    for model in (StoredFile, StoredBatch):
        connection.execute(
            update(model).where(model.ingestion_id == old).values(ingestion_id=new, tenant=tenant)
        )
    # The batches have other numbers now.
    connection.execute(
        update(StoredTable)
        .where(StoredTable.ingestion_id == old)
        .values(ingestion_id=new, agreed_number=None)
    )
