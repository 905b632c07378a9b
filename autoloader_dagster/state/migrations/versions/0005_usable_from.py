"""The oldest package that can use the schema, so that an upgrade does not stop older workers."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    made = op.create_table(
        "autoloader_schema",
        sa.Column("usable_from", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("usable_from", name="pk_autoloader_schema"),
    )
    op.bulk_insert(made, [{"usable_from": revision}])
