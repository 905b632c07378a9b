"""Whether state and main agreed at the last snapshot, so that main need not be read as a whole.

Older packages leave the column as it is, and record batches with higher numbers.
"""

import sqlalchemy as sa

from autoloader_dagster.state.migrations.in_use import add_column, steps

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with steps():
        add_column("followed_tables", sa.Column("agreed_number", sa.BigInteger()))
