"""From JSON lines and documents to one text a record, without losing text or changing a number.

Each line and each document is parsed once as a variant, which proves that it is JSON to its end,
with no key twice. The records are taken as texts: what most files have, one object a line or an
array of objects, costs little more than that. What else a line may hold is taken apart with care.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.formats.json.group import JsonGroup
from autoloader_dagster.formats.json.ordinary import LINE
from autoloader_dagster.formats.json.variants import (
    HALF,
    NO_HALF,
    ODD,
    Marks,
    was_read_whole,
    within_array,
)
from autoloader_dagster.iceberg.sql import literal

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# Rescued in place of a document that does not parse, or of a line that is not UTF-8. The audit
# quarantines a file that has one.
BROKEN_DOCUMENT = '{"_document":"could not be parsed"}'
NOT_UTF8 = '{"_line":"is not UTF-8"}'

# The beginning of what Spark writes for a character beyond the first 65,536 in a JSON text.
ESCAPED_PAIR = r"\uD"

# Up to where one value follows another without a comma, strings as a whole.
_SEAM = (
    r'(?s)\G((?:[^"}\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[}\]](?!\s*+[{\[]))*+[}\]])(\s*+)(?=[{\[])'
)
_BLANKS = literal(" \t\r\n")
_RECORDS = "array<struct<text:string,other:string>>"


def record_texts(
    frame: "DataFrame",
    marks: Marks,
    group: JsonGroup,
    record_path: str | None,
    kept: Sequence[str],
    apart: bool = False,
) -> "DataFrame":
    """One row a record.

    ``_text`` is the JSON text of a record, ``_other`` that of a value that is no record, and
    ``_broken`` what does not parse; of the three one is not null. Where ``_odd`` is true, the
    numbers in the first two have marks.

    Args:
        frame: ``value``, a line that is not blank or a whole document, and the columns to keep.
        marks: For this reading.
        group: What the values are.
        record_path: Where a document keeps its records.
        kept: Columns that each record gets from its text.
        apart: Whether ordinary lines are in ``LINE`` instead, see ``with_parts``. Their numbers get
            no marks.
    """
    from pyspark.sql import functions as F

    value = F.col("value")
    if group.layout == "document":
        # Spark takes a byte order mark from a line, but not from a whole text.
        unmarked = F.regexp_replace(value, "^\ufeff", "")
        frame = frame.select(unmarked.alias("value"), *kept)
    carried = [*kept, LINE] if apart else kept
    if group.odd:
        odd = F.coalesce(value.rlike(ODD), F.lit(False))
        frame = frame.select("value", odd.alias("_odd"), *carried)
        escaped = F.col("_odd") & F.contains(value, F.lit("\\u"))
        half = escaped & F.regexp_replace(value, NO_HALF, " ").rlike(HALF)
        marked = F.expr(marks.put_into("value"))
        text = F.when(~F.is_valid_utf8(value) | half, None).when(F.col("_odd"), marked)
        text = text.otherwise(value)
    else:
        # The look has read every character of it.
        frame = frame.select("value", F.lit(False).alias("_odd"), *carried)
        text = F.when(F.is_valid_utf8(value), value)
    frame = frame.select("*", text.alias("_l"))
    frame = frame.select("*", F.expr(within_array("_l", marks)).alias("_w"))
    if group.layout == "document":
        frame = frame.select("*", _of_document(group, record_path, marks).alias("_records"))
        broken = F.lit(BROKEN_DOCUMENT)
    else:
        frame = _of_line(frame, marks, apart)
        broken = F.when(F.is_valid_utf8(value), value).otherwise(F.lit(NOT_UTF8))
    broken = F.when(F.col("_records").isNull(), broken)
    # Before the explosion, which gives all that comes after it a copy for each record.
    frame = frame.select("_records", broken.alias("_broken"), "_odd", *kept)
    nothing = f"cast(array(null) as {_RECORDS})"
    frame = frame.select(
        F.explode(F.expr(f"coalesce(_records, {nothing})")).alias("_record"),
        "_broken",
        "_odd",
        *kept,
    )
    return frame.select(
        F.col("_record.text").alias("_text"),
        F.col("_record.other").alias("_other"),
        "_broken",
        "_odd",
        *kept,
    )


def _of_document(group: JsonGroup, record_path: str | None, marks: Marks) -> "Column":
    """The records of a document that the look has found sound; null if it does not parse."""
    from pyspark.sql import functions as F

    whole = F.expr(was_read_whole("_w", marks))
    texts = _texts_below("_l", record_path)
    if not group.mixed:
        return F.when(whole, F.transform(texts, _record))
    path = "$[0][0]" + "".join(f'["{part}"]' for part in (record_path or "").split(".") if part)
    values = F.expr(f"try_variant_get(_w, {literal(path)}, 'array<variant>')")
    return F.when(whole, _by_kind(values, texts))


def _texts_below(document: str, record_path: str | None) -> "Column":
    """The texts of a document's records; null if Spark cannot read it."""
    from pyspark.sql import functions as F
    from pyspark.sql import types as T

    if not record_path:
        # One value: an array of records, or the record itself.
        is_record = F.expr(_is_object(document))
        several = F.from_json(document, "array<string>")
        return F.when(is_record, F.array(document)).otherwise(several)
    schema: T.DataType = T.ArrayType(T.StringType())
    parts = record_path.split(".")
    for part in reversed(parts):
        schema = T.StructType([T.StructField(part, schema)])
    texts = F.from_json(document, schema)
    for part in parts:
        texts = texts.getField(part)
    return texts


def _of_line(frame: "DataFrame", marks: Marks, apart: bool) -> "DataFrame":
    """Add ``_records``: of most lines the line itself; null if the line does not parse."""
    from pyspark.sql import functions as F

    whole = was_read_whole("_w", marks)
    one = f"{whole} and try_variant_get(_w, '$[0][1]', 'variant') is null and {_is_object('_l')}"
    frame = frame.select("*", F.expr(f"coalesce({one}, false)").alias("_one"))
    # Nothing of what follows is worked out where the line is one record.
    some = f"if({whole}, try_variant_get(_w, '$[0]', 'array<variant>'), null)"
    frame = frame.select("*", F.expr(f"if(_one, null, {some})").alias("_some"))
    # Several values without commas between. Each seam gets a mark, and all of them must come out
    # as values of the line: one inside a value shows that this value is broken.
    seam = f',"{marks.text}",'
    no_comma = F.regexp_replace("_l", r",\s*+\z", "")
    again = F.when(~F.col("_one") & F.col("_some").isNull(), no_comma)
    frame = frame.select("*", again.alias("_again"))
    frame = frame.select("*", F.regexp_replace("_again", _SEAM, f"$1{seam}$2").alias("_seams"))
    frame = frame.select("*", F.expr(within_array("_seams", marks)).alias("_w2"))
    values = (
        f"if({was_read_whole('_w2', marks)}, try_variant_get(_w2, '$[0]', 'array<variant>'), null)"
    )
    frame = frame.select("*", F.expr(values).alias("_values"))
    is_seam = f"try_variant_get(x, '$', 'string') <=> {literal(marks.text)}"
    seams = f"(length(_seams) - length(_again)) div {len(seam)}"
    # A comma alone is no record, and nothing that may be passed over.
    sound = F.expr(f"size(_values) > 0 and size(filter(_values, x -> {is_seam})) = {seams}")
    records = (
        F.when(F.col("_one"), F.array(_record(F.col("_l"))))
        .when(F.col("_some").isNotNull(), _by_kind(F.col("_some"), _texts_of("_l")))
        .when(
            sound,
            F.filter(
                _by_kind(F.col("_values"), _texts_of("_seams")),
                lambda each: ~each["other"].eqNullSafe(f'"{marks.text}"'),
            ),
        )
    )
    if apart:
        whole_line = F.array(_record(F.col(LINE)))
        records = F.when(F.col(LINE).isNotNull(), whole_line).otherwise(records)
    return frame.select("*", records.alias("_records"))


def _record(text: "Column") -> "Column":
    from pyspark.sql import functions as F

    return F.struct(text.alias("text"), F.lit(None).cast("string").alias("other"))


def _texts_of(values: str) -> "Column":
    from pyspark.sql import functions as F

    return F.from_json(F.concat(F.lit("["), values, F.lit("]")), "array<string>")


def _by_kind(values: "Column", texts: "Column") -> "Column":
    """The same values as variants and as texts: the texts of the objects, the others by the first.

    The text of a string does not tell that it is one.
    """
    from pyspark.sql import functions as F

    def record(value: "Column", text: "Column") -> "Column":
        written = F.coalesce(F.to_json(value), F.lit("null"))
        none = F.lit(None).cast("string")
        # Objects and arrays as they are in the file, where a variant has its keys in order.
        is_array = F.startswith(written, F.lit("[")) & ~F.contains(text, F.lit(ESCAPED_PAIR))
        other = F.when(is_array, text).otherwise(written)
        is_object = F.startswith(written, F.lit("{"))
        return F.when(is_object, _record(text)).otherwise(
            F.struct(none.alias("text"), other.alias("other"))
        )

    return F.zip_with(values, texts, record)


def _is_object(text: str) -> str:
    return f"startswith(trim(leading {_BLANKS} from {text}), '{{')"
