"""JSON lines and JSON documents to the table's columns.

Every record is read as a variant, which keeps every key whatever the file's other records look
like. What has a column goes there, what does not fit or has no column goes to ``_rescued``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.spark.lineage import RESCUED, SourceFile, add_lineage
from autoloader_dagster.spark.reading import ReadContext, in_table_order, load_files, reader
from autoloader_dagster.spark.typing import is_nested, literal, quoted, typed
from autoloader_dagster.specs.format import JsonOptions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# A document that does not parse leaves this one row; the audit then sets its file aside.
BROKEN_DOCUMENT = '{"_document":"could not be parsed"}'


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
    data = (
        reader(context)
        .schema("_v variant, _c string")
        .options(
            singleVariantColumn="_v",
            columnNameOfCorruptRecord="_c",
            multiLine=str(document).lower(),
            allowSingleQuotes="false",
            allowNonNumericNumbers="false",
        )
    )
    file_column = ["_file"] if len(files) > 1 else []
    frame = load_files(context, data, "json", files)
    frame = frame.select(
        "_v", "_c", *[F.col("_metadata.file_path").alias(name) for name in file_column]
    )
    if document:
        frame = _records(frame, options, file_column)
    types = {column.name: column.sql_type for column in context.columns}
    present = {key: name for key, name in keys.items() if name in types}
    # Keys that the path syntax cannot name stay in _rescued.
    present = {key: name for key, name in present.items() if '"' not in key and "\\" not in key}
    values, texts, raws = [], [], {}
    for i, (key, name) in enumerate(present.items()):
        raws[key] = f"_raw_{i}"
        texts.append((raws[key], _value_at(key, "string")))
        if is_nested(types[name]):
            values.append((name, _value_at(key, types[name])))
        else:
            values.append((name, typed(raws[key], types[name], options.timestamp_formats)))
    frame = frame.select("*", *[F.expr(text).alias(raw) for raw, text in texts])
    frame = frame.select("*", *[F.expr(value).alias(name) for name, value in values])
    frame = frame.select(
        *[F.col(quoted(name)) for name in present.values()],
        F.expr(_rescued(present, raws, document)).alias(RESCUED),
        *file_column,
    )
    frame = add_lineage(context.spark, frame, files, context.batch_id)
    return in_table_order(frame, context, list(present.values()))


def _value_at(key: str, sql_type: str) -> str:
    path = f'$["{key}"]'
    return f"try_variant_get(_v, {literal(path)}, {literal(sql_type)})"


def _records(frame: "DataFrame", options: JsonOptions, file_column: Sequence[str]) -> "DataFrame":
    """One row a record of each document, and one row with ``_c`` for a document that is broken."""
    from pyspark.sql import functions as F

    if options.record_path:
        path = "$" + "".join(f'["{part}"]' for part in options.record_path.split("."))
        records = f"try_variant_get(_v, {literal(path)}, 'array<variant>')"
    else:
        records = (
            "if(schema_of_variant(_v) like 'ARRAY%', "
            "try_variant_get(_v, '$', 'array<variant>'), array(_v))"
        )
    # An array that is null is no array of records: the document is not what the spec says.
    frame = frame.select(F.expr(records).alias("_records"), *file_column)
    return frame.select(
        F.expr("if(_records is null, array(null), _records)").alias("_records"),
        F.expr(f"if(_records is null, {literal(BROKEN_DOCUMENT)}, null)").alias("_c"),
        *file_column,
    ).select(F.explode("_records").alias("_v"), "_c", *file_column)


def _rescued(present: Mapping[str, str], raws: Mapping[str, str], document: bool) -> str:
    fits = " ".join(
        f"when {literal(key)} then ({quoted(name)} is null and {raws[key]} is not null)"
        for key, name in present.items()
    )
    keep = f"case k {fits} else true end" if fits else "true"
    leftover = (
        "nullif(to_json(map_filter("
        f"try_variant_get(_v, '$', 'map<string,variant>'), (k, x) -> {keep})), '{{}}')"
    )
    broken = "_c" if document else "to_json(named_struct('_row', _c))"
    return (
        f"case when _c is not null then {broken} "
        "when schema_of_variant(_v) not like 'OBJECT%' "
        "then to_json(named_struct('_row', to_json(_v))) "
        f"else {leftover} end"
    )
