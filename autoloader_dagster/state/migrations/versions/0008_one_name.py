"""Columns are called what they are called everywhere else. Older packages do not know the names."""

from alembic import op

from autoloader_dagster.state.migrations.in_use import rename_column

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_RENAMED = (
    ("processed_files", "records_ingested", "rows"),
    ("processed_files", "bad_records", "bad_rows"),
    ("processed_files", "error_message", "reason"),
    ("batches", "table_uuid", "table_id"),
    ("followed_tables", "table_uuid", "table_id"),
)


def upgrade() -> None:
    for table, old, new in _RENAMED:
        rename_column(table, old, new)
    op.execute(f"UPDATE autoloader_schema SET usable_from = '{revision}'")
