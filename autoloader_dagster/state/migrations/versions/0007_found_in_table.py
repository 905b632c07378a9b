"""An index by which each listing finds the versions that only the table has shown so far."""

import sqlalchemy as sa

from autoloader_dagster.state.migrations.in_use import create_index

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NOT_LISTED = sa.text("found_in_table_at IS NOT NULL")


def upgrade() -> None:
    create_index(
        "ix_processed_files_found_in_table",
        "processed_files",
        ["ingestion_id"],
        sqlite_where=_NOT_LISTED,
        postgresql_where=_NOT_LISTED,
    )
