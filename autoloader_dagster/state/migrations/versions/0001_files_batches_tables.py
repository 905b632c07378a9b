"""Files, batches and tables.

The types are written out here and not taken from the models, because the models will move on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("ingestion_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("table_uuid", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=False),
        sa.Column("lease_expires_at", _MOMENT, nullable=False),
        sa.Column("base_snapshot_id", sa.BigInteger()),
        sa.Column("snapshot_id", sa.BigInteger()),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("finished_at", _MOMENT),
        sa.Column("error", sa.Text()),
        sa.Column("released_files", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    _index("batches", "status", "lease_expires_at")
    _index("batches", "ingestion_id", "started_at")
    _index("batches", "run_id")

    op.create_table(
        "processed_files",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("ingestion_id", sa.Text(), nullable=False),
        sa.Column("file_path", _ORDERED, nullable=False),
        sa.Column("file_version", sa.Text(), nullable=False),
        sa.Column("file_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_modified_at", _MOMENT, nullable=False),
        sa.Column("file_etag", sa.Text()),
        sa.Column("partition_key", _ORDERED),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text()),
        sa.Column("run_id", sa.Text()),
        sa.Column("snapshot_id", sa.BigInteger()),
        sa.Column("discovered_at", _MOMENT, nullable=False),
        sa.Column("processing_started_at", _MOMENT),
        sa.Column("processed_at", _MOMENT),
        sa.Column("records_ingested", sa.BigInteger()),
        sa.Column("bad_records", sa.BigInteger()),
        sa.Column("bytes_read", sa.BigInteger()),
        sa.Column("processing_duration_ms", sa.BigInteger()),
        sa.Column("error_type", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_processed_files"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_processed_files_batch_id"),
        sa.UniqueConstraint(
            "ingestion_id",
            "file_path",
            "file_version",
            name="uq_processed_files_ingestion_id_file_path_file_version",
        ),
        sqlite_autoincrement=True,
    )
    _index("processed_files", "ingestion_id", "status")
    _index("processed_files", "ingestion_id", "partition_key", "status")
    _index("processed_files", "run_id")
    _index("processed_files", "batch_id")
    _index("processed_files", "file_path")
    _index("processed_files", "status", "processed_at")

    op.create_table(
        "tables",
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("table_uuid", sa.Text()),
        sa.Column("last_snapshot_id", sa.BigInteger()),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("table", name="pk_tables"),
    )


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
