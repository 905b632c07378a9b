"""Columns for two facts that were read from sentences before.

The batch that took the rows of a version out was in the reason of that version, and a version that
no listing had shown was told by the beginning of its ``file_version``. Older packages write these
facts into the sentences only, so they cannot use the database any more.
"""

import sqlalchemy as sa
from alembic import op

from autoloader_dagster.state.migrations.in_use import add_column, steps, update_by_id

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What the sentences of earlier versions began with, by the status of the file.
_SENTENCES = {
    "REPLACED": "a newer version of the file took its place in batch ",
    "UNDONE": "its rows were taken out by the undo ",
}
_UNLISTED = "unlisted since "


def upgrade() -> None:
    with steps():
        add_column("processed_files", sa.Column("displaced_by_batch", sa.Text()))
        add_column("processed_files", sa.Column("found_in_table_at", sa.DateTime(timezone=True)))
        # Before the facts are copied: from now on nobody begins to write sentences alone.
        op.execute(f"UPDATE autoloader_schema SET usable_from = '{revision}'")
        for status, sentence in _SENTENCES.items():
            update_by_id(
                "processed_files",
                "SET displaced_by_batch = substr(error_message, :after) "
                "WHERE status = :status AND substr(error_message, 1, :length) = :sentence",
                after=len(sentence) + 1,
                status=status,
                length=len(sentence),
                sentence=sentence,
            )
        update_by_id(
            "processed_files",
            "SET found_in_table_at = created_at WHERE substr(file_version, 1, :length) = :unlisted",
            length=len(_UNLISTED),
            unlisted=_UNLISTED,
        )
