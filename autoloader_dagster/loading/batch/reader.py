"""Reads the files of one batch for its table, and finds those whose rows or columns do not fit."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.formats.base import Readable
from autoloader_dagster.formats.content import GZIP_AT_BEST
from autoloader_dagster.formats.found_columns import FoundColumns, found_columns
from autoloader_dagster.formats.frame import by_group
from autoloader_dagster.formats.large_text import LARGE_BYTES
from autoloader_dagster.formats.outcome import Bad, Look
from autoloader_dagster.formats.reading import LIST_FOLDERS_FROM, TOO_MANY_TO_LIST
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.loading.batch.audit import too_many_bad_rows
from autoloader_dagster.loading.batch.bad_rows import ROWS_READ, name_bad_rows, too_few_values
from autoloader_dagster.loading.batch.files import Members
from autoloader_dagster.loading.batch.large_files import check_large
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.progress import Progress
from autoloader_dagster.loading.schema_policy import columns_to_add
from autoloader_dagster.sources.base import FileRef

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class BatchReader:
    """Reads the files of a batch.

    Args:
        ingestion: What is loaded.
        spark: An open session.
        batch_id: The batch.
        members: Its files.
    """

    def __init__(
        self, ingestion: Ingestion, spark: "SparkSession", batch_id: BatchId, members: Members
    ) -> None:
        self._ingestion = ingestion
        self._spec = ingestion.spec
        self._batch_id = batch_id
        self._members = members
        self._frames = ingestion.lakehouse.frames(spark, self._spec, ingestion.spark_options())

    def columns(self, readable: Sequence[Readable], known: Sequence[Column] = ()) -> FoundColumns:
        """The columns that these files have; ``known`` are the table's."""
        return found_columns(self._frames.columns(readable, known))

    def large_bytes(self, refs: Sequence[FileRef]) -> int | None:
        """From which size on Spark checks a text; None where it has no other machines.

        On one machine the look is five times as fast as Spark.
        """
        large = any(ref.size >= LARGE_BYTES // GZIP_AT_BEST for ref in refs)
        return LARGE_BYTES if large and self._frames.is_distributed() else None

    def check_large(self, readable: Sequence[Readable], progress: Progress) -> dict[str, Look]:
        """The whole looks at those files that are large; see ``check_large``."""
        if all(item.look.unchecked_bytes is None for item in readable):
            # Without asking the state how many files there are.
            return {}
        source, known = self._ingestion.source, self._known_files()
        return check_large(self._frames, source, self._spec.format, readable, progress, known)

    def frame(self, readable: Sequence[Readable], columns: Sequence[Column]) -> Any:
        """All rows of these files with these columns, for ``Table.append_counted``."""
        return self._frames.frame(readable, columns, self._batch_id, self._known_files())

    def read_to_the_end(self, readable: Sequence[Readable], columns: Sequence[Column]) -> None:
        """Read these files and keep nothing; raises what reading them raises."""
        self._frames.read_to_the_end(self.frame(readable, columns))

    def too_many_bad_rows(
        self, readable: Sequence[Readable], columns: Sequence[Column]
    ) -> dict[str, Bad]:
        """The files that the audit would quarantine for their bad rows, with the reason."""
        counts = self._frames.bad_rows(self.frame(readable, columns), len(readable))
        return self.with_a_bad_row(too_many_bad_rows(self._spec, counts), readable, columns)

    def with_a_bad_row(
        self, bad: Mapping[str, Bad], readable: Sequence[Readable], columns: Sequence[Column]
    ) -> dict[str, Bad]:
        """The reasons of files with too many bad rows, each with one of these rows."""

        def misfits(some: Sequence[Readable]) -> list[tuple[str, str]]:
            return self._frames.misfits(self.frame(some, columns), ROWS_READ)

        return name_bad_rows(self._spec, bad, readable, misfits, self._ingestion.source)

    def refused_by_table(
        self, readable: Sequence[Readable], columns: Sequence[Column]
    ) -> dict[str, Bad]:
        """The files with rows that lack a value where the table must have one."""
        refused = self._frames.refused_rows(self.frame(readable, columns), columns)
        return too_few_values(self._spec, refused)

    def impossible_columns(
        self, readable: Sequence[Readable], known: Sequence[Column]
    ) -> dict[str, Bad]:
        """The files with columns that the catalog refuses, tried a schema at a time."""
        bad: dict[str, Bad] = {}
        for members in by_group(readable).values():
            new = columns_to_add(known, self.columns(members, known).columns)
            refusal = self._frames.refusal(new) if new else None
            if refusal is not None:
                fault = Bad("UnsupportedType", f"has columns that no table can have: {refusal}")
                bad |= {item.file.path: fault for item in members}
        return bad

    def _known_files(self) -> int:
        """How many files the source has; asked only where the way of reading depends on it."""
        if len(self._members.files) < LIST_FOLDERS_FROM:
            return 0
        if not self._ingestion.source.lists_by_folder:
            return TOO_MANY_TO_LIST
        totals = self._ingestion.store.totals.counts(self._ingestion.id)
        return sum(total.files for total in totals.get(self._ingestion.id, {}).values())
