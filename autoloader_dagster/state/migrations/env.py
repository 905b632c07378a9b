"""Alembic runs this file for every command; the connection comes from ``upgrade.py``."""

from alembic import context

from autoloader_dagster.state.database import VERSION_TABLE
from autoloader_dagster.state.migrations.in_use import IN_USE
from autoloader_dagster.state.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # SQLite cannot alter a column: Alembic rebuilds the table and copies it.
    render_as_batch=True,
    transaction_per_migration=bool(context.config.attributes.get(IN_USE)),
    # Other tables may live in the same PostgreSQL database; they are none of our business.
    include_name=lambda name, kind, _parents: kind != "table" or name in Base.metadata.tables,
)

with context.begin_transaction():
    context.run_migrations()
