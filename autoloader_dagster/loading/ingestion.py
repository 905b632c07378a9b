"""One ingestion with everything that its loading needs, and what loading it came to."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.errors import UsageError
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.loading.lakehouse import SPARK, Lakehouse, Table
from autoloader_dagster.sources.base import FileSource
from autoloader_dagster.sources.copy_store import CopyStore
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.spec_set import LoadedSpec
from autoloader_dagster.state.store import ProcessedFiles

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, slots=True)
class Ingestion:
    """A spec, its source and the state.

    Attributes:
        loaded: The spec with its file and tenant.
        source: Lists and opens the files.
        store: What is known of each file and each batch.
        connect: Opens a Spark session; called only when there is something to load.
        staging_dir: Where copies are made of what Spark cannot read in place.
        lakehouse: Opens tables, and reads files, in such a session.
        copy_store: Where Spark reads these copies; None if it reads them in ``staging_dir``.
    """

    loaded: LoadedSpec
    source: FileSource
    store: ProcessedFiles
    connect: "Callable[[], AbstractContextManager[SparkSession]]"
    staging_dir: Path
    lakehouse: Lakehouse = SPARK
    copy_store: CopyStore | None = None

    @property
    def spec(self) -> IngestionSpec:
        """The spec itself."""
        return self.loaded.spec

    @property
    def id(self) -> str:
        """``tenant/name``."""
        return self.loaded.ingestion_id

    def spark_options(self) -> dict[str, str]:
        """Reader options with the credentials of the source and of the copies.

        Raises:
            SourceError: The credentials cannot be had.
            UsageError: Source and copies are in one bucket, and reach it by different credentials.
        """
        options = self.source.spark_options()
        if self.copy_store is None:
            return options
        of_copies = self.copy_store.spark_options()
        if any(options.get(key, value) != value for key, value in of_copies.items()):
            raise UsageError(
                f"AUTOLOADER_STAGING ({self.copy_store.address}) and the source of {self.id} are "
                "in one bucket, and have different credentials or endpoints",
                "Set AUTOLOADER_STAGING to another bucket, or AUTOLOADER_STAGING_CONNECTION to the "
                "connection of the source.",
            )
        return options | of_copies

    def table(self, session: "SparkSession", name: str | None = None) -> Table:
        """A table of this ingestion in a session, by default the one that it loads."""
        return self.lakehouse.table(session, name or self.spec.table.name)


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file of a batch.

    Attributes:
        path: The source's address.
        partition_key: Its partition.
        status: SUCCESS, FAILED, QUARANTINED, SKIPPED or DISCOVERED (it changed; next time).
        bytes: Its size.
        rows: Rows that are in the table now; 0 unless SUCCESS.
        bad_rows: Of these, the rows with something in ``_rescued``.
        error_type: Why it was not loaded, as a word.
        reason: Why it was not loaded, as a sentence.
        same_as: A file of another name that was loaded before with the same content.
    """

    path: str
    partition_key: str | None
    status: str
    bytes: int
    rows: int = 0
    bad_rows: int = 0
    error_type: str | None = None
    reason: str | None = None
    same_as: str | None = None


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one batch.

    Attributes:
        batch_id: The batch; ``NO_BATCH`` if no file could be claimed for one.
        snapshot_id: The snapshot in main that holds its rows; None if it has none.
        files: Every file that the batch claimed.
        seconds: From claim to record.
        columns: The table's columns as the batch left them, without the lineage columns; empty
            for a batch without rows.
        unmatched_hints: The spec's hints that match no column yet.
        table_rows: Rows that the table has with this batch; None if it made no snapshot, or its
            summary does not tell.
        notes: What looks like a mistake in the spec, and how to correct it.
    """

    batch_id: BatchId
    snapshot_id: int | None
    files: tuple[FileOutcome, ...]
    seconds: float
    columns: tuple[Column, ...] = ()
    unmatched_hints: tuple[str, ...] = ()
    table_rows: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def loaded(self) -> list[FileOutcome]:
        """The files whose rows are in the table now."""
        return [f for f in self.files if f.status == "SUCCESS"]

    @property
    def rows(self) -> int:
        """Rows in the table now."""
        return sum(f.rows for f in self.files)

    @property
    def bad_rows(self) -> int:
        """Rows with something in ``_rescued``."""
        return sum(f.bad_rows for f in self.files)

    @property
    def bytes(self) -> int:
        """Source bytes of the loaded files."""
        return sum(f.bytes for f in self.loaded)
