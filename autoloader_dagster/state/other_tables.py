"""Finds loaded files of an ingestion whose rows are in another table than the spec names."""

from sqlalchemy import and_, func, or_, select

from autoloader_dagster.state.database import Database
from autoloader_dagster.state.models import StoredBatch, StoredFile, StoredTable
from autoloader_dagster.state.records import LoadedElsewhere


def loaded_elsewhere(
    database: Database, ingestion_id: str, table: str, table_id: str | None
) -> list[LoadedElsewhere]:
    """Count what other tables have; see ``ProcessedFiles.loaded_elsewhere``."""
    # A batch that was found in the table has no id of its own.
    its_id = func.coalesce(StoredBatch.table_uuid, StoredTable.table_uuid)
    chosen = (
        select(
            StoredBatch.table,
            func.count(),
            func.sum(StoredFile.records_ingested),
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
            StoredFile.records_ingested > 0,
        )
        .group_by(StoredBatch.table)
        .order_by(StoredBatch.table)
    )
    if table_id is None:
        known = (
            select(StoredTable.table_uuid)
            .where(StoredTable.table == table, StoredTable.ingestion_id == ingestion_id)
            .scalar_subquery()
        )
        chosen = chosen.where(or_(its_id.is_(None), known.is_(None), its_id != known))
    else:
        chosen = chosen.where(or_(its_id.is_(None), its_id != table_id))
    with database.reading() as connection:
        return [
            LoadedElsewhere(name, int(files), int(rows))
            for name, files, rows in connection.execute(chosen)
        ]
