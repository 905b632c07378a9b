"""Parquet files to the table's columns. Files of one schema are read by one reader."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoloader_dagster.formats.parquet.group import ParquetGroup
from autoloader_dagster.formats.parquet.same_value import always_fits, as_json, same_value
from autoloader_dagster.formats.reading import ReadContext, in_table_order, load_files, reader
from autoloader_dagster.formats.typing import is_nested
from autoloader_dagster.iceberg.data_types import is_whole_as_json, name_of_type
from autoloader_dagster.iceberg.lineage import RESCUED, SourceFile, add_lineage
from autoloader_dagster.iceberg.sql import literal, quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

# Only Spark's other reader, which is slower, gives 96-bit timestamps as the bytes that they are.
_FAST_READER = "spark.sql.parquet.enableVectorizedReader"
_EPOCH_AS_JULIAN_DAY = 2_440_588


@dataclass(frozen=True, slots=True)
class ParquetSchema:
    """The schema of some files, as Spark reads it.

    Attributes:
        group: What the look found in the footers.
        fields: The top-level columns, in order.
    """

    group: ParquetGroup
    fields: "StructType"

    @property
    def types(self) -> dict[str, str]:
        """The Spark SQL type of each column; ``void`` where it has no value at all."""
        types = {field.name: name_of_type(field.dataType) for field in self.fields.fields}
        types |= dict.fromkeys(self.group.nulls, "void")
        types |= dict.fromkeys(self.group.old_times, "timestamp")
        return types | {name: _time_type(instant) for name, instant in self.group.nanoseconds}

    def not_whole_in(self, table: Mapping[str, str]) -> str | None:
        """A column whose values neither the table's column nor ``_rescued`` holds whole.

        Args:
            table: For each column of the files the type of the table's column.
        """
        types = self.types
        for field in self.fields.fields:
            same = table.get(field.name) == types[field.name]
            if not same and not is_whole_as_json(field.dataType):
                return field.name
        return None


def parquet_schema(context: ReadContext, file: SourceFile, group: ParquetGroup) -> ParquetSchema:
    """The schema of a file, from its footer."""
    return ParquetSchema(group, _data(context, [file]).schema)


def prepare(context: ReadContext, groups: Iterable[ParquetGroup]) -> None:
    """Have the session read Parquet as these files need it; they are read together."""
    fast = not any(group.old_times for group in groups)
    context.spark.conf.set(_FAST_READER, str(fast).lower())


def _data(
    context: ReadContext, files: Sequence[SourceFile], schema: "StructType | None" = None
) -> "DataFrame":
    data = reader(context)
    return load_files(context, data.schema(schema) if schema else data, "parquet", files)


def _time_type(instant: bool) -> str:
    return "timestamp" if instant else "timestamp_ntz"


@dataclass(frozen=True, slots=True)
class _Value:
    """A column of the files on its way into the table.

    Attributes:
        original: Its name in the files.
        have: Its type.
        raw: SQL of what the file holds, for ``_rescued``.
        value: SQL of the value; null where ``have`` cannot hold what the file holds.
        exact: ``value`` is never null where ``raw`` is not.
    """

    original: str
    have: str
    raw: str
    value: str
    exact: bool = True


def read_parquet(
    context: ReadContext,
    files: Sequence[SourceFile],
    group: ParquetGroup,
    column_of: dict[str, str],
) -> "DataFrame":
    """A frame with the table's columns and the lineage columns.

    Args:
        context: Session, table columns, batch.
        files: Files that all have the same schema.
        group: That schema.
        column_of: For each column of the files, the table's column. What has none in the table
            goes to ``_rescued``.
    """
    from pyspark.sql import functions as F

    frame, types = _frame(context, files, group)
    columns = {column.name: column.sql_type for column in context.columns}
    selected, rescued = list[tuple[str, str]](), list[tuple[str, str, str]]()
    for i, (original, name) in enumerate(column_of.items()):
        source = _value(group, original, types[original], f"_p{i}")
        want = columns.get(name)
        if want is None:
            rescued.append((original, "true", source.raw))
            continue
        fitted = None if source.have == "void" else _fitted(source, want)
        selected.append((name, fitted or f"cast(null as {want})"))
        if source.have == "void" or (
            fitted is not None and source.exact and always_fits(source.have, want)
        ):
            continue
        rescued.append((original, f"{quoted(name)} is null", source.raw))
    file_column = ["_file"] if len(files) > 1 else []
    # Names of our own, which no column of a table has.
    raws = [f"_autoloader_{i}" for i in range(len(rescued))]
    frame = frame.select(
        *[F.expr(value).alias(name) for name, value in selected],
        *[F.expr(value).alias(raw) for raw, (_, _, value) in zip(raws, rescued, strict=True)],
        *file_column,
    )
    frame = frame.select(
        *[F.col(quoted(name)) for name, _ in selected],
        F.expr(_rescued(rescued, raws)).alias(RESCUED),
        *file_column,
    )
    frame = add_lineage(context.spark, frame, files, context.batch_id)
    return in_table_order(frame, context, [name for name, _ in selected])


def _frame(
    context: ReadContext, files: Sequence[SourceFile], group: ParquetGroup
) -> tuple["DataFrame", dict[str, str]]:
    """The files' columns as ``_p0``, ``_p1``, …, and ``_file``; with the types by their names.

    The schema is that of one file. From many files Spark takes it from whichever comes first in
    their folders, where there may be files of another schema too.
    """
    schema = _data(context, files[:1]).schema
    types = ParquetSchema(group, schema).types
    if group.old_times:
        from pyspark.sql import types as T

        schema = T.StructType(
            [
                T.StructField(f.name, T.BinaryType() if f.name in group.old_times else f.dataType)
                for f in schema.fields
            ]
        )
    frame = _data(context, files, schema)
    # By position, because a name may be empty or one that Spark uses itself.
    renamed = frame.toDF(*[f"_p{i}" for i in range(len(types))])
    # Not by its name either, which a column of the files may have.
    path = renamed.metadataColumn("_metadata").getField("file_path")
    return renamed.select("*", path.alias("_file")), types


def _value(group: ParquetGroup, original: str, have: str, column: str) -> _Value:
    if original in dict(group.nanoseconds):
        # What microseconds cannot hold is null here, and so goes to _rescued as a number.
        time = f"if({column} % 1000 = 0, timestamp_micros({column} div 1000), null)"
        return _Value(original, have, column, f"cast({time} as {have})", exact=False)
    if original in group.old_times:
        nanos = _nanoseconds_of_old_time(column)
        micros = f"try_cast({nanos} / 1000 as bigint)"
        time = f"if({nanos} % 1000 = 0, timestamp_micros({micros}), null)"
        return _Value(original, have, nanos, time, exact=False)
    return _Value(original, have, column, column)


def _nanoseconds_of_old_time(column: str) -> str:
    """Nanoseconds since 1970 of 96 bits: a time within the day and a Julian day, low bytes first.

    As a decimal, which holds those of any day.
    """

    def number(first: int, last: int) -> str:
        digits = ", ".join(
            f"substring(hex({column}), {2 * i + 1}, 2)" for i in range(last, first - 1, -1)
        )
        return f"cast(conv(concat({digits}), 16, 10) as decimal(20,0))"

    day = f"{number(8, 11)} - {_EPOCH_AS_JULIAN_DAY}"
    return f"cast(({day}) * 86400000000000BD + {number(0, 7)} as decimal(38,0))"


def _fitted(source: _Value, want: str) -> str | None:
    """SQL of the value in the table's type; None if no value fits it."""
    if source.have == want:
        return source.value
    if want == "string" and is_nested(source.have):
        return as_json(source.value, nulls=True)
    # Another layout of a nested value has no cast that could not lose something.
    if is_nested(source.have) or is_nested(want):
        return None
    return same_value(source.value, source.have, want)


def _rescued(values: Sequence[tuple[str, str, str]], raws: Sequence[str]) -> str:
    """What did not fit, as a JSON object.

    Args:
        values: For each value its name, when it did not fit, and its SQL.
        raws: Where the values are.
    """
    if not values:
        return "cast(null as string)"
    named = list(zip(values, raws, strict=True))
    bad = " or ".join(f"({misfit} and {raw} is not null)" for (_, misfit, _), raw in named)
    pairs = ", ".join(
        f"{literal(original)}, if({misfit}, {raw}, null)" for (original, misfit, _), raw in named
    )
    return f"case when {bad} then {as_json(f'named_struct({pairs})')} end"
