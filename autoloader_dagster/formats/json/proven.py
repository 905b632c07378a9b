"""Documents that the look has proven sound: Spark's JSON reader takes their values out at once.

Nothing of such a document needs the text of a record. Its keys are known, so each is a field of
one struct. A text column takes its value as text. Any other value is read as a variant, which still
tells ``"1"`` from ``1`` when it does not fit its column and goes to ``_rescued``.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.formats.json.record_texts import BROKEN_DOCUMENT
from autoloader_dagster.formats.nested import Place, typed_variant
from autoloader_dagster.formats.reading import ReadContext, load_files, reader
from autoloader_dagster.formats.typing import is_nested, typed
from autoloader_dagster.iceberg.lineage import RESCUED, SourceFile
from autoloader_dagster.iceberg.sql import literal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

# A key that no file can have, for a document that Spark cannot read.
_FAULT = f"_fault_{secrets.token_hex(16)}"


def differ_beyond_case(keys: Iterable[str]) -> bool:
    """Whether Spark's reader takes these keys as fields of one struct."""
    names = [key.lower() for key in keys]
    return len(set(names)) == len(names)


def read_proven(
    context: ReadContext,
    record_path: str | None,
    files: Sequence[SourceFile],
    columns: Mapping[str, str],
    timestamp_formats: Sequence[str],
    kept: Sequence[str],
) -> "DataFrame":
    """One row a record: the columns of its keys that the table has, ``_rescued``, and what is kept.

    Args:
        context: Session and table columns.
        record_path: Where a document keeps its records.
        files: The files.
        columns: The column of each key; no two keys differ only by the case of letters.
        timestamp_formats: Patterns of times, besides the usual ones.
        kept: The name of the column for the file's address, if there are several files.
    """
    from pyspark.sql import functions as F

    types = {column.name: column.sql_type for column in context.columns}
    types_of_keys = {key: types.get(name) for key, name in columns.items()}
    schema = _schema(record_path, types_of_keys)
    data = reader(context).schema(schema).option("multiLine", "true")
    data = data.option("columnNameOfCorruptRecord", _FAULT)
    frame = load_files(context, data, "json", files)
    # Not by its plain name, which a key may have.
    address = frame.metadataColumn("_metadata").getField("file_path")
    frame = frame.select("*", *[address.alias(name) for name in kept])
    places = [f"_{i}" for i in range(len(columns))]
    if record_path:
        _first, *further = record_path.split(".")
        records = F.col("_at")
        for part in further:
            records = records.getField(part)
        frame = frame.toDF("_at", "_fault", *kept)
        # What Spark could not read, of a document that the look could, is broken as a whole.
        sound = F.when(F.col("_fault").isNull(), records)
        frame = frame.select(sound.alias("_records"), *kept)
        frame = frame.select("_records", F.col("_records").isNull().alias("_broken"), *kept)
        frame = frame.select("_broken", *kept, F.inline_outer("_records"))
        frame = frame.toDF("_broken", *kept, *places)
    else:
        # A document is one record, or an array of which Spark makes a row of each.
        frame = frame.toDF(*places, "_fault", *kept)
        frame = frame.withColumn("_broken", F.col("_fault").isNotNull())
    return _typed_columns(frame, columns, types_of_keys, timestamp_formats, kept)


def _schema(record_path: str | None, types: Mapping[str, str | None]) -> "StructType":
    from pyspark.sql import types as T

    record = T.StructType(
        [
            T.StructField(key, T.StringType() if sql_type == "string" else T.VariantType())
            for key, sql_type in types.items()
        ]
    )
    fault = T.StructField(_FAULT, T.StringType())
    if not record_path:
        return T.StructType([*record.fields, fault])
    first, *further = record_path.split(".")
    at: T.DataType = T.ArrayType(record)
    for part in reversed(further):
        at = T.StructType([T.StructField(part, at)])
    return T.StructType([T.StructField(first, at), fault])


def _typed_columns(
    frame: "DataFrame",
    columns: Mapping[str, str],
    types: Mapping[str, str | None],
    timestamp_formats: Sequence[str],
    kept: Sequence[str],
) -> "DataFrame":
    from pyspark.sql import functions as F

    # A column may have any name, so all have names of ours until the end.
    values: dict[str, str] = {}
    given: list[str] = []
    left: dict[str, str] = {}
    for i, (key, sql_type) in enumerate(types.items()):
        read = f"_{i}"
        if sql_type is None:
            left[key] = f"{read} is not null"
        elif sql_type == "string":
            values[read] = columns[key]
        else:
            values[f"_value{read}"] = columns[key]
            given.append(f"{_typed(read, sql_type, timestamp_formats)} as _value{read}")
            left[key] = f"_value{read} is null and {_text(read)} is not null"
    frame = frame.selectExpr("*", *given)
    return frame.select(
        *[F.col(place).alias(name) for place, name in values.items()],
        F.expr(_rescued(left, list(types))).alias(RESCUED),
        *kept,
    )


def _typed(variant: str, sql_type: str, timestamp_formats: Sequence[str]) -> str:
    if is_nested(sql_type):
        at = Place(variant).as_type("variant")
        return typed_variant(at, sql_type, _as_written, timestamp_formats)
    return typed(_text(variant), sql_type, timestamp_formats)


def _as_written(text: str) -> str:
    return text


def _text(variant: str) -> str:
    """The text of a value; null for JSON's null."""
    return Place(variant).as_type("string")


def _rescued(left: Mapping[str, str], keys: Sequence[str]) -> str:
    """What of a record has no place, as JSON.

    Args:
        left: For each key whose value may have none, whether it has none.
        keys: All keys, in the order of their fields.
    """
    broken = f"case when _broken then {literal(BROKEN_DOCUMENT)}"
    if not left:
        return f"{broken} end"
    # Spark compiles no lambda, nor the step of a plan that has one; so the object is put together.
    entries = ", ".join(
        f"if({left[key]}, concat({literal(json.dumps(key, ensure_ascii=False) + ':')}, "
        f"to_json(_{i})), null)"
        for i, key in sorted(enumerate(keys), key=lambda item: item[1])
        if key in left
    )
    kept = f"concat('{{', concat_ws(',', {entries}), '}}')"
    return f"{broken} when {' or '.join(f'({each})' for each in left.values())} then {kept} end"
