"""How far each ingestion has followed its Iceberg table.

Not one position for a table: what one ingestion finds in a shared table are its own batches only,
and the others must find theirs.
"""

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from autoloader_dagster.state.database import Database, now
from autoloader_dagster.state.models import StoredTable
from autoloader_dagster.state.records import TableState


def table_state(database: Database, table: str, ingestion_id: str) -> TableState | None:
    """Read it; None for a table that this ingestion never loaded."""
    with database.reading() as connection:
        row = connection.execute(
            select(StoredTable.table_uuid, StoredTable.last_snapshot_id).where(
                StoredTable.table == table, StoredTable.ingestion_id == ingestion_id
            )
        ).one_or_none()
        return TableState(*row) if row else None


def save_table_state(database: Database, table: str, ingestion_id: str, state: TableState) -> None:
    """Write it in a transaction of its own."""
    with database.writing(ingestion_id) as connection:
        write_table_state(connection, table, ingestion_id, state)


def write_table_state(
    connection: Connection, table: str, ingestion_id: str, state: TableState
) -> None:
    """Write it; a uuid that is not known leaves the one that is."""
    values = {"last_snapshot_id": state.last_snapshot_id, "updated_at": now(connection)}
    if state.table_uuid is not None:
        values["table_uuid"] = state.table_uuid
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    # One statement: two workers may come to the table first at the same time.
    connection.execute(
        dialect.insert(StoredTable)
        .values(table=table, ingestion_id=ingestion_id, **values)
        .on_conflict_do_update(index_elements=["table", "ingestion_id"], set_=values)
    )
