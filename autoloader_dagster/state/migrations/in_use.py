"""Changes tables that others may be reading and writing.

On a PostgreSQL database that is in use each step commits by itself, so that nobody waits for more
than one of them. A migration may be ended between two steps, and is then run again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

# An attribute of Alembic's configuration: the database is in use, and each migration commits alone.
IN_USE = "autoloader_in_use"
_ROWS_AT_ONCE = 20_000


def create_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Create an index. Call it last in a migration of its own: what comes before is committed."""
    if not _is_shared():
        op.create_index(name, table, columns, **options)
        return
    with op.get_context().autocommit_block():
        # It waits for the transactions of all others, however long they take.
        op.execute("SET lock_timeout = 0")
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)


@contextmanager
def steps() -> Iterator[None]:
    """A block in which each statement commits by itself, if others use the database."""
    if not _is_shared():
        yield
        return
    with op.get_context().autocommit_block():
        yield


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column that may be null, unless an interrupted migration has added it."""
    op.add_column(table, column, if_not_exists=True if _is_shared() else None)


def rename_column(table: str, old: str, new: str) -> None:
    """Rename a column, unless an interrupted migration has renamed it."""
    columns = {each["name"] for each in sa.inspect(op.get_bind()).get_columns(table)}
    if old in columns:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")


def update_by_id(table: str, change: str, **values: Any) -> None:
    """Change rows in pieces of ids, so that no lock is held for long.

    Args:
        table: Its name; it has an ``id`` that counts.
        change: ``SET ... WHERE ...``, which has the same effect when it is done again.
        values: Of the parameters in it.
    """
    statement = sa.text(f"UPDATE {table} {change} AND id BETWEEN :first AND :last")
    connection = op.get_bind()
    highest = connection.scalar(sa.text(f"SELECT max(id) FROM {table}")) or 0
    for first in range(0, highest + 1, _ROWS_AT_ONCE):
        last = first + _ROWS_AT_ONCE - 1
        connection.execute(statement, {**values, "first": first, "last": last})


def _is_shared() -> bool:
    context = op.get_context()
    in_use = context.config is not None and context.config.attributes.get(IN_USE, False)
    return bool(in_use) and context.dialect.name == "postgresql"
