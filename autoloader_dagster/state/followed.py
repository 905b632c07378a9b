"""Reads and writes how far an ingestion has followed a table, within a transaction of others."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from autoloader_dagster.state.database import now
from autoloader_dagster.state.models import StoredTable
from autoloader_dagster.state.records import TableState


def write_table_state(
    connection: Connection, table: str, ingestion_id: str, state: TableState
) -> None:
    """Write it; a ``table_id`` that is not known leaves the one that is."""
    values = {
        "last_snapshot_id": state.last_snapshot_id,
        "agreed_number": state.agreed_number,
        "updated_at": now(connection),
    }
    if state.table_id is not None:
        values["table_id"] = state.table_id
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    # One statement: two workers may come to the table first at the same time.
    connection.execute(
        dialect.insert(StoredTable)
        .values(table=table, ingestion_id=ingestion_id, **values)
        .on_conflict_do_update(index_elements=["table", "ingestion_id"], set_=values)
    )


def read_table_state(
    connection: Connection, table: str, ingestion_id: str, record_number: int
) -> TableState:
    """Read it, as it is if ``record_number`` is that of the ingestion's last recorded batch."""
    row = connection.execute(
        select(StoredTable.table_id, StoredTable.last_snapshot_id, StoredTable.agreed_number).where(
            StoredTable.table == table, StoredTable.ingestion_id == ingestion_id
        )
    ).one_or_none()
    table_id, last_snapshot_id, agreed_number = row or (None, None, None)
    return TableState(table_id, last_snapshot_id, agreed_number, record_number)


def move_table_state(
    connection: Connection,
    table: str,
    ingestion_id: str,
    table_id: str | None,
    snapshot_id: int | None,
    number: int,
    base: int | None,
) -> None:
    """Move on with a batch that is recorded now.

    Args:
        connection: A transaction with the lock of the ingestion.
        table: The batch's table.
        ingestion_id: Whose batch.
        table_id: Which table that was; None if it is not known.
        snapshot_id: What the batch made of main; None if it made no snapshot.
        number: The batch's number.
        base: Main's head before, if the worker that published the batch records it itself; if state
            and main agreed there, they agree now.
    """
    known = read_table_state(connection, table, ingestion_id, number - 1)
    agree = base is not None and known.agrees(table_id, base)
    if snapshot_id is None and not agree:
        return
    head = base if snapshot_id is None else snapshot_id
    now_known = TableState(table_id, head, number if agree else None)
    write_table_state(connection, table, ingestion_id, now_known)
