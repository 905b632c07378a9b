"""Append a batch to its branch and learn how many rows each file gave, from the write's own job."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.iceberg.lineage import RESCUED, SOURCE_FILE, SourceFile
from autoloader_dagster.iceberg.table import IcebergTable, Layout

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# A writer holds a file open for each; above this, rows are sorted into them.
_MAX_OPEN_PARTITIONS = 64
_OBSERVED = "batch"
_BAD_FILE = f"if({RESCUED} is null, null, {SOURCE_FILE})"


@dataclass(frozen=True, slots=True)
class Written:
    """What a write says of itself.

    Attributes:
        rows: Rows of each source file; a file without rows is absent. None under a single file,
            whose rows are the snapshot's.
        bad_rows: Rows with something in ``_rescued``, for files that have any; None: not counted.
        unknown_rows: Rows of no file of the batch; anything but 0 is an error.
    """

    rows: dict[str, int] | None
    bad_rows: dict[str, int] | None
    unknown_rows: int


def append_counted(
    table: IcebergTable,
    frame: "DataFrame",
    branch: str,
    batch_id: BatchId,
    files: Sequence[SourceFile],
    by_key: bool,
) -> Written:
    """Append ``frame``, which holds the rows of ``files``, to a branch.

    A single file needs no counting, because its rows are those of the snapshot. Lines that were
    sent along were counted before; each becomes one row. Of the rest the rows a file are counted in
    the write's own job, which costs a tenth of it.

    Args:
        table: The table.
        frame: The rows.
        branch: An existing branch.
        batch_id: Goes to the snapshot's summary.
        files: What the rows are of.
        by_key: The table is partitioned by ``_partition_key`` and nothing else.
    """
    from pyspark.sql import functions as F

    layout = _layout(files, by_key)
    if all(file.lines is not None for file in files):
        seen = _append_observed(
            table, frame, branch, batch_id, layout, F.count(RESCUED).alias("bad")
        )
        rows = {file.path: file.lines.count for file in files if file.lines is not None}
        # Which files they are of is asked of the table, because there are rarely any.
        bad_rows = {} if seen.get("bad") == 0 else None
        return Written(rows=rows, bad_rows=bad_rows, unknown_rows=0)
    if len(files) == 1:
        table.append(frame, branch, batch_id, layout)
        return Written(rows=None, bad_rows=None, unknown_rows=0)
    return _append_counting(table, frame, branch, batch_id, len(files), layout)


def _layout(files: Sequence[SourceFile], by_key: bool) -> Layout:
    keys = len({file.partition_key for file in files})
    if keys == 1:
        return "one partition"
    # Lines that were sent along are in the order of their keys, so few writers share a key.
    in_order = all(file.lines is not None for file in files)
    return "in order" if in_order and by_key and keys <= _MAX_OPEN_PARTITIONS else "any"


def _append_counting(
    table: IcebergTable,
    frame: "DataFrame",
    branch: str,
    batch_id: BatchId,
    files: int,
    layout: Layout,
) -> Written:
    """Append, and count the rows of each file."""
    from pyspark.sql import functions as F

    seen = _append_observed(
        table,
        frame,
        branch,
        batch_id,
        layout,
        F.expr(_counted(SOURCE_FILE, files)).alias("files"),
        F.expr(_counted(_BAD_FILE, files)).alias("bad"),
    )
    rows = {row["item"]: row["count"] for row in seen.get("files", ())}
    bad = {row["item"]: row["count"] for row in seen.get("bad", ())}
    bad.pop(None, None)
    return Written(rows=rows, bad_rows=bad, unknown_rows=rows.pop(None, 0))


def _counted(item: str, files: int) -> str:
    # approx_top_k counts exactly while it may track at least twice as many items as there are.
    return f"approx_top_k({item}, {files + 1}, {max(1000, 4 * files)})"


def count_bad_rows(frame: "DataFrame", files: int) -> dict[str, int]:
    """The rows of each file with something in ``_rescued``, by reading all of it once.

    Args:
        frame: The rows of the files.
        files: How many there are.
    """
    from pyspark.sql import functions as F

    # All columns are read, because Spark's readers check no others.
    frame = frame.observe(_OBSERVED, F.expr(_counted(_BAD_FILE, files)).alias("bad"))
    frame.write.format("noop").mode("overwrite").save()
    seen = dict(frame.executionInfo.flows) if frame.executionInfo else {}
    counts = {row["item"]: row["count"] for row in seen.get(_OBSERVED, {}).get("bad", ())}
    counts.pop(None, None)
    return counts


def bad_rows_of(frame: "DataFrame", rows: int) -> list[tuple[str, str]]:
    """The source file and ``_rescued`` of at most so many rows with something in ``_rescued``."""
    bad = frame.where(f"{RESCUED} is not null").select(SOURCE_FILE, RESCUED).limit(rows)
    return [(row[SOURCE_FILE], row[RESCUED]) for row in bad.collect()]


def _append_observed(
    table: IcebergTable,
    frame: "DataFrame",
    branch: str,
    batch_id: BatchId,
    layout: Layout,
    *metrics: "Column",
) -> dict[str, Any]:
    """Append, and measure what is written; empty if the server's answer came without it."""
    # By name: with an Observation, pyspark would have the server analyse the frame, and so list
    # all files, once more beforehand.
    frame = frame.observe(_OBSERVED, *metrics)
    table.append(frame, branch, batch_id, layout)
    seen = dict(frame.executionInfo.flows) if frame.executionInfo else {}
    return seen.get(_OBSERVED, {})
