"""Batches that undo and reload, whose files stay as they are until the batch is recorded."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Every batch of before has loaded something.
    op.add_column("batches", sa.Column("kind", sa.Text(), nullable=False, server_default="load"))
    op.add_column("batches", sa.Column("member_files", sa.Text()))
