"""The kinds of results that commands show as rows."""

from typing import Any

from autoloader_dagster.cli.output import snapshot
from autoloader_dagster.cli.render.shape import Field, Shape
from autoloader_dagster.counts import shown_size
from autoloader_dagster.specs.fault import shown_path

# These would load, or have been loaded: their reason, if there is one, is of an earlier try.
_WITHOUT_REASON = ("DISCOVERED", "SUCCESS", "PROCESSING")


def _snapshot(result: Any) -> str | None:
    return snapshot(result.snapshot_id)


def _run(result: Any) -> str | None:
    return result.run_id or None


def _short(run_id: str | None) -> str:
    return (run_id or "")[:8]


def _seconds(batch: Any) -> float | None:
    took = batch.finished_at - batch.started_at if batch.finished_at else None
    return round(took.total_seconds(), 3) if took is not None else None


def _why_not_loaded(row: Any) -> str | None:
    return None if row.status in _WITHOUT_REASON else row.reason


_PARTITION = Field("partition", "partition", of="partition_key")

_FILE = (
    Field("path", "file", of="file_path", path=True),
    Field("version", of="file_version"),
    Field("size", ">size", of="file_size_bytes", shown=shown_size),
    Field("modified_at", "changed (UTC)", of="file_modified_at"),
    Field("status", "status"),
    Field("reason"),
    Field("error_type", "error"),
    _PARTITION,
    Field("rows", ">rows"),
    Field("bad_rows"),
    Field("batch_id", "batch"),
    Field("run_id"),
    Field("snapshot_id", of=_snapshot),
)
# File versions of the state: with why they are not loaded, and with all that was noted of them.
FILES = Shape(*_FILE, Field("", "reason", of=_why_not_loaded))
TRACED_FILES = Shape(*_FILE, Field("", "reason", of="reason"))
# Files that a command was asked for and left as they are, or that it could not load.
LEFT = Shape(
    Field("path", "file", path=True),
    Field("status", "status"),
    Field("reason", "reason"),
)
# Files that an undo takes out.
UNDONE = Shape(
    Field("path", "file", path=True),
    _PARTITION,
    Field("batch_id", "batch"),
    Field("rows", ">rows loaded"),
    Field("rows_in_table", ">rows in the table"),
)
# Files that would be loaded again, and those that were.
TO_RELOAD = Shape(
    Field("path", "file", path=True),
    _PARTITION,
    Field("batch_id", "batch"),
    Field("rows", ">rows loaded"),
    Field("bytes", ">size", shown=shown_size),
    Field("changed", "changed since"),
)
RELOADED = Shape(Field("path"), _PARTITION, Field("rows"))
# Files that are skipped for good, and files that wait again.
DISMISSED = Shape(
    Field("path", "file", path=True),
    _PARTITION,
    Field("was", "status"),
    Field("reason", "reason"),
)
RETRIED = Shape(Field("path", "file", path=True), _PARTITION, Field("was", "was"))
# Files whose content was loaded under another name, with that: pairs of addresses.
SAME_CONTENT = Shape(
    Field("file", "file", of=lambda pair: pair[0], path=True),
    Field("same_as", "has the content of", of=lambda pair: pair[1], path=True),
)
# Batches: all that is recorded of them, their files by name, and what a run made.
BATCHES = Shape(
    Field("batch_id", "batch", of="id"),
    Field("kind", "kind"),
    Field("run_id", "run", of=_run, shown=_short),
    Field("started_at", "began (UTC)"),
    Field("files", ">files"),
    Field("rows", ">rows"),
    Field("bytes", ">size", shown=shown_size),
    Field("snapshot_id", "snapshot", of=_snapshot),
    Field("status", "status"),
    Field("seconds", ">seconds", of=_seconds, shown=lambda s: "" if s is None else f"{s:.1f}"),
    Field("error", "reason"),
)
BATCHES_WITH_FILES = Shape(
    Field("batch_id", "batch"),
    Field("kind", "kind"),
    Field("status", "status"),
    Field("attempts", of="attempt"),
    Field("run_id", "run", of=_run),
    Field("snapshot_id", "snapshot", of=_snapshot),
    Field("files", ">files", of=lambda b: [file.path for file in b.files], shown=len),
)
BATCHES_OF_RUN = Shape(
    Field("batch_id", of="id"),
    Field("snapshot_id", of=_snapshot),
    Field("files"),
    Field("rows"),
)
BATCHES_OF_RELOAD = Shape(
    Field("batch_id"),
    Field("snapshot_id", of=_snapshot),
    Field("files", of=lambda outcome: len(outcome.loaded)),
    Field("rows"),
)
# What source, state and table do not say alike, with ``meaning``.
FINDINGS = Shape(
    Field("kind", "difference"),
    Field("path", "file", path=True),
    Field("modified_at"),
    Field("batch_id"),
    Field("partition", of="partition_key"),
    Field("rows"),
    Field("recorded_rows"),
    Field("meaning", "meaning"),
)
# The columns that a load would bring, and the files that it would not.
PREVIEW_COLUMNS = Shape(
    Field("name", "column"),
    Field("type", "type", of="sql_type"),
    Field("original", "in the files"),
    Field("new", "new", shown=lambda new: "new" if new else ""),
)
PREVIEW_BAD_FILES = Shape(
    Field("path", "file", path=True),
    Field("status", "status"),
    Field("error_type", "error"),
    Field("reason", "reason"),
)
# Counts of an ingestion.
STATUS = Shape(
    Field("ingestion", "ingestion"),
    Field("waiting", ">waiting"),
    Field("held", ">held"),
    Field("processing", ">processing"),
    Field("loaded", ">loaded"),
    Field("quarantined", ">quarantined"),
    Field("rows", ">rows"),
    Field("last_load", "last load (UTC)", shown=lambda at: at or "never"),
    Field("why_waiting"),
)
# Specs, good or broken.
SPECS = Shape(
    Field("name", "name"),
    Field("tenant", "tenant"),
    Field("file"),
    Field("status", "status", shown=lambda status: "BROKEN" if status == "broken" else status),
    Field("source", "source"),
    Field("format"),
    Field("table", "table"),
    Field("partition", "partition"),
    Field("trigger", "trigger"),
    Field("broken"),
    Field("faults"),
)
FAULTS = Shape(
    Field("file", of=lambda fault: shown_path(fault.file)),
    Field("line"),
    Field("key"),
    Field("message"),
)
