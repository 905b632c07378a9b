"""Parquet files to the table's columns. Files of one schema are read by one reader."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.inspection.outcome import ParquetGroup
from autoloader_dagster.spark.lineage import RESCUED, SourceFile, add_lineage
from autoloader_dagster.spark.reading import ReadContext, in_table_order, load_files, reader
from autoloader_dagster.spark.typing import is_nested, literal, quoted, same_value

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def parquet_types(context: ReadContext, file: SourceFile, group: ParquetGroup) -> dict[str, str]:
    """The Spark SQL type of each column of a file, from its footer."""
    frame = _frame(context, [file])
    types = {field.name: field.dataType.simpleString() for field in frame.schema.fields}
    return types | {name: _time_type(instant) for name, instant in group.nanoseconds}


def _frame(context: ReadContext, files: Sequence[SourceFile]) -> "DataFrame":
    # Columns of nanoseconds come as numbers, by a setting of the session.
    return load_files(context, reader(context), "parquet", files)


def _time_type(instant: bool) -> str:
    return "timestamp" if instant else "timestamp_ntz"


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
        column_of: For each column of the files, the table's column.
    """
    from pyspark.sql import functions as F

    frame = _frame(context, files)
    source_types = {f.name: f.dataType.simpleString() for f in frame.schema.fields}
    nanoseconds = dict(group.nanoseconds)
    types = {column.name: column.sql_type for column in context.columns}
    file_column = ["_file"] if len(files) > 1 else []
    selected, misfits = [], []
    for original, name in column_of.items():
        have, want = source_types[original], types[name]
        value = quoted(original)
        if original in nanoseconds and want in ("timestamp", "timestamp_ntz"):
            # What microseconds cannot hold is null here, and so goes to _rescued as a number.
            time = f"if({value} % 1000 = 0, timestamp_micros({value} div 1000), null)"
            selected.append(F.expr(f"cast({time} as {want})").alias(name))
            misfits.append((original, name, f"_raw_{len(misfits)}", value))
            continue
        if have == want:
            selected.append(F.col(value).alias(name))
            continue
        if is_nested(have) or is_nested(want):
            # Another layout of a nested value has no cast that could not lose something.
            fitted = f"cast(null as {want})" if want != "string" else f"to_json({value})"
        else:
            fitted = same_value(value, have, want)
        selected.append(F.expr(fitted).alias(name))
        misfits.append((original, name, f"_raw_{len(misfits)}", value))
    frame = frame.select(
        *selected,
        *[F.expr(value).alias(raw) for _, _, raw, value in misfits],
        *[F.col("_metadata.file_path").alias(column) for column in file_column],
    )
    frame = frame.select(
        *[F.col(quoted(name)) for name in column_of.values()],
        F.expr(_rescued(misfits)).alias(RESCUED),
        *file_column,
    )
    frame = add_lineage(context.spark, frame, files, context.batch_id)
    return in_table_order(frame, context, list(column_of.values()))


def _rescued(misfits: Sequence[tuple[str, str, str, str]]) -> str:
    if not misfits:
        return "cast(null as string)"
    bad = " or ".join(
        f"({quoted(name)} is null and {raw} is not null)" for _, name, raw, _ in misfits
    )
    pairs = ", ".join(
        f"{literal(original)}, if({quoted(name)} is null, {raw}, null)"
        for original, name, raw, _ in misfits
    )
    return f"case when {bad} then to_json(named_struct({pairs})) end"
