"""An index by which a tick finds the batches that were recorded since the last one."""

from autoloader_dagster.state.migrations.in_use import create_index

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index(
        "ix_batches_ingestion_id_record_number", "batches", ["ingestion_id", "record_number"]
    )
