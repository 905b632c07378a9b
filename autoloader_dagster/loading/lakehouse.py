"""What loading asks of the place where tables are, and Spark's answer to it.

Everything in this package reaches a table through these protocols. The tests explore the orders of
concurrent work on a twin of them in memory, with the same loading code.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.formats.base import Readable
from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.formats.frame import batch_frame, checked_looks, columns_of_files
from autoloader_dagster.formats.outcome import Look
from autoloader_dagster.iceberg.append import Written, bad_rows_of, count_bad_rows
from autoloader_dagster.iceberg.column_trial import refusal_of
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.delete import Rows, Undone
from autoloader_dagster.iceberg.history import History, Snapshot
from autoloader_dagster.iceberg.lake_table import LakeTable
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.iceberg.required import Refused, refused_rows
from autoloader_dagster.iceberg.rows import RowsOfFile
from autoloader_dagster.iceberg.table import IcebergTable
from autoloader_dagster.spark.waiting import tell_of_waiting_tasks
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.state.records import BatchKind

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Table(Protocol):
    """One table; see ``IcebergTable`` and ``LakeTable``, whose methods these are."""

    name: str
    branches_seen: frozenset[str]

    def exists(self) -> bool: ...

    def create(
        self,
        columns: Sequence[Column],
        partition_by: Sequence[str],
        properties: Mapping[str, str],
        comment: str,
    ) -> None: ...

    def columns(self) -> tuple[Column, ...]: ...

    def columns_if_exists(self) -> tuple[Column, ...] | None: ...

    def add_columns(self, columns: Sequence[Column]) -> None: ...

    def widen(self, column: str, sql_type: str) -> None: ...

    def table_id(self) -> str: ...

    def owner(self) -> str | None: ...

    def set_owner(self, ingestion_id: str) -> None: ...

    def head(self) -> int: ...

    def head_and_id(self, just_read: bool = False) -> tuple[int | None, str | None]: ...

    def history(self) -> History: ...

    def create_branch(self, branch: str, base: int) -> None: ...

    def drop_branch(self, branch: str) -> None: ...

    def branches(self) -> dict[str, int]: ...

    def chain(self, branch: str, base: int) -> list[Snapshot]: ...

    def main_holds(self, snapshot_id: int) -> bool: ...

    def tagged(
        self,
        attempt: str,
        batch_id: BatchId | None = None,
        further: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[None]: ...

    def fast_forward(self, branch: str) -> int: ...

    def append_counted(
        self, frame: Any, branch: str, batch_id: BatchId, files: Sequence[SourceFile], by_key: bool
    ) -> Written: ...

    def delete(self, branch: str, rows: Rows) -> None: ...

    def note(self, branch: str) -> None: ...

    def count(self, ref: str, rows: Rows) -> dict[tuple[BatchId, str], int]: ...

    def kind_of(self, batch_id: BatchId, snapshot_id: int) -> BatchKind: ...

    def undone_by(self, batch_id: BatchId, snapshot_id: int) -> list[Undone] | None: ...

    def rows_by_file(self, ref: str, batch_id: BatchId) -> dict[str, int]: ...

    def bad_rows_by_file(self, ref: str, batch_id: BatchId) -> dict[str, int]: ...

    def rows_like(self, ref: str, batch_id: BatchId, rescued: str) -> dict[str, int]: ...

    def batch_ids(self, at: int | None = None) -> list[BatchId]: ...

    def files_of_batch(self, batch_id: BatchId, at: int | None = None) -> list[RowsOfFile]: ...

    def rows_of_files(self, at: int | None = None) -> Iterator[RowsOfFile]: ...


class Frames(Protocol):
    """Makes what is appended to a table from the files of a batch."""

    def columns(
        self, readable: Sequence[Readable], known: Sequence[Column]
    ) -> FoundColumns | Sequence[Column]:
        """The columns that these files have; see ``columns_of_files``."""
        ...

    def checked_looks(self, readable: Sequence[Readable], source_files: int = 0) -> dict[str, Look]:
        """The whole looks of the large files that are ordinary; see ``checked_looks``."""
        ...

    def is_distributed(self) -> bool:
        """Whether files are read on other machines than the server's own."""
        ...

    def bad_rows(self, frame: Any, files: int) -> dict[str, int]:
        """The rows of each file with something in ``_rescued``."""
        ...

    def misfits(self, frame: Any, rows: int) -> list[tuple[str, str]]:
        """The source file and ``_rescued`` of at most so many bad rows."""
        ...

    def refused_rows(self, frame: Any, columns: Sequence[Column]) -> dict[str, Refused]:
        """The files with rows that the table refuses; see ``refused_rows``."""
        ...

    def refusal(self, columns: Sequence[Column]) -> str | None:
        """Why the table cannot have these columns; None if it can, or nobody knows."""
        ...

    def frame(
        self,
        readable: Sequence[Readable],
        columns: Sequence[Column],
        batch_id: BatchId,
        source_files: int = 0,
    ) -> Any:
        """All rows of these files, for ``Table.append_counted``; see ``batch_frame``."""
        ...

    def read_to_the_end(self, frame: Any) -> None:
        """Read a frame and keep nothing; raises what reading its files raises."""
        ...


class Lakehouse(Protocol):
    """Opens tables, and reads files for them, in a session of ``Ingestion.connect``."""

    def table(self, session: Any, name: str) -> Table:
        """A table by its full name."""
        ...

    def frames(self, session: Any, spec: IngestionSpec, options: dict[str, str]) -> Frames:
        """Reads the files of a spec.

        Args:
            session: The session.
            spec: The spec.
            options: The source's own options of a reader.
        """
        ...

    def watch(self, session: Any, tell: Callable[[str], None]) -> None:
        """Have it told when the session's work waits for the machines that do it."""
        ...


class SparkLakehouse:
    """Iceberg tables and files, by Spark."""

    def table(self, session: "SparkSession", name: str) -> Table:
        """A table by its full name."""
        return LakeTable(session, name)

    def frames(
        self, session: "SparkSession", spec: IngestionSpec, options: dict[str, str]
    ) -> Frames:
        """Reads the files of a spec."""
        return _SparkFrames(session, spec, options)

    def watch(self, session: "SparkSession", tell: Callable[[str], None]) -> None:
        """Have it told when tasks wait for executors."""
        tell_of_waiting_tasks(session, tell)


class _SparkFrames:
    def __init__(
        self, session: "SparkSession", spec: IngestionSpec, options: dict[str, str]
    ) -> None:
        self._session = session
        self._spec = spec
        self._options = options

    def columns(self, readable: Sequence[Readable], known: Sequence[Column]) -> FoundColumns:
        return columns_of_files(
            self._session, self._spec, readable, self._options, known, self._format_version
        )

    def checked_looks(self, readable: Sequence[Readable], source_files: int = 0) -> dict[str, Look]:
        return checked_looks(self._session, self._spec, readable, self._options, source_files)

    def is_distributed(self) -> bool:
        return not (self._session.conf.get("spark.master", "local") or "").startswith("local")

    def bad_rows(self, frame: Any, files: int) -> dict[str, int]:
        return count_bad_rows(frame, files)

    def misfits(self, frame: Any, rows: int) -> list[tuple[str, str]]:
        return bad_rows_of(frame, rows)

    def refused_rows(self, frame: Any, columns: Sequence[Column]) -> dict[str, Refused]:
        return refused_rows(frame, columns)

    def refusal(self, columns: Sequence[Column]) -> str | None:
        table = IcebergTable(self._session, self._spec.table.name)
        return refusal_of(table, columns, self._format_version())

    def _format_version(self) -> int:
        table = IcebergTable(self._session, self._spec.table.name)
        return table.format_version(self._spec.table.properties.get("format-version", "2"))

    def frame(
        self,
        readable: Sequence[Readable],
        columns: Sequence[Column],
        batch_id: BatchId,
        source_files: int = 0,
    ) -> Any:
        return batch_frame(
            self._session, self._spec, readable, self._options, columns, batch_id, source_files
        )

    def read_to_the_end(self, frame: Any) -> None:
        frame.write.format("noop").mode("overwrite").save()


SPARK = SparkLakehouse()
