"""Columns that a person has made NOT NULL, and the rows that a table refuses because of them.

A table that this loader makes has none. Spark only says that some row was refused; which files
have such rows is asked of the rows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.lineage import SOURCE_FILE
from autoloader_dagster.iceberg.sql import literal, quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType, StructField

_CONDITION = "NOT_NULL_ASSERT_VIOLATION"


class Refused(NamedTuple):
    """Rows of a file that its table refuses.

    Attributes:
        column: The NOT NULL column that has no value in them, or not in all of its parts.
        rows: How many.
    """

    column: str
    rows: int


def is_refused_null(error: BaseException) -> bool:
    """Whether a write has failed because a NOT NULL column had no value in some row."""
    return _CONDITION in str(error)


def refused_where(field: "StructField") -> str:
    """The SQL condition of the rows that a column refuses; empty if it takes all."""
    return _where(quoted(field.name), field.dataType, field.nullable, 0)


def _where(value: str, data_type: "DataType", nullable: bool, depth: int) -> str:
    from pyspark.sql import types as T

    parts = [] if nullable else [f"{value} is null"]
    item = f"_{depth}"
    if isinstance(data_type, T.StructType):
        inner = [
            _where(f"{value}.{quoted(f.name)}", f.dataType, f.nullable, depth)
            for f in data_type.fields
        ]
        refused = " or ".join(part for part in inner if part)
        # A struct that may be missing has no fields to be missing from it.
        parts += [f"({value} is not null and ({refused}))"] if refused else []
    elif isinstance(data_type, T.ArrayType | T.MapType):
        of_map = isinstance(data_type, T.MapType)
        kind = data_type.valueType if of_map else data_type.elementType
        may_be_null = data_type.valueContainsNull if of_map else data_type.containsNull
        refused = _where(item, kind, may_be_null, depth + 1)
        values = f"map_values({value})" if of_map else value
        parts += [f"exists({values}, {item} -> {refused})"] if refused else []
    return " or ".join(parts)


def refused_rows(frame: "DataFrame", columns: Sequence[Column]) -> dict[str, Refused]:
    """The files with rows that the table refuses, in one job; of each the column with most rows.

    Args:
        frame: The rows of the files.
        columns: The table's columns.
    """
    from pyspark.sql import functions as F

    whens = [
        f"when {column.refused_where} then {literal(column.name)}"
        for column in columns
        if column.refused_where
    ]
    if not whens:
        return {}
    counted = (
        frame.select(SOURCE_FILE, F.expr(f"case {' '.join(whens)} end").alias("column"))
        .where("column is not null")
        .groupBy(SOURCE_FILE, "column")
        .count()
    )
    found: dict[str, Refused] = {}
    for path, column, rows in sorted(counted.collect(), key=lambda row: row["count"]):
        found[path] = Refused(column, rows)
    return found
