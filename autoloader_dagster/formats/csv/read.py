"""CSV files to the table's columns, by name and never by the position in another file.

Two ways, with the same result:

* one reader a header, while there are few headers. Spark's reader parses integers itself, and only
  a row that it flags is parsed again, as strings, to see what in it did not fit. This is nearly as
  fast as Spark's plain typed read.
* one reader a width, when there are many headers. Cells are read as strings into an array, and an
  index array a file says which cell belongs to which column. The plan does not grow with the
  number of headers.

Either way the records of small files are parsed by ``from_csv``, which is the same parser, and
those of other files by the reader.
"""

import secrets
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.formats.csv.group import CsvGroup
from autoloader_dagster.formats.csv.inline import CARRIED, inline_or_not, lines_frame
from autoloader_dagster.formats.csv.options import CsvOptions
from autoloader_dagster.formats.json.variants import Marks
from autoloader_dagster.formats.nested import typed_cell
from autoloader_dagster.formats.reading import ReadContext, in_table_order, load_files, reader
from autoloader_dagster.formats.typing import PARSED_BY_READER, typed
from autoloader_dagster.iceberg.lineage import RESCUED, SourceFile, add_lineage, spark_uri
from autoloader_dagster.iceberg.sql import literal, quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Above this many headers the analysis of one reader a header costs more than the index arrays.
MAX_HEADER_READERS = 10
# What a record that is parsed by itself begins with instead of U+FEFF, which the parser takes for a
# byte order mark and drops, from the first record that it gets. Of noncharacters, because no file
# has them in this order, and no delimiter or quote is one.
_FEFF = "".join(chr(0xFDD0 + byte % 32) for byte in secrets.token_bytes(12))
# The key of a whole record in _rescued.
_ROW = "_row"
# Spark takes LF for a line end as well where it is told CRLF.
_LINE_ENDS = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}


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
            _by_header(context, options, group, column_of[group], some)
            for group, files in groups.items()
            for some in inline_or_not(files)
        ]
    by_width: dict[tuple[CsvGroup, bool], dict[CsvGroup, list[SourceFile]]] = defaultdict(dict)
    for group, files in groups.items():
        for some in inline_or_not(files):
            inline = some[0].lines is not None
            # How records are told apart does not matter once they are.
            kind = CsvGroup(
                ("",) * len(group.header),
                multiline=group.multiline and not inline,
                line_end="lf" if inline else group.line_end,
            )
            by_width[kind, inline].setdefault(group, []).extend(some)
    return [
        _by_width(context, options, kind, members, column_of)
        for (kind, _), members in by_width.items()
    ]


def _reader_options(options: CsvOptions, multiline: bool, line_end: str = "lf") -> dict[str, str]:
    # Spark knows one null marker, which an empty cell without quotes always becomes; further ones
    # are handled by _cell. With NUL, which no file has, no other cell is one.
    empty = "" in options.null_values
    marker = next((value for value in options.null_values if value), "" if empty else "\0")
    chosen = {
        "header": str(options.header).lower(),
        "sep": options.delimiter,
        "quote": options.quote,
        "escape": options.escape,
        "encoding": options.encoding,
        "multiLine": str(multiline).lower(),
        "nullValue": marker,
        # What an empty cell in quotes becomes.
        "emptyValue": marker if empty else "",
        "columnNameOfCorruptRecord": "_c",
        "maxColumns": "20480",
    }
    if multiline:
        # Left to itself Spark takes the first line break for the kind that all have, also one
        # inside of quotes, and turns those inside of quotes into LF.
        chosen["lineSep"] = _LINE_ENDS[line_end]
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
    parsed = [types.get(name) in PARSED_BY_READER for name in columns]
    schema = ", ".join(
        f"{cell} {types[name] if by_reader else 'string'}"
        for cell, name, by_reader in zip(cells, columns, parsed, strict=True)
    )
    frame, carried = _parsed(context, options, group, f"{schema}, _c string", files)
    as_strings = ", ".join(f"{cell} string" for cell in cells) + ", _c string"
    record = _record(files)
    of_text = record == "_line" and schema.startswith("p0 string")
    first = _first_cell("p0") if of_text else "p0"
    frame = frame.select(
        F.expr(first).alias("p0"),
        *cells[1:],
        F.expr(f"if(_c is null, null, {record})").alias("_c"),
        *carried,
        F.expr(f"if(_c is null, null, {_from_csv(record, as_strings, options)})").alias("_p"),
    )
    values, raws, marks = [], [], Marks()
    for cell, name, by_reader in zip(cells, columns, parsed, strict=True):
        sql_type = types.get(name)
        if sql_type is None:
            raws.append((name, _cell(cell, options)))
        elif sql_type == "string":
            values.append((name, _cell(cell, options)))
        elif by_reader:
            again = _first_cell("_p.p0") if cell == "p0" else f"_p.{cell}"
            raw = _cell(again, options)
            second_try = typed(raw, sql_type, options.timestamp_formats)
            values.append((name, f"if(_c is null, {cell}, coalesce({cell}, {second_try}))"))
            raws.append((name, raw))
        else:
            raw = _cell(cell, options)
            values.append((name, typed_cell(raw, sql_type, options.timestamp_formats, marks)))
            raws.append((name, raw))
    names = dict(zip(columns, group.header, strict=True))
    return _finished(
        context, frame, files, carried, names, values, raws, "if(_p._c is null, null, _c)"
    )


def _by_width(
    context: ReadContext,
    options: CsvOptions,
    kind: CsvGroup,
    groups: dict[CsvGroup, list[SourceFile]],
    column_of: dict[CsvGroup, tuple[str, ...]],
) -> "DataFrame":
    from pyspark.sql import functions as F

    files = [file for members in groups.values() for file in members]
    here = {name for group in groups for name in column_of[group]}
    types = {column.name: column.sql_type for column in context.columns}
    present = [*(name for name in types if name in here), *sorted(here - types.keys())]
    cells = [f"p{i}" for i in range(len(kind.header))]
    index_of = {
        file.path: [
            column_of[group].index(name) if name in column_of[group] else -1 for name in present
        ]
        for group, members in groups.items()
        for file in members
    }
    schema = ", ".join(f"{cell} string" for cell in cells) + ", _c string"
    frame, carried = _parsed(context, options, kind, schema, files, index_of)
    record = _record(files)
    first = F.expr(_first_cell("p0") if record == "_line" else "p0")
    frame = frame.select(
        F.array(first, *cells[1:]).alias("_a"),
        F.expr(f"if(_c is null, null, {record})").alias("_c"),
        "_ix",
        *carried,
    )
    values, raws, marks = [], [], Marks()
    for i, name in enumerate(present):
        # get() answers null for the index -1.
        raw = _cell(f"get(_a, _ix[{i}])", options)
        sql_type = types.get(name)
        if sql_type is not None:
            values.append((name, typed_cell(raw, sql_type, options.timestamp_formats, marks)))
        if sql_type != "string":
            raws.append((name, raw))
    names = {name: name for name in present}
    return _finished(context, frame, files, carried, names, values, raws, "_c")


def _parsed(
    context: ReadContext,
    options: CsvOptions,
    group: CsvGroup,
    schema: str,
    files: Sequence[SourceFile],
    index_of: dict[str, list[int]] | None = None,
) -> tuple["DataFrame", list[str]]:
    """The cells of the files by the schema, from the lines that are here or from Spark's reader.

    Args:
        context: Session, table columns, batch.
        options: How the files are written.
        group: How the files' records are told apart.
        schema: Of the cells.
        files: All with their lines here, or all without.
        index_of: By path; if given, the frame has it as ``_ix``.

    Returns:
        The frame, and the names of the columns that ``add_lineage`` needs of it.
    """
    from pyspark.sql import functions as F

    index_column = ["_ix"] if index_of is not None else []
    if files[0].lines is not None:
        frame = lines_frame(
            context.spark, files, (lambda file: index_of[file.path]) if index_of else None
        )
        row = F.expr(_from_csv("_line", schema, options)).alias("_r")
        frame = frame.select(row, "_line", *index_column, *CARRIED)
        frame = frame.select("_r.*", "_line", *index_column, *CARRIED)
        return frame, list(CARRIED)
    frame = load_files(
        context,
        reader(context)
        .schema(schema)
        .options(**_reader_options(options, group.multiline, group.line_end)),
        "csv",
        files,
    )
    if group.multiline:
        # Lines of blanks are no records, but Spark passes over them only line by line.
        # \z, because $ also matches before a last U+0085, U+2028 or U+2029.
        blank = r"_c rlike '^[\\x00-\\x20]*\\z'"
        empty = f"{blank} and not contains(_c, {literal(options.delimiter)})"
        frame = frame.where(f"_c is null or not ({empty})")
    # A single file's columns are literals.
    if len(files) == 1 and index_of is None:
        return frame, []
    frame = frame.select("*", F.col("_metadata.file_path").alias("_file"))
    if index_of is not None:
        uris = [(spark_uri(file.read_from), index_of[file.path]) for file in files]
        index = context.spark.createDataFrame(uris, "_u string, _ix array<int>")
        frame = frame.join(F.broadcast(index), F.col("_file") == F.col("_u"), "left").drop("_u")
    return frame, ["_file"]


def _record(files: Sequence[SourceFile]) -> str:
    """The column of ``_parsed`` that has a flagged record as it is written."""
    return "_line" if files[0].lines is not None else "_c"


def _from_csv(text: str, schema: str, options: CsvOptions) -> str:
    """The SQL that parses one record as the reader would."""
    of_a_file = ("header", "multiLine", "lineSep", "encoding")
    pairs = [
        f"{literal(key)}, {literal(value)}"
        for key, value in _reader_options(options, multiline=False).items()
        if key not in of_a_file
    ]
    begins = f"startswith({text}, '\ufeff')"
    kept = f"if({begins}, concat('{_FEFF}', substring({text}, 2)), {text})"
    return f"from_csv({kept}, {literal(schema)}, map({', '.join(pairs)}))"


def _first_cell(cell: str) -> str:
    """The SQL for the first cell as the record has it, which ``_from_csv`` has parsed."""
    rest = f"substring({cell}, {len(_FEFF) + 1})"
    return f"if(startswith({cell}, '{_FEFF}'), concat('\ufeff', {rest}), {cell})"


def _finished(
    context: ReadContext,
    frame: "DataFrame",
    files: Sequence[SourceFile],
    carried: Sequence[str],
    original_of: dict[str, str],
    values: Sequence[tuple[str, str]],
    raws: Sequence[tuple[str, str]],
    malformed: str,
) -> "DataFrame":
    """Add ``_rescued`` and the lineage columns.

    What has no column in the table, and so only a raw value, goes to ``_rescued``.

    Two selects, because Spark then casts each cell once: an expression in one select that is used
    twice would be evaluated twice.
    """
    from pyspark.sql import functions as F

    frame = frame.select(
        *[F.expr(value).alias(name) for name, value in values],
        *[F.expr(raw).alias(f"_raw_{i}") for i, (_, raw) in enumerate(raws)],
        F.expr(malformed).alias("_row"),
        *carried,
    )
    # A column that is itself called as a whole record is named as the table has it.
    keys = [name if original_of[name] == _ROW else original_of[name] for name, _ in raws]
    keys = keys if len(set(keys)) == len(keys) else [name for name, _ in raws]
    names = [name for name, _ in values]
    has_column = set(names)
    is_misfit = [f"{quoted(name)} is null" if name in has_column else "true" for name, _ in raws]
    misfit = [f"({bad} and _raw_{i} is not null)" for i, bad in enumerate(is_misfit)]
    pairs = [
        f"{literal(key)}, if({bad}, _raw_{i}, null)"
        for i, (key, bad) in enumerate(zip(keys, is_misfit, strict=True))
    ]
    pairs.append(f"{literal(_ROW)}, _row")
    rescued = (
        f"case when {' or '.join([*misfit, '_row is not null'])} "
        f"then to_json(named_struct({', '.join(pairs)})) end"
    )
    frame = frame.select(
        *[F.col(quoted(name)) for name in names], F.expr(rescued).alias(RESCUED), *carried
    )
    frame = add_lineage(context.spark, frame, files, context.batch_id)
    return in_table_order(frame, context, names)
