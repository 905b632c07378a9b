"""How far the state has followed each Iceberg table."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from autoloader_dagster.processed_files.database import Database, now
from autoloader_dagster.processed_files.models import StoredTable
from autoloader_dagster.processed_files.records import TableState


def table_state(database: Database, table: str) -> TableState | None:
    """Read it; None for a table that was never loaded."""
    with database.reading() as connection:
        row = connection.execute(
            select(StoredTable.table_uuid, StoredTable.last_snapshot_id).where(
                StoredTable.table == table
            )
        ).one_or_none()
        return TableState(*row) if row else None


def save_table_state(database: Database, table: str, state: TableState) -> None:
    """Write it in a transaction of its own."""
    with database.writing(f"table {table}") as connection:
        write_table_state(connection, table, state)


def write_table_state(connection: Connection, table: str, state: TableState) -> None:
    """Write it; a uuid that is not known leaves the one that is."""
    values = {"last_snapshot_id": state.last_snapshot_id, "updated_at": now(connection)}
    if state.table_uuid is not None:
        values["table_uuid"] = state.table_uuid
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    # One statement: two ingestions may share a table and come to it first at the same time.
    connection.execute(
        dialect.insert(StoredTable)
        .values(table=table, **values)
        .on_conflict_do_update(index_elements=["table"], set_=values)
    )
