"""A number for the order in which the batches of an ingestion were recorded.

Dagster is told of batches in this order. Older packages record batches without a number, so they
cannot use the database any more.
"""

import sqlalchemy as sa
from alembic import op

from autoloader_dagster.state.migrations.in_use import add_column, steps

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Of earlier batches, a clock is all that is left.
_NUMBER = """
UPDATE batches SET record_number = numbered.number FROM (
    SELECT id, row_number() OVER (
        PARTITION BY ingestion_id ORDER BY coalesce(finished_at, started_at), id
    ) AS number
    FROM batches WHERE status IN ('RECORDED', 'RELEASED')
) AS numbered
WHERE numbered.id = batches.id
"""


def upgrade() -> None:
    with steps():
        add_column("batches", sa.Column("record_number", sa.BigInteger()))
        # Before the batches get their numbers: from now on nobody begins to record without one.
        op.execute(f"UPDATE autoloader_schema SET usable_from = '{revision}'")
        op.execute(_NUMBER)
