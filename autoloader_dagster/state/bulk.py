"""Puts many rows into a temporary table at once, past SQLAlchemy, whose way is slow for that."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Table

from autoloader_dagster.state.models import UtcDateTime


def moment_writer(connection: Connection) -> Callable[[Any], Any]:
    """What SQLAlchemy does to a moment on its way to this database, for rows that go past it."""
    kind = UtcDateTime().dialect_impl(connection.dialect)
    return kind.bind_processor(connection.dialect) or (lambda moment: moment)


def bulk_insert(connection: Connection, table: Table, rows: list[tuple[Any, ...]]) -> None:
    """Insert rows that have a value for every column of the table, in its order."""
    columns = ", ".join(table.columns.keys())
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join("?" * len(table.columns))
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", rows)
