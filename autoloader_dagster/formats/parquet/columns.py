"""The columns that Parquet files have together, and the files that bring impossible ones."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.formats.outcome import Bad
from autoloader_dagster.formats.parquet.group import ParquetGroup
from autoloader_dagster.formats.parquet.read import ParquetSchema, parquet_schema, prepare
from autoloader_dagster.formats.reading import ReadContext
from autoloader_dagster.formats.type_inference import merge_types, type_of_most
from autoloader_dagster.iceberg.column_names import normalise
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.data_types import not_for_a_table
from autoloader_dagster.iceberg.lineage import SourceFile

if TYPE_CHECKING:
    from autoloader_dagster.specs.model import IngestionSpec

# Spark's words for a schema that it cannot have, whatever the file holds.
_OF_THE_SCHEMA = frozenset(
    {
        "COLUMN_ALREADY_EXISTS",
        "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
        "PARQUET_TYPE_ILLEGAL",
        "PARQUET_TYPE_NOT_RECOGNIZED",
        "PARQUET_TYPE_NOT_SUPPORTED",
        "UNSUPPORTED_FEATURE.GEOSPATIAL_DISABLED",
        "UNSUPPORTED_TIME_TYPE",
    }
)


def parquet_names(
    group: ParquetGroup, spec: "IngestionSpec", known: Sequence[Column]
) -> dict[str, str]:
    """For each column of files of one schema, the table's column.

    Args:
        group: The schema.
        spec: Style of names.
        known: The columns that are there already, which keep their files' names.
    """
    names = normalise(
        group.names, spec.columns.names, {c.original or c.name: c.name for c in known}
    )
    # Neither Spark nor Iceberg tells names by their case.
    by_lower = {column.name.lower(): column.name for column in known}
    return {
        original: by_lower.get(name.lower(), name)
        for original, name in zip(group.names, names, strict=True)
    }


def parquet_columns(
    context: ReadContext,
    spec: "IngestionSpec",
    groups: Mapping[ParquetGroup, Sequence[SourceFile]],
    hints: Mapping[str, str],
    format_version: Callable[[], int],
) -> FoundColumns:
    """The columns of these files; a file with a column that no table can have is bad.

    Args:
        context: The session, the source's options, and the table's columns.
        spec: Style of names; what happens to bad rows.
        groups: The files by schema.
        hints: Types by column or original name.
        format_version: Asked for that of Iceberg, that the table has or will have.
    """
    prepare(context, groups)
    known = context.columns
    bad: dict[str, Bad] = {}
    schemas: dict[ParquetGroup, ParquetSchema] = {}
    for group, files in groups.items():
        found = _schema(context, group, files[0])
        if isinstance(found, Bad):
            bad |= {file.path: found for file in files}
        else:
            schemas[group] = found
    columns, names = _named(schemas, spec, known)
    table = {column.name: column.sql_type for column in known}
    weights: dict[str, Counter[str]] = {name: Counter() for name in columns}
    column_of = {
        group: parquet_names(group, spec, [*known, *columns.values()]) for group in schemas
    }
    for group, schema in schemas.items():
        fault = _impossible(schema, column_of[group], table, hints, format_version)
        if fault is not None:
            bad |= {file.path: fault for file in groups[group]}
            continue
        for original, sql_type in schema.types.items():
            if (name := column_of[group][original]) in weights:
                weights[name][sql_type] += len(groups[group])
    typed: dict[str, Column] = {}
    for name, column in columns.items():
        sql_type = _hint(name, names[name], hints) or _type(weights[name], spec)
        # One without any value waits for a file that tells its type.
        if sql_type != "void":
            typed[name] = Column(name, sql_type, column.original)
    table |= {name: column.sql_type for name, column in typed.items()}
    for group, schema in schemas.items():
        if groups[group][0].path in bad:
            continue
        original = schema.not_whole_in({o: table.get(n, "") for o, n in column_of[group].items()})
        if original is not None:
            fault = Bad(
                "UnsupportedType",
                f"has a map in column '{original}' whose keys are not text, and the table's column "
                f"has another type, {table.get(column_of[group][original])}, so that the map can "
                "be kept neither there nor in _rescued; deliver it in the table's type",
            )
            bad |= {file.path: fault for file in groups[group]}
    here = [*(c for c in known if c.name in names), *typed.values()]
    return FoundColumns(tuple(here), {n: tuple(sorted(o)) for n, o in names.items()}, hints, bad)


def _schema(context: ReadContext, group: ParquetGroup, file: SourceFile) -> ParquetSchema | Bad:
    from pyspark.errors import PySparkException

    try:
        return parquet_schema(context, file, group)
    except PySparkException as error:
        if error.getCondition() not in _OF_THE_SCHEMA:
            raise
        return Bad(
            "UnsupportedType",
            f"has a schema that Spark does not read: {_first_line(error)}; write it in other types",
        )


def _named(
    schemas: Mapping[ParquetGroup, ParquetSchema], spec: "IngestionSpec", known: Sequence[Column]
) -> tuple[dict[str, Column], dict[str, set[str]]]:
    """The columns that the table does not have, still without types; and the names of all."""
    columns: dict[str, Column] = {}
    have = {column.name for column in known}
    names: dict[str, set[str]] = {}
    for group in schemas:
        for original, name in parquet_names(group, spec, [*known, *columns.values()]).items():
            names.setdefault(name, set()).add(original)
            if name not in have:
                columns.setdefault(name, Column(name, "void", original))
    return columns, names


def _type(weights: Counter[str], spec: "IngestionSpec") -> str:
    files = Counter({t: count for t, count in weights.items() if t != "void"})
    if spec.errors.bad_rows == "quarantine":
        return type_of_most(files)
    merged = "void"
    for sql_type in files:
        merged = merge_types(merged, sql_type)
    return merged


def _hint(name: str, originals: set[str], hints: Mapping[str, str]) -> str | None:
    return next((hints[each] for each in (name, *sorted(originals)) if each in hints), None)


def _impossible(
    schema: ParquetSchema,
    column_of: Mapping[str, str],
    table: Mapping[str, str],
    hints: Mapping[str, str],
    format_version: Callable[[], int],
) -> Bad | None:
    """A column that would be new in the table and that no table of this format can have."""
    for field_ in schema.fields.fields:
        name = column_of[field_.name]
        if name in table or name in hints or field_.name in hints:
            continue
        part = not_for_a_table(field_.dataType, format_version)
        if part:
            way = (
                "or set table.properties: {format-version: '3'}"
                if part == "variant" and not table
                else "or deliver it in another type"
            )
            return Bad(
                "UnsupportedType",
                f"has a column '{field_.name}' of type {part}, which an Iceberg table of format "
                f"version {format_version()} cannot have; load it as text by "
                f"schema.hints: {{{name}: string}}, {way}",
            )
    return None


def _first_line(error: BaseException) -> str:
    """The first line of a server's error, which is what a person wants to see of it."""
    text = str(error).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    return line[:500]
