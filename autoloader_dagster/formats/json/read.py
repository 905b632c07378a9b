"""JSON lines and JSON documents to the table's columns.

Every record is read as a variant, which keeps every key whatever the file's other records look
like. What has a column goes there, what does not fit or has no column goes to ``_rescued``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.formats.json.options import JsonOptions
from autoloader_dagster.formats.json.variants import (
    BROKEN_DOCUMENT,
    NOT_UTF8,
    Marks,
    parsed_records,
)
from autoloader_dagster.formats.nested import PLAIN_KEY, Place, typed_variant
from autoloader_dagster.formats.reading import ReadContext, in_table_order, load_files, reader
from autoloader_dagster.formats.typing import is_nested, typed
from autoloader_dagster.iceberg.lineage import RESCUED, SourceFile, add_lineage
from autoloader_dagster.iceberg.sql import literal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def read_json(
    context: ReadContext,
    options: JsonOptions,
    layout: str,
    files: Sequence[SourceFile],
    keys: Mapping[str, str],
) -> "DataFrame":
    """A frame with the table's columns and the lineage columns.

    Args:
        context: Session, table columns, batch.
        options: How the files are laid out.
        layout: ``lines`` or ``document``.
        files: The files, all of this layout.
        keys: For each key of a record that has a column, that column.
    """
    from pyspark.sql import functions as F

    document = layout == "document"
    data = reader(context).schema("value string").option("wholetext", str(document).lower())
    file_column = ["_file"] if len(files) > 1 else []
    frame = load_files(context, data, "text", files)
    frame = frame.select(
        "value", *[F.col("_metadata.file_path").alias(name) for name in file_column]
    )
    marks = Marks()
    frame = parsed_records(frame, marks, document, options.record_path, file_column)
    frame = frame.select("*", F.expr("try_variant_get(_v, '$', 'map<string,variant>')").alias("_m"))
    types = {column.name: column.sql_type for column in context.columns}
    present = {key: name for key, name in keys.items() if name in types}
    # A column may have any name, so all have names of ours until the end.
    texts, values = [], []
    for i, (key, name) in enumerate(present.items()):
        raw = f"_raw_{i}"
        at = _at(key)
        texts.append(F.expr(marks.removed(at.as_type("string"))).alias(raw))
        if is_nested(types[name]):
            value = typed_variant(
                at.as_type("variant"), types[name], marks.removed, options.timestamp_formats
            )
        else:
            value = typed(raw, types[name], options.timestamp_formats)
        values.append(F.expr(value).alias(f"_value_{i}"))
    frame = frame.select("*", *texts).select("*", *values)
    frame = frame.select(
        *[F.col(f"_value_{i}").alias(name) for i, name in enumerate(present.values())],
        F.expr(_rescued(list(present), marks)).alias(RESCUED),
        *file_column,
    )
    frame = add_lineage(context.spark, frame, files, context.batch_id)
    return in_table_order(frame, context, list(present.values()))


def _at(key: str) -> Place:
    if PLAIN_KEY.fullmatch(key):
        return Place("_v").at(key)
    # The map is there already.
    return Place(f"try_element_at(_m, {literal(key)})")


def _rescued(keys: Sequence[str], marks: Marks) -> str:
    fits = " ".join(
        f"when {literal(key)} then (_value_{i} is null and _raw_{i} is not null)"
        for i, key in enumerate(keys)
    )
    keep = f"case _k {fits} else true end" if fits else "true"
    leftover = f"nullif(to_json(map_filter(_m, (_k, _x) -> {keep})), '{{}}')"
    # A document or a line that is broken says so by itself; other text goes in as it is.
    whole_file = f"_c in ({literal(BROKEN_DOCUMENT)}, {literal(NOT_UTF8)})"
    return (
        f"case when _c is not null then if({whole_file}, _c, to_json(named_struct('_row', _c))) "
        f"when _m is null then to_json(named_struct('_row', "
        f"coalesce({marks.removed('to_json(_v)')}, 'null'))) "
        f"else {marks.removed(leftover)} end"
    )
