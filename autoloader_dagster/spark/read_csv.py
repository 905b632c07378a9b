"""CSV files to the table's columns, by name and never by the position in another file.

Two ways, with the same result:

* one reader a header, while there are few headers. Spark's reader parses numbers itself, and only
  a row that it flags is parsed again, as strings, to see what in it did not fit. This is as fast
  as Spark's plain typed read.
* one reader a width, when there are many headers. Cells are read as strings into an array, and an
  index array a file says which cell belongs to which column. The plan does not grow with the
  number of headers.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.inspection.outcome import CsvGroup
from autoloader_dagster.spark.lineage import RESCUED, SourceFile, add_lineage, spark_uri
from autoloader_dagster.spark.reading import ReadContext, in_table_order, load_files, reader
from autoloader_dagster.spark.typing import PARSED_BY_READER, literal, quoted, typed
from autoloader_dagster.specs.model import CsvOptions

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# Above this many headers the analysis of one reader a header costs more than the index arrays.
MAX_HEADER_READERS = 10


def read_csv(
    context: ReadContext,
    options: CsvOptions,
    groups: dict[CsvGroup, list[SourceFile]],
    column_of: dict[CsvGroup, tuple[str, ...]],
) -> list["DataFrame"]:
    """Frames with the table's columns and the lineage columns.

    Args:
        context: Session, table columns, batch.
        options: How the files are written.
        groups: The files by header.
        column_of: For each header, the table column of each of its cells, in order.
    """
    if len(groups) <= MAX_HEADER_READERS:
        return [
            _by_header(context, options, group, column_of[group], files)
            for group, files in groups.items()
        ]
    by_width: dict[tuple[int, bool], list[CsvGroup]] = defaultdict(list)
    for group in groups:
        by_width[len(group.header), group.multiline].append(group)
    return [
        _by_width(context, options, width, multiline, {g: groups[g] for g in members}, column_of)
        for (width, multiline), members in by_width.items()
    ]


def _reader_options(options: CsvOptions, multiline: bool) -> dict[str, str]:
    # Spark knows one null marker; '' is always one. Further ones are handled by _cell.
    marker = next((value for value in options.null_values if value), "")
    chosen = {
        "header": str(options.header).lower(),
        "sep": options.delimiter,
        "quote": options.quote,
        "escape": options.escape,
        "encoding": options.encoding,
        # Spark reads UTF-16 line by line with a broken sign at each line's end.
        "multiLine": str(multiline or options.encoding.startswith("utf-16")).lower(),
        "nullValue": marker,
        "columnNameOfCorruptRecord": "_c",
        "maxColumns": "20480",
    }
    if options.comment:
        chosen["comment"] = options.comment
    return chosen


def _further_nulls(options: CsvOptions) -> list[str]:
    return [value for value in options.null_values if value][1:]


def _cell(raw: str, options: CsvOptions) -> str:
    further = _further_nulls(options)
    return f"if({raw} in ({', '.join(map(literal, further))}), null, {raw})" if further else raw


def _by_header(
    context: ReadContext,
    options: CsvOptions,
    group: CsvGroup,
    columns: Sequence[str],
    files: Sequence[SourceFile],
) -> "DataFrame":
    from pyspark.sql import functions as F

    types = {column.name: column.sql_type for column in context.columns}
    cells = [f"p{i}" for i in range(len(columns))]
    parsed = [types[name] in PARSED_BY_READER for name in columns]
    schema = ", ".join(
        f"{cell} {types[name] if by_reader else 'string'}"
        for cell, name, by_reader in zip(cells, columns, parsed, strict=True)
    )
    reader_options = _reader_options(options, group.multiline)
    frame = load_files(
        context,
        reader(context).schema(f"{schema}, _c string").options(**reader_options),
        "csv",
        files,
    )
    again = {
        k: v for k, v in reader_options.items() if k not in ("header", "multiLine", "encoding")
    }
    as_strings = literal(", ".join(f"{cell} string" for cell in cells) + ", _c string")
    options_map = ", ".join(f"{literal(k)}, {literal(v)}" for k, v in again.items())
    frame = frame.select(
        *cells,
        "_c",
        *_file_column(files),
        F.expr(f"if(_c is null, null, from_csv(_c, {as_strings}, map({options_map})))").alias("_p"),
    )
    values, raws = [], []
    for cell, name, by_reader in zip(cells, columns, parsed, strict=True):
        sql_type = types[name]
        if sql_type == "string":
            values.append((name, _cell(cell, options)))
        elif by_reader:
            raw = _cell(f"_p.{cell}", options)
            second_try = typed(raw, sql_type, options.timestamp_formats)
            values.append((name, f"if(_c is null, {cell}, coalesce({cell}, {second_try}))"))
            raws.append((name, raw))
        else:
            raw = _cell(cell, options)
            values.append((name, typed(raw, sql_type, options.timestamp_formats)))
            raws.append((name, raw))
    return _finished(context, frame, files, group.header, columns, values, raws, "_p._c")


def _by_width(
    context: ReadContext,
    options: CsvOptions,
    width: int,
    multiline: bool,
    groups: dict[CsvGroup, list[SourceFile]],
    column_of: dict[CsvGroup, tuple[str, ...]],
) -> "DataFrame":
    from pyspark.sql import functions as F

    files = [file for members in groups.values() for file in members]
    here = {name for group in groups for name in column_of[group]}
    present = [column for column in context.columns if column.name in here]
    cells = [f"p{i}" for i in range(width)]
    frame = load_files(
        context,
        reader(context)
        .schema(", ".join(f"{cell} string" for cell in cells) + ", _c string")
        .options(**_reader_options(options, multiline)),
        "csv",
        files,
    ).select(F.array(*cells).alias("_a"), "_c", F.col("_metadata.file_path").alias("_file"))
    index_of = [
        (
            spark_uri(file.read_from),
            [
                column_of[group].index(column.name) if column.name in column_of[group] else -1
                for column in present
            ],
        )
        for group, members in groups.items()
        for file in members
    ]
    index = context.spark.createDataFrame(index_of, "_u string, _ix array<int>")
    frame = frame.join(F.broadcast(index), F.col("_file") == F.col("_u"), "left").drop("_u")
    values, raws = [], []
    for i, column in enumerate(present):
        # get() answers null for the index -1.
        raw = _cell(f"get(_a, _ix[{i}])", options)
        values.append((column.name, typed(raw, column.sql_type, options.timestamp_formats)))
        if column.sql_type != "string":
            raws.append((column.name, raw))
    names = [column.name for column in present]
    return _finished(context, frame, files, names, names, values, raws, "_c")


def _file_column(files: Sequence[SourceFile]) -> list["Column"]:
    from pyspark.sql import functions as F

    return [F.col("_metadata.file_path").alias("_file")] if len(files) > 1 else []


def _finished(
    context: ReadContext,
    frame: "DataFrame",
    files: Sequence[SourceFile],
    originals: Sequence[str],
    columns: Sequence[str],
    values: Sequence[tuple[str, str]],
    raws: Sequence[tuple[str, str]],
    malformed: str,
) -> "DataFrame":
    """Add ``_rescued`` and the lineage columns.

    Two selects, for Spark then casts each cell once: an expression in one select that is used
    twice would be evaluated twice.
    """
    from pyspark.sql import functions as F

    # Not asked of the frame, for that would have the server list all files once more.
    file_column = ["_file"] if len(files) > 1 else []
    frame = frame.select(
        *[F.expr(value).alias(name) for name, value in values],
        *[F.expr(raw).alias(f"_raw_{i}") for i, (_, raw) in enumerate(raws)],
        F.expr(malformed).alias("_row"),
        *file_column,
    )
    original_of = dict(zip(columns, originals, strict=True))
    keys = [original_of[name] for name, _ in raws]
    keys = keys if len(set(keys)) == len(keys) else [name for name, _ in raws]
    misfit = [
        f"({quoted(name)} is null and _raw_{i} is not null)" for i, (name, _) in enumerate(raws)
    ]
    pairs = [
        f"{literal(key)}, if({quoted(name)} is null, _raw_{i}, null)"
        for i, (key, (name, _)) in enumerate(zip(keys, raws, strict=True))
    ]
    pairs.append("'_row', _row")
    rescued = (
        f"case when {' or '.join([*misfit, '_row is not null'])} "
        f"then to_json(named_struct({', '.join(pairs)})) end"
    )
    names = [name for name, _ in values]
    frame = frame.select(
        *[F.col(quoted(name)) for name in names], F.expr(rescued).alias(RESCUED), *file_column
    )
    frame = add_lineage(context.spark, frame, files, context.batch_id)
    return in_table_order(frame, context, names)
