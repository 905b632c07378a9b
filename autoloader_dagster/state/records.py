"""What goes into the state and comes out of it: frozen values, no database behind them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.sources.base import FileRef

FileStatus = Literal[
    "DISCOVERED",
    "HELD",
    "PROCESSING",
    "SUCCESS",
    "FAILED",
    "QUARANTINED",
    "SKIPPED",
    "REPLACED",
    "UNDONE",
]
BatchStatus = Literal["CLAIMED", "WRITTEN", "RECORDED", "RELEASED"]
BatchKind = Literal["load", "undo", "reload"]
# missing: loaded by the state, and the table has no row of it. fewer: it has only some of them.
# double: it has rows of another batch as well, or more rows than recorded. unrecorded: the table
# has its rows, and the state does not hold it as loaded. unknown: rows of no version that is
# recorded or listed. gone: loaded, and not in the source any more, which is no fault.
DifferenceKind = Literal["missing", "fewer", "double", "unrecorded", "unknown", "gone"]
OnChange = Literal["ignore", "append", "replace", "fail"]

# What can be tried again when a person asks for it.
RETRIABLE: tuple[FileStatus, ...] = ("FAILED", "QUARANTINED", "SKIPPED", "UNDONE")

# What ``dismiss`` takes off the list of what is wrong.
DISMISSIBLE: tuple[FileStatus, ...] = ("FAILED", "QUARANTINED")

# The error types that the state itself knows.
NO_PARTITION = "NoPartition"
FILE_CHANGED = "FileChanged"
FILE_GONE = "FileGone"
# A loaded file that has another address since ``source.url`` was changed.
LOADED_ELSEWHERE = "LoadedElsewhere"
# A person has decided that the file is not to be loaded.
DISMISSED = "Dismissed"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a new file version belongs, decided by the caller from the spec.

    Attributes:
        partition_key: The Dagster partition; None for a table without partitions, or if none fits.
        status: DISCOVERED to load it, HELD to wait, QUARANTINED if it cannot be placed.
        error_type: ``NoPartition`` where no partition fits; such files are placed again later.
        reason: Why it is not to be loaded now, for people.
    """

    partition_key: str | None
    status: Literal["DISCOVERED", "HELD", "QUARANTINED"] = "DISCOVERED"
    error_type: str | None = None
    reason: str | None = None


Place = Callable[[FileRef], Placement]
# Whether a recorded partition key is one of the spec's partitions.
Fits = Callable[[str | None], bool]
# Raises unless what is to be written still holds. It is called without an open transaction.
Guard = Callable[[], None]


def no_guard() -> None:
    """Let everything be written."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one listing brought. Every listed file counts once in new … in_flight.

    Attributes:
        listed: Files listed, a path once.
        bytes_listed: Their size in bytes.
        new: To be loaded, and nothing of this path is in the table.
        changed: To be loaded, and another version of this path was loaded before.
        unchanged: Known, and nothing is to be done.
        held: Held back now, since this listing or an earlier one, by its placement.
        skipped: Left out from now on by ``on_change: ignore``.
        quarantined: Set aside by its placement (now or earlier) or from now on by
            ``on_change: fail``.
        in_flight: Left for the next listing, because another version is being loaded just now, or
            a listing that began later has seen one.
        bytes_new: Bytes of the new and the changed ones.
        placed_again: Of the new ones, those that were known, and had no partition to load into.
        began: When the listing began, by the database's clock; None if nothing was listed.
    """

    listed: int = 0
    bytes_listed: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    held: int = 0
    skipped: int = 0
    quarantined: int = 0
    in_flight: int = 0
    bytes_new: int = 0
    placed_again: int = 0
    began: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PendingPartition:
    """The files of one partition that wait to be loaded.

    Attributes:
        partition_key: None for files without a partition.
        files: How many.
        bytes: Their size in bytes.
        digest: Changes when a file joins or leaves, or fails once more.
        oldest_modified_at: When the oldest of them was last changed at the source.
        changed_at: When one of them last became pending, be it by a batch that was released:
            the digest does not tell that. None if a batch that was left behind holds one.
    """

    partition_key: str | None
    files: int
    bytes: int
    digest: str
    oldest_modified_at: datetime
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class PartitionRange:
    """Partitions from ``start`` to ``end``, both included, by the order of their bytes."""

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class PartitionKeys:
    """These partitions; None for files without one."""

    keys: tuple[str | None, ...]


Partitions = PartitionRange | PartitionKeys | None


@dataclass(frozen=True, slots=True)
class Claim:
    """Which pending files a worker wants as a batch, and on what terms.

    Attributes:
        ingestion_id: ``tenant/name``.
        tenant: The part before the slash.
        table: Name of the Iceberg table.
        partitions: Which ones; None for all, files without a partition included.
        max_files: At most so many files.
        max_bytes: At most so many bytes; but always one file.
        retries: A FAILED file is pending while it has failed no more often than this.
        owner: Who holds the lease: one name for each worker, never used again. It does not get
            files that failed in its own batches, so that one run does not use up all tries of a
            file at once.
        run_id: The Dagster run.
        lease: How long the batch is safe from others without being renewed.
    """

    ingestion_id: str
    tenant: str
    table: str
    partitions: Partitions
    max_files: int
    max_bytes: int
    retries: int
    owner: str
    run_id: str
    lease: timedelta


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file version in a batch.

    Attributes:
        id: Stands for this version of this path of this ingestion, for good.
        size: Bytes.
        retry_count: How often it has failed before.
        replaces: Whether another version of the path is loaded.
    """

    id: int
    path: str
    size: int
    modified_at: datetime
    version: str
    etag: str | None
    partition_key: str | None
    retry_count: int
    replaces: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """File versions that go into one commit, or whose rows it takes out.

    Attributes:
        kind: What it does. An undo or a reload has files that stay as they are until it is
            recorded.
        files: What the batch holds: while it is open the files that have not left it, once it is
            recorded the files it loaded or undid, once it is released the files that it gave back.
        attempt: How many attempts were begun.
        base_snapshot_id: Main's head when the last attempt began; None for an empty table.
    """

    batch_id: BatchId
    ingestion_id: str
    kind: BatchKind
    table: str
    table_id: str | None
    status: BatchStatus
    owner: str
    run_id: str
    attempt: int
    base_snapshot_id: int | None
    snapshot_id: int | None
    lease_expires_at: datetime
    files: tuple[BatchFile, ...]


@dataclass(frozen=True, slots=True)
class Amendment:
    """What an undo or a reload is to begin with.

    Attributes:
        kind: Which of the two.
        ingestion_id: ``tenant/name``.
        tenant: The part before the slash.
        table: Name of the Iceberg table.
        file_ids: The file versions it is about.
    """

    kind: Literal["undo", "reload"]
    ingestion_id: str
    tenant: str
    table: str
    file_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RemovedFile:
    """Why a file leaves its batch without being loaded.

    Attributes:
        status: FAILED to try again (QUARANTINED once the tries are used up), QUARANTINED for good,
            DISCOVERED to try again at once, SKIPPED for a policy.
        count_retry: Whether this was one of the file's tries (for FAILED and DISCOVERED); not so
            when others have caused it.
    """

    file_id: int
    status: Literal["FAILED", "QUARANTINED", "DISCOVERED", "SKIPPED"]
    error_type: str | None
    message: str | None
    count_retry: bool = True


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """What of a file is in the table: its rows, and how many of them are bad."""

    file_id: int
    rows: int
    bad_rows: int = 0


@dataclass(frozen=True, slots=True)
class LoadedElsewhere:
    """Loaded files of an ingestion in a table that its spec does not name.

    Attributes:
        table: The table.
        files: How many of its files have rows.
        rows: Their rows.
        path: One of the files.
    """

    table: str
    files: int
    rows: int
    path: str


@dataclass(frozen=True, slots=True)
class TableState:
    """How far the state has followed a table.

    Attributes:
        table_id: Which table that was; None if it is not known.
        last_snapshot_id: Main's last snapshot that was seen; None if none was.
        agreed_number: The number of the ingestion's last recorded batch when state and main were
            seen to agree at that snapshot; None if they are yet to be compared.
        record_number: The number of its last recorded batch now; 0 if there is none.
    """

    table_id: str | None
    last_snapshot_id: int | None
    agreed_number: int | None = None
    record_number: int = 0

    def agrees(self, table_id: str | None, head: int | None) -> bool:
        """Whether state and main agree, if this is the table and main is at this snapshot.

        They do if they did when the snapshot was seen, and no batch was recorded since. One that a
        worker has recorded on top of that snapshot takes the mark along, so this is the rule.
        """
        return (
            table_id is not None
            and (self.table_id, self.last_snapshot_id) == (table_id, head)
            and self.agreed_number == self.record_number
        )


class KnownBatch(NamedTuple):
    """Whose batch it is, and what became of it."""

    ingestion_id: str
    status: BatchStatus
    snapshot_id: int | None


class DisplacedFile(NamedTuple):
    """A file version whose rows a batch took out, the batch that had loaded it, and its rows."""

    id: int
    path: str
    batch_id: BatchId
    rows: int


class HandOver(NamedTuple):
    """What is known of an ingestion: file versions, batches, and the tables that they went to."""

    files: int
    batches: int
    tables: tuple[str, ...]


class RolledBack(NamedTuple):
    """A batch that was rolled back: whose it was, and how many files are not loaded any more."""

    ingestion_id: str
    files: int


class RowsOfFile(Protocol):
    """Rows that a table has of one version of a file from one batch."""

    @property
    def path(self) -> str: ...
    @property
    def modified_at(self) -> datetime: ...
    @property
    def batch_id(self) -> str: ...
    @property
    def partition_key(self) -> str | None: ...
    @property
    def rows(self) -> int: ...
    @property
    def bad_rows(self) -> int: ...


class Difference(NamedTuple):
    """A file version of which state, table and source do not say the same.

    Attributes:
        rows: In the table.
        recorded_rows: In the table by the state, for a version that it holds as loaded.
        file_id: The version in the state; None if none is recorded.
        status: Of that version.
    """

    kind: DifferenceKind
    path: str
    modified_at: datetime
    batch_id: BatchId
    partition_key: str | None
    rows: int
    bad_rows: int
    recorded_rows: int | None
    file_id: int | None
    status: FileStatus | None


class StatusTotals(NamedTuple):
    """Files of one status, their bytes at the source and their rows in the table."""

    files: int
    bytes: int
    rows: int


class BadRows(NamedTuple):
    """Rows with something in ``_rescued``: in all, in how many files, and in the worst one."""

    rows: int
    files: int
    worst: int


class PartitionTotals(NamedTuple):
    """What of one partition is loaded."""

    files: int
    rows: int


@dataclass(frozen=True, slots=True)
class FileRow:
    """All that is recorded of a file version; the names are the columns'."""

    id: int
    tenant: str
    ingestion_id: str
    file_path: str
    file_version: str
    file_size_bytes: int
    file_modified_at: datetime
    file_etag: str | None
    partition_key: str | None
    status: FileStatus
    batch_id: BatchId | None
    run_id: str | None
    snapshot_id: int | None
    discovered_at: datetime
    processing_started_at: datetime | None
    processed_at: datetime | None
    rows: int | None
    bad_rows: int | None
    bytes_read: int | None
    processing_duration_ms: int | None
    error_type: str | None
    reason: str | None
    retry_count: int
    created_at: datetime
    updated_at: datetime
    displaced_by_batch: BatchId | None
    found_in_table_at: datetime | None


@dataclass(frozen=True, slots=True)
class BatchRow:
    """All that is recorded of a batch but its files; the names are the columns'.

    The rows of an undo are those that it took out.
    """

    id: BatchId
    tenant: str
    ingestion_id: str
    kind: BatchKind
    run_id: str
    table: str
    table_id: str | None
    status: BatchStatus
    attempt: int
    lease_owner: str
    lease_expires_at: datetime
    base_snapshot_id: int | None
    snapshot_id: int | None
    files: int
    rows: int | None
    bytes: int
    started_at: datetime
    finished_at: datetime | None
    record_number: int | None
    error: str | None
