"""Which other ingestions loaded a table, and handing the state of one over to another.

A spec that was renamed or moved is a new ingestion to the state, and would load its table again.
"""

from collections.abc import Collection

from sqlalchemy import Connection, and_, delete, exists, func, select, update
from sqlalchemy.orm import aliased

from autoloader_dagster.errors import FilesInUse, LoadError
from autoloader_dagster.state.batches import OPEN
from autoloader_dagster.state.database import Database, lock_ingestion
from autoloader_dagster.state.models import StoredBatch, StoredFile, StoredTable
from autoloader_dagster.state.records import HandOver


def loaders_of(database: Database, table: str, but: str) -> dict[str, set[str | None]]:
    """Other ingestions with loaded files in a table; see ``ProcessedFiles.loaders_of``."""
    loaded = exists().where(StoredFile.batch_id == StoredBatch.id, StoredFile.status == "SUCCESS")
    with database.reading() as connection:
        rows = connection.execute(
            select(StoredBatch.ingestion_id, StoredBatch.table_uuid)
            .where(
                StoredBatch.table == table,
                StoredBatch.ingestion_id != but,
                StoredBatch.status == "RECORDED",
                loaded,
            )
            .distinct()
        )
        found: dict[str, set[str | None]] = {}
        for ingestion_id, table_uuid in rows:
            found.setdefault(ingestion_id, set()).add(table_uuid)
        return found


def waiting_paths_of(database: Database, ingestion_id: str, others: Collection[str]) -> str | None:
    """The first of these ingestions that has loaded a path which waits in this one."""
    theirs = aliased(StoredFile)
    with database.reading() as connection:
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


def hand_over(database: Database, old: str, new: str, tenant: str, really: bool) -> HandOver:
    """Give all that is known of one ingestion to another; see ``ProcessedFiles.hand_over``."""
    first, second = sorted((old, new))
    with database.writing(first) as connection:
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
    # A version that the old name has set aside and the new one has loaded is the loaded one.
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
    for model in (StoredFile, StoredBatch):
        connection.execute(
            update(model).where(model.ingestion_id == old).values(ingestion_id=new, tenant=tenant)
        )
    connection.execute(
        update(StoredTable).where(StoredTable.ingestion_id == old).values(ingestion_id=new)
    )
