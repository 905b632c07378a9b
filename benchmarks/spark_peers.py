"""What people do today: the same files into the same kind of table by Spark's own means."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.sample_files import TYPES
from benchmarks.workbench import NAMESPACE, check_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# What the embedded server sets for the loader's sake, as Spark has it by itself.
SPARK_DEFAULTS = {
    "spark.sql.shuffle.partitions": "200",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "32",
    "spark.sql.files.openCostInBytes": str(4 << 20),
}


def make_table(spark: "SparkSession", name: str, lineage: bool = True) -> str:
    """Make an empty table of orders; with ``lineage`` as the loader's, partitioned by the key."""
    table = f"{NAMESPACE}.{name}"
    spark.sql(f"create namespace if not exists {NAMESPACE}")
    spark.sql(
        f"create table {table} ({TYPES}"
        + (", _source_file string, _partition_key string" if lineage else "")
        + ") using iceberg"
        + (" partitioned by (_partition_key)" if lineage else "")
        + " tblproperties ('format-version' = '2')"
    )
    return table


def _with_lineage(frame: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as F

    path = F.col("_metadata.file_path")
    return frame.select(
        "*",
        path.alias("_source_file"),
        F.regexp_extract(path, r"day=(\d{4}-\d\d-\d\d)", 1).alias("_partition_key"),
    )


def orders_with_lineage(spark: "SparkSession", paths: Sequence[Path]) -> "DataFrame":
    """The files' rows with their types, their file and their partition."""
    return _with_lineage(_orders(spark, paths))


def _orders(spark: "SparkSession", paths: Sequence[Path]) -> "DataFrame":
    names = [f"file://{path}" for path in paths]
    return spark.read.schema(TYPES).option("header", "true").csv(names)


def append_all(
    spark: "SparkSession", name: str, paths: Sequence[Path], rows: int, lineage: bool = True
) -> float:
    """One typed read of all files and one append."""
    table = make_table(spark, name, lineage)
    began = time.perf_counter()
    frame = _orders(spark, paths)
    (_with_lineage(frame) if lineage else frame).writeTo(table).append()
    took = time.perf_counter() - began
    _check(spark, table, rows)
    return took


def append_each(spark: "SparkSession", name: str, paths: Sequence[Path]) -> float:
    """One read and one append a file."""
    table = make_table(spark, name)
    began = time.perf_counter()
    for path in paths:
        orders_with_lineage(spark, [path]).writeTo(table).append()
    return time.perf_counter() - began


def stream(spark: "SparkSession", name: str, folder: Path, rows: int, checkpoint: Path) -> float:
    """Structured Streaming with ``availableNow``, everything in one micro-batch."""
    table = make_table(spark, name)
    began = time.perf_counter()
    # The partition folders are named: without that, streaming would make a column of 'day='.
    frame = (
        spark.readStream.schema(TYPES)
        .option("header", "true")
        .option("maxFilesPerTrigger", 1_000_000)
        .option("recursiveFileLookup", "true")
        .csv(str(folder))
    )
    query = (
        _with_lineage(frame)
        .writeStream.format("iceberg")
        .outputMode("append")
        .option("checkpointLocation", str(checkpoint))
        .option("fanout-enabled", "true")
        .trigger(availableNow=True)
        .toTable(table)
    )
    finished = query.awaitTermination(1800)
    took = time.perf_counter() - began
    if not finished:
        raise RuntimeError("the stream did not end within half an hour")
    if query.exception() is not None:
        raise RuntimeError(f"the stream failed: {query.exception()}")
    _check(spark, table, rows)
    return took


def _check(spark: "SparkSession", table: str, rows: int) -> None:
    found = spark.sql(f"select count(*) from {table}").collect()[0][0]
    check_rows(table, found, rows)
