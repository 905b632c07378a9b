"""The lines of small files as a frame: they go to Spark along with the plan.

Opening a file costs Spark milliseconds, and of thousands of small files it is nearly all the cost.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from autoloader_dagster.iceberg.lineage import (
    PARTITION_KEY,
    SOURCE_FILE,
    SOURCE_MODIFIED_AT,
    SourceFile,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# What each row carries besides its line.
CARRIED = (SOURCE_FILE, SOURCE_MODIFIED_AT, PARTITION_KEY)


def inline_or_not(files: Sequence[SourceFile]) -> list[list[SourceFile]]:
    """The files whose lines are here, and those that Spark reads; without empty lists."""
    here = [file for file in files if file.lines is not None]
    others = [file for file in files if file.lines is None]
    return [some for some in (here, others) if some]


def lines_frame(
    spark: "SparkSession",
    files: Sequence[SourceFile],
    index_of: Callable[[SourceFile], Sequence[int]] | None = None,
) -> "DataFrame":
    """One row a record: ``_line`` and the lineage columns of its file.

    Args:
        spark: The session.
        files: Files with ``lines``.
        index_of: If given, each row carries this of its file, as ``_ix``.
    """
    import pyarrow as pa
    from pyspark.sql import functions as F

    # Spark cuts it into tasks in this order, so that each task writes to few partitions.
    ordered = sorted(files, key=lambda file: (file.partition_key or "", file.path))
    columns: dict[str, Any] = {
        SOURCE_FILE: pa.array([file.path for file in ordered], pa.string()),
        SOURCE_MODIFIED_AT: pa.array(
            [file.modified_at for file in ordered], pa.timestamp("us", "UTC")
        ),
        PARTITION_KEY: pa.array([file.partition_key for file in ordered], pa.string()),
        "_text": pa.array([file.lines.text for file in ordered if file.lines], pa.string()),
    }
    if index_of is not None:
        columns["_ix"] = pa.array([index_of(file) for file in ordered], pa.list_(pa.int32()))
    frame = spark.createDataFrame(pa.table(columns))
    kept = [name for name in columns if name != "_text"]
    return frame.select(*kept, F.explode(F.split("_text", "\0")).alias("_line"))
