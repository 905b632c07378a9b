"""JSON lines and JSON documents to the table's columns.

What the look has not proven sound is read with care: every record as a struct of texts, one for
each key that has a column. A record with other keys, or with a value that does not fit its column,
is read once more as a variant, and what has no place goes to ``_rescued``.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.formats.json.group import JsonGroup
from autoloader_dagster.formats.json.options import JsonOptions
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
) -> "DataFrame":
    """A frame with the table's columns and the lineage columns.

    Args:
        context: Session, table columns, batch.
        options: How the files are laid out.
        group: What the files are, all of them.
        files: The files.
        keys: The column of each key that was found in the files, or that the table has a column of.
    """
    file_column = ["_file"] if len(files) > 1 else []
    if group.proven and differ_beyond_case(keys):
        path, formats = options.record_path, options.timestamp_formats
        frame = read_proven(context, path, files, keys, formats, file_column)
    else:
        frame = _read_with_care(context, options, group, files, keys, file_column)
    frame = add_lineage(context.spark, frame, files, context.batch_id)
    return in_table_order(frame, context, list(keys.values()))


def _read_with_care(
    context: ReadContext,
    options: JsonOptions,
    group: JsonGroup,
    files: Sequence[SourceFile],
    keys: Mapping[str, str],
    file_column: Sequence[str],
) -> "DataFrame":
    from pyspark.sql import functions as F

    formats = options.timestamp_formats
    types = {column.name: column.sql_type for column in context.columns}
    present = {key: name for key, name in keys.items() if name in types}
    document = group.layout == "document"
    data = reader(context).schema("value string").option("wholetext", str(document).lower())
    frame = load_files(context, data, "text", files)
    frame = frame.select(
        "value", *[F.col("_metadata.file_path").alias(name) for name in file_column]
    )
    marks = Marks()
    frame = record_texts(frame, marks, group, options.record_path, file_column)
    frame = frame.select("*", _texts(list(present)).alias("_texts"))
    nested = any(is_nested(types[name]) for name in present.values())
    if nested:
        frame = frame.select("*", F.expr("try_parse_json(_text)").alias("_v"))
    # A column may have any name, so all have names of ours until the end.
    texts, values, misfits = [], [], []
    for i, (key, name) in enumerate(present.items()):
        raw, sql_type = f"_raw_{i}", types[name]
        texts.append(F.expr(marks.removed_from_cell(_written(f"_texts._{i}", key))).alias(raw))
        if is_nested(sql_type):
            at = _at("_v", key).as_type("variant")
            value = typed_variant(at, sql_type, marks.removed, formats)
        else:
            value = typed(raw, sql_type, formats)
        values.append(F.expr(value).alias(f"_value_{i}"))
        if sql_type != "string":
            misfits.append(f"(_value_{i} is null and {raw} is not null)")
    frame = frame.select("*", *texts).select("*", *values)
    return frame.select(
        *[F.col(f"_value_{i}").alias(name) for i, name in enumerate(present.values())],
        F.expr(_rescued(list(present), misfits, marks)).alias(RESCUED),
        *file_column,
    )


def _texts(keys: Sequence[str]) -> "Column":
    """The texts of these keys as a struct with the fields ``_0``, ``_1``, ..., and the fault."""
    from pyspark.sql import functions as F
    from pyspark.sql import types as T

    # By place, because two keys may differ in nothing but the case of a letter.
    schema = T.StructType([T.StructField(key, T.StringType()) for key in [*keys, _FAULT_KEY]])
    read = F.from_json("_text", schema, {"columnNameOfCorruptRecord": _FAULT_KEY})
    names = [f"_{i}" for i in range(len(keys))]
    return read.cast(f"struct<{', '.join(f'{name}: string' for name in [*names, _FAULT])}>")


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


def _rescued(keys: Sequence[str], misfits: Sequence[str], marks: Marks) -> str:
    # A document or a line that is broken says so by itself; other text goes in as it is.
    whole_file = f"_broken in ({literal(BROKEN_DOCUMENT)}, {literal(NOT_UTF8)})"
    fits = " ".join(
        f"when {literal(key)} then (_value_{i} is null and _raw_{i} is not null)"
        for i, key in enumerate(keys)
    )
    keep = f"case _k {fits} else true end" if fits else "true"
    variants = "array(try_variant_get(try_parse_json(_text), '$', 'map<string,variant>'))"
    left = f"to_json(map_filter(_m, (_k, _x) -> {keep}))"
    left = f"nullif(get(transform({variants}, _m -> {left}), 0), '{{}}')"
    # Without a lambda, which Spark does not compile.
    known = f"cast(array({', '.join(map(literal, keys))}) as array<string>)"
    misfits = [f"size(array_except(json_object_keys(_text), {known})) > 0", *misfits]
    return (
        f"case when _broken is not null "
        f"then if({whole_file}, _broken, to_json(named_struct('_row', _broken))) "
        f"when _other is not null then to_json(named_struct('_row', {marks.removed('_other')})) "
        f"when _texts.{_FAULT} is not null "
        f"then to_json(named_struct('_row', {marks.removed('_text')})) "
        f"when {' or '.join(misfits) or 'false'} then {marks.removed(left)} end"
    )
