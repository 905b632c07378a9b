"""An index by which files of the same content are found, where the source gives etags."""

import sqlalchemy as sa

from autoloader_dagster.state.migrations.in_use import create_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HAS_ETAG = sa.text("file_etag IS NOT NULL")


def upgrade() -> None:
    create_index(
        "ix_processed_files_ingestion_id_file_etag_id",
        "processed_files",
        ["ingestion_id", "file_etag", "id"],
        sqlite_where=_HAS_ETAG,
        postgresql_where=_HAS_ETAG,
    )
