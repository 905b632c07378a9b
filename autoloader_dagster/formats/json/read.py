"""JSON lines and JSON documents to the table's columns.

What the look has not proven sound is read with care: every record as a struct of texts, one for
each key that has a column. A record with other keys, or with a value that does not fit its column,
is read once more as a variant, and what has no place goes to ``_rescued``. Of many lines most are
ordinary, and Python workers take those apart where Spark has some, see ``line_parts``.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.formats.json.group import JsonGroup
from autoloader_dagster.formats.json.line_parts import PARTS, part_names
from autoloader_dagster.formats.json.options import JsonOptions
from autoloader_dagster.formats.json.ordinary import with_parts
from autoloader_dagster.formats.json.proven import differ_beyond_case, read_proven
from autoloader_dagster.formats.json.record_texts import (
    BROKEN_DOCUMENT,
    ESCAPED_PAIR,
    NOT_UTF8,
    record_texts,
)
from autoloader_dagster.formats.json.variants import Marks
from autoloader_dagster.formats.nested import PLAIN_KEY, Place, typed_variant
from autoloader_dagster.formats.reading import ReadContext, in_table_order, load_files, reader
from autoloader_dagster.formats.typing import is_nested, typed
from autoloader_dagster.iceberg.lineage import RESCUED, SourceFile, add_lineage
from autoloader_dagster.iceberg.sql import literal

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# Where a record that cannot be read as a struct of texts shows; a key that no file can have.
_FAULT, _FAULT_KEY = "_fault", f"_fault_{secrets.token_hex(16)}"


def read_json(
    context: ReadContext,
    options: JsonOptions,
    group: JsonGroup,
    files: Sequence[SourceFile],
    keys: Mapping[str, str],
    workers: Callable[[], bool],
) -> "DataFrame":
    """A frame with the table's columns and the lineage columns.

    Args:
        context: Session, table columns, batch.
        options: How the files are laid out.
        group: What the files are, all of them.
        files: The files.
        keys: The column of each key that was found in the files, or that the table has a column of.
        workers: Asked whether Spark has Python workers that take lines apart, and so much to read
            that they are worth it.
    """
    file_column = ["_file"] if len(files) > 1 else []
    if group.proven and differ_beyond_case(keys):
        path, formats = options.record_path, options.timestamp_formats
        frame = read_proven(context, path, files, keys, formats, file_column)
    else:
        frame = _read_with_care(context, options, group, files, keys, file_column, workers)
    frame = add_lineage(context.spark, frame, files, context.batch_id)
    return in_table_order(frame, context, list(keys.values()))


def _read_with_care(
    context: ReadContext,
    options: JsonOptions,
    group: JsonGroup,
    files: Sequence[SourceFile],
    keys: Mapping[str, str],
    file_column: Sequence[str],
    workers: Callable[[], bool],
) -> "DataFrame":
    from pyspark.sql import functions as F

    types = {column.name: column.sql_type for column in context.columns}
    present = {key: name for key, name in keys.items() if name in types}
    document = group.layout == "document"
    data = reader(context).schema("value string").option("wholetext", str(document).lower())
    frame = load_files(context, data, "text", files)
    frame = frame.select(
        "value", *[F.col("_metadata.file_path").alias(name) for name in file_column]
    )
    if not document:
        # Blank lines hold no record, and there can be millions of them.
        frame = frame.where(F.trim("value") != "")
    nested = any(is_nested(types[name]) for name in present.values())
    apart = not document and not nested and workers()
    kept = list(file_column)
    if apart:
        frame = with_parts(frame, list(present), file_column)
        kept.append(PARTS)
    marks = Marks()
    frame = record_texts(frame, marks, group, options.record_path, kept, apart)
    columns = {key: (name, types[name]) for key, name in present.items()}
    return _typed_records(frame, columns, marks, apart, options.timestamp_formats, file_column)


def _typed_records(
    frame: "DataFrame",
    columns: Mapping[str, tuple[str, str]],
    marks: Marks,
    apart: bool,
    timestamp_formats: Sequence[str],
    kept: Sequence[str],
) -> "DataFrame":
    """The columns of records, ``_rescued``, and what is kept.

    Args:
        frame: From ``record_texts``.
        columns: Name and type of the column of each key.
        marks: Those in the texts.
        apart: Whether some lines were taken apart, see ``with_parts``.
        timestamp_formats: Patterns of times, besides the usual ones.
        kept: Columns to keep.
    """
    from pyspark.sql import functions as F

    # A column may have any name, so all have names of ours until the end. Each step carries on
    # nothing that no later one needs, because Spark copies it.
    row = ["_text", "_other", "_broken", "_odd", *kept]
    texts = _texts(list(columns))
    if apart:
        row.append("_apart")
        texts = F.coalesce(PARTS, texts)
        frame = frame.withColumn("_apart", F.col(PARTS).isNotNull())
    frame = frame.select(*row, texts.alias("_texts"))
    found, given = [F.col(f"_texts.{_FAULT}").alias(_FAULT)], []
    values: dict[str, str] = {}
    misfits: dict[str, str] = {}
    if any(is_nested(sql_type) for _, sql_type in columns.values()):
        found.append(F.expr("try_parse_json(_text)").alias("_v"))
    for i, (key, (name, sql_type)) in enumerate(columns.items()):
        raw, value = f"_raw_{i}", f"_value_{i}"
        text = marks.removed_from_cell(_written(f"_texts._{i}", key))
        text = f"if(_apart, _texts._{i}, {text})" if apart else text
        found.append(F.expr(text).alias(raw))
        if sql_type == "string":
            values[raw] = name
            continue
        if is_nested(sql_type):
            at = _at("_v", key).as_type("variant")
            expression = typed_variant(at, sql_type, marks.removed, timestamp_formats)
        else:
            expression = typed(raw, sql_type, timestamp_formats)
        given.append(F.expr(expression).alias(value))
        values[value] = name
        misfits[key] = f"({value} is null and {raw} is not null)"
    frame = frame.select(*row, *found).select("*", *given)
    return frame.select(
        *[F.col(place).alias(name) for place, name in values.items()],
        F.expr(_rescued(list(columns), misfits, marks, apart)).alias(RESCUED),
        *kept,
    )


def _texts(keys: Sequence[str]) -> "Column":
    """The texts of these keys as a struct with the fields ``_0``, ``_1``, ..., and the fault."""
    from pyspark.sql import functions as F
    from pyspark.sql import types as T

    # By place, because two keys may differ in nothing but the case of a letter.
    schema = T.StructType([T.StructField(key, T.StringType()) for key in [*keys, _FAULT_KEY]])
    read = F.from_json("_text", schema, {"columnNameOfCorruptRecord": _FAULT_KEY})
    return read.cast(f"struct<{', '.join(f'{name}: string' for name in part_names(len(keys)))}>")


def _written(text: str, key: str) -> str:
    """The text of a value with the characters that it was written with.

    In an array or object, Spark escapes characters beyond the first 65,536; a variant does not, but
    has the keys in order. A string may hold such an escape as its text.
    """
    exact = _at("try_parse_json(_text)", key).as_type("string")
    return f"if(contains({text}, {literal(ESCAPED_PAIR)}), {exact}, {text})"


def _at(variant: str, key: str) -> Place:
    if PLAIN_KEY.fullmatch(key):
        return Place(variant).at(key)
    keys = Place(variant).as_type("map<string,variant>")
    return Place(f"try_element_at({keys}, {literal(key)})")


def _rescued(keys: Sequence[str], misfits: Mapping[str, str], marks: Marks, apart: bool) -> str:
    # A document or a line that is broken says so by itself; other text goes in as it is.
    whole_file = f"_broken in ({literal(BROKEN_DOCUMENT)}, {literal(NOT_UTF8)})"
    fits = " ".join(f"when {literal(key)} then {misfits.get(key, 'false')}" for key in keys)
    keep = f"case _k {fits} else true end" if fits else "true"
    # A line that was taken apart gets its marks here, where a value does not fit.
    text = f"if(_apart, {marks.put_into('_text')}, _text)" if apart else "_text"
    variants = f"array(try_variant_get(try_parse_json({text}), '$', 'map<string,variant>'))"
    left = f"to_json(map_filter(_m, (_k, _x) -> {keep}))"
    left = f"nullif(get(transform({variants}, _m -> {left}), 0), '{{}}')"
    left = marks.taken_out(left) if apart else marks.removed(left)
    # Without a lambda, which Spark does not compile.
    known = f"cast(array({', '.join(map(literal, keys))}) as array<string>)"
    unknown = f"size(array_except(json_object_keys(_text), {known})) > 0"
    bad = [f"(not _apart and {unknown})" if apart else unknown, *misfits.values()]
    return (
        f"case when _broken is not null "
        f"then if({whole_file}, _broken, to_json(named_struct('_row', _broken))) "
        f"when _other is not null then to_json(named_struct('_row', {marks.removed('_other')})) "
        f"when {_FAULT} is not null "
        f"then to_json(named_struct('_row', {marks.removed('_text')})) "
        f"when {' or '.join(bad)} then {left} end"
    )
