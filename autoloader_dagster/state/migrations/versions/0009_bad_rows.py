"""An index by which each tick finds the loaded files with bad rows, of which there are few."""

import sqlalchemy as sa

from autoloader_dagster.state.migrations.in_use import create_index

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_HAS_BAD_ROWS = sa.text("bad_rows > 0")


def upgrade() -> None:
    create_index(
        "ix_processed_files_bad_rows",
        "processed_files",
        ["ingestion_id", "status", "bad_rows"],
        sqlite_where=_HAS_BAD_ROWS,
        postgresql_where=_HAS_BAD_ROWS,
    )
