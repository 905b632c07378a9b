"""The spec's types for columns, held against the files and the table: a wrong one is refused."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from autoloader_dagster.errors import SpecError
from autoloader_dagster.iceberg.column_names import normalise
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.data_types import name_of_type, not_for_a_table
from autoloader_dagster.iceberg.sql import quoted

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
# How alike a name must be to be taken for a slip of the pen.
_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class HintsApplied:
    """What the hints mean for the table.

    Attributes:
        widen: Columns of the table that a hint gives a wider type, with that type.
        unmatched: Hints that match no column yet.
    """

    widen: Mapping[str, str]
    unmatched: tuple[str, ...]


def apply_hints(
    spec: "IngestionSpec",
    hints: Mapping[str, str],
    found: Mapping[str, Sequence[str]],
    table: Sequence[Column],
) -> HintsApplied:
    """Hold the hints against the columns of the files and of the table.

    Args:
        spec: The spec.
        hints: Its hints, as ``hint_types`` gives them.
        found: The columns of the files, each with its names in the files.
        table: The table's columns.

    Raises:
        SpecError: A hint gives a column of the table a type that it cannot take, or two hints give
            one column two types, or a hint looks like a mistyped name.
    """
    if not hints:
        return HintsApplied({}, ())
    names: dict[str, set[str]] = {name: {name, *originals} for name, originals in found.items()}
    for column in table:
        names.setdefault(column.name, {column.name}).add(column.original or column.name)
    hinted: dict[str, str] = {}
    widen: dict[str, str] = {}
    types = {column.name: column.sql_type for column in table}
    for column, called in names.items():
        for hint in sorted(called & hints.keys()):
            other = hinted.setdefault(column, hint)
            if hints[other] != hints[hint]:
                raise SpecError(
                    f"schema.hints of {spec.name}: '{other}' and '{hint}' are the same column "
                    f"'{column}', and give it two types: {hints[other]} and {hints[hint]}",
                    "Remove one of them.",
                )
        if column in hinted and column in types:
            wanted = hints[hinted[column]]
            if wanted != types[column]:
                _check_widening(spec, hinted[column], wanted, column, types[column])
                widen[column] = wanted
    every = {name for called in names.values() for name in called}
    unmatched = [hint for hint in hints if hint not in every]
    for hint in unmatched:
        _refuse_slip(spec, hint, {n: c for n, c in names.items() if n not in hinted})
    return HintsApplied(widen, tuple(hint for hint in unmatched if hint in spec.columns.hints))


def _check_widening(spec: "IngestionSpec", hint: str, wanted: str, column: str, have: str) -> None:
    narrow, wide = (re.fullmatch(r"decimal\((\d+),(\d+)\)", t) for t in (have, wanted))
    if (have, wanted) in {("int", "bigint"), ("float", "double")} or (
        narrow and wide and narrow[2] == wide[2] and int(narrow[1]) < int(wide[1])
    ):
        return
    raise SpecError(
        f"schema.hints of {spec.name}: '{hint}' is {wanted}, and column '{column}' of "
        f"{spec.table.name} is {have}, which Iceberg does not change to {wanted}",
        f"Set the hint to {have} or remove it. To have {wanted}: load into a new table (set "
        f"table.name, then autoloader reconcile {spec.name} --yes); or drop the column "
        f"(ALTER TABLE {spec.table.name} DROP COLUMN {quoted(column)}) and "
        f"load the files again (autoloader run {spec.name} --reload).",
    )


def _refuse_slip(spec: "IngestionSpec", hint: str, names: Mapping[str, set[str]]) -> None:
    """Refuse a hint that matches no column but nearly one, unless the spec expects that.

    Raises:
        SpecError: It is nearly the name of a column without a hint.
    """
    if hint in spec.columns.optional_hints:
        return
    column = _nearest(hint, names)
    if column is None:
        return
    what = "files" if spec.columns.names == "original" else "table"
    raise SpecError(
        f"schema.hints of {spec.name}: '{hint}' matches no column of the files or of "
        f"{spec.table.name}; did you mean '{column}'?",
        f"Write the name as the {what} has it. If the column '{hint}' is yet to come, move the "
        "hint to schema.optional_hints.",
    )


def _nearest(hint: str, names: Mapping[str, set[str]]) -> str | None:
    plain = _plain(hint)
    by_plain: dict[str, str] = {}
    for column, called in names.items():
        for name in called:
            by_plain.setdefault(_plain(name), column)
    close = get_close_matches(plain, list(by_plain), n=1, cutoff=_ALIKE)
    return by_plain[close[0]] if close else None


def _plain(name: str) -> str:
    return normalise([name])[0]


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
