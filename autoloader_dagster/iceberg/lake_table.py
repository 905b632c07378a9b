"""A table with all that loading asks of it: commits, branches, and questions about its rows."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.iceberg import append as writing
from autoloader_dagster.iceberg import delete as taking_out
from autoloader_dagster.iceberg import rows as row_queries
from autoloader_dagster.iceberg.append import Written
from autoloader_dagster.iceberg.delete import Rows, Undone
from autoloader_dagster.iceberg.history import BatchKind
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.iceberg.rows import RowsOfFile
from autoloader_dagster.iceberg.table import IcebergTable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class LakeTable(IcebergTable):
    """An Iceberg table in a Spark session; see the modules whose functions it calls."""

    def append_counted(
        self,
        frame: "DataFrame",
        branch: str,
        batch_id: BatchId,
        files: Sequence[SourceFile],
        by_key: bool,
    ) -> Written:
        """Append the rows of these files to a branch, and count them by file."""
        return writing.append_counted(self, frame, branch, batch_id, files, by_key)

    def delete(self, branch: str, rows: Rows) -> None:
        """Delete these rows on a branch; without any, there is no snapshot."""
        taking_out.delete(self, branch, rows)

    def note(self, branch: str) -> None:
        """Make a snapshot without a change, for its properties."""
        taking_out.note(self, branch)

    def count(self, ref: str, rows: Rows) -> dict[tuple[BatchId, str], int]:
        """How many of these rows there are on a branch or on ``main``, by batch and file."""
        return taking_out.count(self, ref, rows)

    def kind_of(self, batch_id: BatchId, snapshot_id: int) -> BatchKind:
        """What kind of batch made a snapshot; a load, if nothing says otherwise."""
        return taking_out.kind_of(self, batch_id, snapshot_id)

    def undone_by(self, batch_id: BatchId, snapshot_id: int) -> list[Undone] | None:
        """What an undo in main took out; None if nothing tells."""
        return taking_out.undone_by(self, batch_id, snapshot_id)

    def rows_by_file(self, ref: str, batch_id: BatchId) -> dict[str, int]:
        """Rows of a batch for each source file, on a branch or on ``main``."""
        return row_queries.rows_by_file(self, ref, batch_id)

    def bad_rows_by_file(self, ref: str, batch_id: BatchId) -> dict[str, int]:
        """Rows of a batch with something in ``_rescued``, for each source file that has any."""
        return row_queries.bad_rows_by_file(self, ref, batch_id)

    def rows_like(self, ref: str, batch_id: BatchId, rescued: str) -> dict[str, int]:
        """Rows of a batch with exactly this in ``_rescued``, for each source file."""
        return row_queries.rows_like(self, ref, batch_id, rescued)

    def batch_ids(self, at: int | None = None) -> list[BatchId]:
        """Every batch that main, or the snapshot ``at``, has rows of."""
        return row_queries.batch_ids(self, at)

    def files_of_batch(self, batch_id: BatchId, at: int | None = None) -> list[RowsOfFile]:
        """The source files that main, or the snapshot ``at``, has rows of from a batch."""
        return row_queries.files_of_batch(self, batch_id, at)

    def rows_of_files(self, at: int | None = None) -> Iterator[RowsOfFile]:
        """The rows that main, or the snapshot ``at``, has of each file version and batch."""
        return row_queries.rows_of_files(self, at)
