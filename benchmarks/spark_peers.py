"""What people do today: the same files into the same kind of table by Spark's own means."""

import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.sample_files import EVENT_TYPES, TYPES
from benchmarks.workbench import NAMESPACE, check_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

# What the embedded server sets for the loader's sake, as Spark has it by itself.
SPARK_DEFAULTS = {
    "spark.sql.shuffle.partitions": "200",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "32",
    "spark.sql.files.openCostInBytes": str(4 << 20),
}


@contextmanager
def spark_defaults(spark: "SparkSession") -> "Iterator[None]":
    """Take back, for the block, what our server sets for loads."""
    ours = {key: spark.conf.get(key) for key in SPARK_DEFAULTS}
    for key, value in SPARK_DEFAULTS.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, value in ours.items():
            spark.conf.set(key, str(value))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of files, and how Spark reads them with the types that the loader infers.

    Attributes:
        types: The table's columns.
        rows: Reads files by a reader, batch or stream: the columns, and ``_path``.
    """

    types: str
    rows: "Callable[[Any, Any], DataFrame]"


def _orders(reader: Any, where: Any) -> "DataFrame":
    from pyspark.sql import functions as F

    frame = reader.schema(TYPES).option("header", "true").csv(where)
    return frame.select("*", F.col("_metadata.file_path").alias("_path"))


def _events(reader: Any, where: Any) -> "DataFrame":
    from pyspark.sql import functions as F

    record = ", ".join(":".join(each.split(" ")) for each in EVENT_TYPES.split(", "))
    frame = reader.schema(f"Records array<struct<{record}>>").option("multiLine", "true")
    frame = frame.json(where).select(
        F.explode("Records").alias("_record"), F.col("_metadata.file_path").alias("_path")
    )
    return frame.select("_record.*", "_path")


ORDERS = Kind(TYPES, _orders)
EVENTS = Kind(EVENT_TYPES, _events)


def orders_as(name: str) -> Kind:
    """The same orders in files of another kind: ``csv``, ``json`` or ``parquet``."""
    if name == "csv":
        return ORDERS

    def rows(reader: Any, where: Any) -> "DataFrame":
        from pyspark.sql import functions as F

        frame = reader.schema(TYPES).format(name).load(where)
        return frame.select("*", F.col("_metadata.file_path").alias("_path"))

    return Kind(TYPES, rows)


def make_table(spark: "SparkSession", name: str, lineage: bool = True, kind: Kind = ORDERS) -> str:
    """Make an empty table; with ``lineage`` as the loader's, partitioned by the key."""
    table = f"{NAMESPACE}.{name}"
    spark.sql(f"create namespace if not exists {NAMESPACE}")
    spark.sql(
        f"create table {table} ({kind.types}"
        + (", _source_file string, _partition_key string" if lineage else "")
        + ") using iceberg"
        + (" partitioned by (_partition_key)" if lineage else "")
        + " tblproperties ('format-version' = '2')"
    )
    return table


def _with_lineage(frame: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as F

    return frame.withColumnRenamed("_path", "_source_file").withColumn(
        "_partition_key", F.regexp_extract("_source_file", r"day=(\d{4}-\d\d-\d\d)", 1)
    )


def orders_with_lineage(spark: "SparkSession", paths: Sequence[Path]) -> "DataFrame":
    """The files' rows with their types, their file and their partition."""
    return _with_lineage(_read(spark, ORDERS, paths))


def _read(spark: "SparkSession", kind: Kind, paths: Sequence[Path]) -> "DataFrame":
    return kind.rows(spark.read, [f"file://{path}" for path in paths])


def append_all(
    spark: "SparkSession",
    name: str,
    paths: Sequence[Path],
    rows: int,
    lineage: bool = True,
    kind: Kind = ORDERS,
) -> float:
    """One typed read of all files and one append."""
    table = make_table(spark, name, lineage, kind)
    began = time.perf_counter()
    frame = _read(spark, kind, paths)
    (_with_lineage(frame) if lineage else frame.drop("_path")).writeTo(table).append()
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


def stream(
    spark: "SparkSession",
    name: str,
    folder: Path,
    rows: int,
    checkpoint: Path,
    kind: Kind = ORDERS,
) -> float:
    """Structured Streaming with ``availableNow``, everything in one micro-batch."""
    table = make_table(spark, name, kind=kind)
    began = time.perf_counter()
    # The partition folders are named: without that, streaming would make a column of 'day='.
    reader = spark.readStream.option("maxFilesPerTrigger", 1_000_000)
    frame = kind.rows(reader.option("recursiveFileLookup", "true"), str(folder))
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
