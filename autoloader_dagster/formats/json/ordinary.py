"""Has JSON lines taken apart by Python workers, where Spark has workers that can."""

import logging
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from autoloader_dagster.formats.json import line_parts
from autoloader_dagster.formats.json.line_parts import PARTS, part_names

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_log = logging.getLogger(__name__)

# The column for lines that were taken apart.
LINE = "_line"


def with_parts(frame: "DataFrame", keys: Sequence[str], kept: Sequence[str]) -> "DataFrame":
    """Take the ordinary lines of ``value`` apart.

    Such a line goes from ``value``, which is null then, to the column ``LINE``, and the texts of
    its keys are in ``PARTS``; for any other line both are null. See ``line_parts.take_apart``.

    Args:
        frame: Lines in ``value``, and the columns to keep.
        keys: The keys that have a column.
        kept: Columns to keep, of texts.
    """
    from pyspark.sql import functions as F
    from pyspark.sql import types as T

    lines = frame.select(F.col("value").cast("binary").alias("value"), *kept)
    parts = T.StructType([T.StructField(name, T.StringType()) for name in part_names(len(keys))])
    schema = T.StructType().add("value", T.BinaryType())
    for name in kept:
        schema = schema.add(name, T.StringType())
    taken = lines.mapInArrow(_by_value().take_apart(keys), schema.add(PARTS, parts))
    value, is_ordinary = F.col("value").cast("string"), F.col(PARTS).isNotNull()
    return taken.select(
        F.when(~is_ordinary, value).alias("value"),
        F.when(is_ordinary, value).alias(LINE),
        PARTS,
        *kept,
    )


def can_take_apart(spark: "SparkSession") -> bool:
    """Whether Spark's Python workers take lines apart; one small job.

    They do not where executors have another Python than this process, or no msgspec or pyarrow.
    Spark then reads such lines by itself, several times as slowly.
    """
    from pyspark.errors import PySparkException

    try:
        row = spark.range(0, 1, 1, 1).mapInArrow(_by_value().try_out, "works boolean").first()
    except PySparkException as error:
        why = str(error).strip().splitlines()
        _log.info("Python workers do not take JSON lines apart: %s", why[-1] if why else error)
        return False
    return row is not None and row["works"]


def _by_value() -> ModuleType:
    """The module of what workers do; they need not have this package."""
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(line_parts)
    return line_parts
