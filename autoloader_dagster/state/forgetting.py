"""Deletes what is known of an ingestion or a table, for a start from nothing.

The tables themselves are not touched: whoever forgets an ingestion whose rows stay in its table
would load them again.
"""

from sqlalchemy import delete

from autoloader_dagster.state.database import Database
from autoloader_dagster.state.models import StoredBatch, StoredFile, StoredTable


def forget(database: Database, ingestion_id: str) -> None:
    """Delete the files and batches of an ingestion; see ``ProcessedFiles.forget``."""
    with database.writing(ingestion_id) as connection:
        # The files first, for they refer to the batches.
        connection.execute(delete(StoredFile).where(StoredFile.ingestion_id == ingestion_id))
        connection.execute(delete(StoredBatch).where(StoredBatch.ingestion_id == ingestion_id))
        connection.execute(delete(StoredTable).where(StoredTable.ingestion_id == ingestion_id))


def forget_table(database: Database, table: str) -> None:
    """Delete how far a table was followed; see ``ProcessedFiles.forget_table``."""
    with database.writing(f"table {table}") as connection:
        connection.execute(delete(StoredTable).where(StoredTable.table == table))
