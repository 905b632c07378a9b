"""How far each ingestion has followed a table, instead of one position for all that share it.

With one position, an ingestion that came first after the state was lost moved it past the batches
of the others, and these were loaded once more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "followed_tables",
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("ingestion_id", sa.Text(), nullable=False),
        sa.Column("table_uuid", sa.Text()),
        sa.Column("last_snapshot_id", sa.BigInteger()),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("table", "ingestion_id", name="pk_followed_tables"),
    )
    # Who shares a table follows it from its beginning once, because the old position may be past
    # batches of which only another one had looked.
    op.execute(
        """
        INSERT INTO followed_tables
            ("table", ingestion_id, table_uuid, last_snapshot_id, updated_at)
        SELECT t."table", b.ingestion_id, t.table_uuid,
               CASE WHEN s.ingestions = 1 THEN t.last_snapshot_id END, t.updated_at
        FROM tables AS t
        JOIN (SELECT DISTINCT "table", ingestion_id FROM batches) AS b ON b."table" = t."table"
        JOIN (SELECT "table", count(DISTINCT ingestion_id) AS ingestions FROM batches
              GROUP BY "table") AS s ON s."table" = t."table"
        """
    )
    op.drop_table("tables")
