"""The types of a spec's hints, as a table shows them; a wrong one is refused."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from autoloader_dagster.errors import SpecError
from autoloader_dagster.iceberg.data_types import name_of_type, not_for_a_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from autoloader_dagster.specs.model import IngestionSpec

_OTHER_NAMES = {
    "integer": "int", "byte": "int", "tinyint": "int", "short": "int", "smallint": "int",
    "long": "bigint", "real": "float", "timestamp_ltz": "timestamp", "decimal": "decimal(10,0)",
    "dec": "decimal(10,0)", "numeric": "decimal(10,0)",
}  # fmt: skip
_PLAIN = frozenset(
    {"boolean", "int", "bigint", "float", "double", "string", "binary", "date", "timestamp",
     "timestamp_ntz"}
)  # fmt: skip
# Iceberg has no types for these.
_STORED_AS = (
    (re.compile(r"\b(?:tinyint|smallint)\b"), "int"),
    (re.compile(r"\b(?:var)?char\(\d+\)"), "string"),
)


def hint_types(
    spark: "SparkSession", spec: "IngestionSpec", format_version: Callable[[], int]
) -> dict[str, str]:
    """The hints with their types as a table shows them.

    Args:
        spark: Asked what an unusual type is called.
        spec: Its hints.
        format_version: Asked for that of Iceberg, that the table has or will have.

    Raises:
        SpecError: Spark SQL does not know a type, or a table cannot have it.
    """
    return {
        hint: _type(spark, hint, sql_type, format_version)
        for hint, sql_type in spec.columns.types.items()
    }


def _type(
    spark: "SparkSession", hint: str, sql_type: str, format_version: Callable[[], int]
) -> str:
    from pyspark.errors import ParseException

    plain = re.sub(r"\s+", "", sql_type.lower())
    plain = _OTHER_NAMES.get(plain, plain)
    if plain in _PLAIN or re.fullmatch(r"decimal\([0-9]+,[0-9]+\)", plain):
        return plain
    try:
        (field,) = spark.sql(f"select cast(null as {sql_type}) as v").schema.fields
    except ParseException as error:
        raise SpecError(
            f"schema.hints: the type of '{hint}', '{sql_type}', is not a Spark SQL type",
            "Write it like decimal(18,2) or struct<a: int, b: string>.",
        ) from error
    part = not_for_a_table(field.dataType, format_version)
    if part:
        raise SpecError(
            f"schema.hints: the type of '{hint}', '{sql_type}', has {part} in it, which an Iceberg "
            f"table of format version {format_version()} cannot have",
            "Write 'string', which holds it as text, or set table.properties: "
            "{format-version: '3'} for a new table with a variant.",
        )
    plain = name_of_type(field.dataType)
    for pattern, stored in _STORED_AS:
        plain = pattern.sub(stored, plain)
    return plain
