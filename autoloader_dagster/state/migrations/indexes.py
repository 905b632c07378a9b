"""Creates indexes on tables that others may be writing to."""

from collections.abc import Sequence
from typing import Any

from alembic import op

# An attribute of Alembic's configuration: the database is in use, and each migration commits alone.
IN_USE = "autoloader_in_use"


def create_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Create an index; on a PostgreSQL database that is in use without keeping its writers out.

    Such an index is built outside of a transaction. Call it last in a migration of its own: what
    comes before it is committed first, and what an interrupted one left is dropped.
    """
    context = op.get_context()
    in_use = context.config is not None and context.config.attributes.get(IN_USE, False)
    if not in_use or context.dialect.name != "postgresql":
        op.create_index(name, table, columns, **options)
        return
    with context.autocommit_block():
        # It waits for the transactions of all others, however long they take.
        op.execute("SET lock_timeout = 0")
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)
