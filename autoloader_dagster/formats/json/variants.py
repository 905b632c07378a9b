"""From JSON text to one variant a record, without losing text or changing a number.

Spark stops after the first value of a text and drops the rest. So each line is parsed inside an
array that ends with a number of our own: the parse proves that the line was read to its end. A
variant turns long numbers, exponents and trailing zeros into others; lines that have such a number
(few have) are parsed with all their numbers as strings, which carry a mark of our own.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autoloader_dagster.iceberg.sql import literal

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# Rescued in place of a document that does not parse, or of a line that is not UTF-8. The audit
# quarantines a file that has one.
BROKEN_DOCUMENT = '{"_document":"could not be parsed"}'
NOT_UTF8 = '{"_line":"is not UTF-8"}'

# A number that a variant would change, as far as a cheap look can tell, or half a surrogate pair.
_ODD = (
    r"[.0-9\\-](?:"
    r"(?<=\.)[0-9]*0(?:[,}\]\s]|\z)"
    r"|(?<=[0-9])[eE][-+]?[0-9]"
    r"|[0-9.]{36}"
    r"|(?<=-)0(?:[,}\]\s]|\z)"
    r"|(?<=\\)u[dD][89a-fA-F])"
)
# What comes before a number, strings as a whole; then the number, where a value may be. Applied
# again and again, each time from where it stopped; all quantifiers are possessive, so that Java
# neither goes back nor recurses.
_BEFORE = r'\G((?:[^"0-9-]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+)'
_NUMBER = r"(-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+)"
_EACH_NUMBER = rf"(?s){_BEFORE}{_NUMBER}(?=\s*+(?:[,}}\]]|\z))"
# In JSON: an escaped backslash, a pair of surrogates; and half of one, once those are gone.
_NO_HALF = r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = r"\\u[dD][89a-fA-F]"
# Up to where one value follows another without a comma, strings as a whole.
_SEAM = (
    r'(?s)\G((?:[^"}\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[}\]](?!\s*+[{\[]))*+[}\]])(\s*+)(?=[{\[])'
)


@dataclass(frozen=True, slots=True)
class Marks:
    """What one reading puts into the text; no file can hold it by chance or on purpose."""

    text: str = field(default_factory=lambda: f"n{secrets.token_hex(8)}:")
    end: int = field(default_factory=lambda: secrets.randbits(62))

    def removed(self, expression: str) -> str:
        """A SQL expression without marks, the numbers as they were written."""
        return f"if(_odd, {self.taken_out(expression)}, {expression})"

    def taken_out(self, expression: str) -> str:
        """The same where every text has marks."""
        marked = literal(f'"?{self.text}([-+.0-9eE]*+)"?')
        return f"regexp_replace({expression}, {marked}, '$1')"


def of_one_text(text: str, marks: Marks) -> str:
    """A SQL expression for a text that is one JSON value as a variant with marks; else null."""
    half = f"regexp_replace({text}, {literal(_NO_HALF)}, ' ') rlike {literal(_HALF)}"
    with_mark = literal(f'$1"{marks.text}$2"')
    marked = f"regexp_replace({text}, {literal(_EACH_NUMBER)}, {with_mark})"
    parsed = f"try_parse_json(concat('[[', {marked}, '],{marks.end}]'))"
    one = (
        f"try_variant_get(_w, '$[1]', 'bigint') = {marks.end} "
        "and try_variant_get(_w, '$[0][1]', 'variant') is null"
    )
    value = f"if({one}, try_variant_get(_w, '$[0][0]', 'variant'), null)"
    return f"if({half}, null, get(transform(array({parsed}), _w -> {value}), 0))"


def parsed_records(
    frame: "DataFrame", marks: Marks, document: bool, record_path: str | None, kept: Sequence[str]
) -> "DataFrame":
    """One row a record: ``_v``, ``_c`` with text that is not a record, ``_odd`` where marks are.

    Args:
        frame: ``value``, a line or a whole document, and the columns to keep.
        marks: For this reading.
        document: Whether each value is a document.
        record_path: Where a document keeps its records.
        kept: Columns that each record gets from its text.
    """
    from pyspark.sql import functions as F

    value = F.col("value")
    if document:
        # Spark takes a byte order mark from a line, but not from a whole text.
        unmarked = F.regexp_replace(value, "^\ufeff", "")
        frame = frame.select(unmarked.alias("value"), *kept)
    else:
        # Blank lines hold no record, and there can be millions of them.
        frame = frame.where(F.trim(value) != "")
    frame = frame.select("value", value.rlike(_ODD).alias("_odd"), *kept)
    half = F.col("_odd") & F.regexp_replace(value, _NO_HALF, " ").rlike(_HALF)
    marked = F.regexp_replace(value, _EACH_NUMBER, f'$1"{marks.text}$2"')
    frame = frame.select(
        "*",
        F.when(~F.is_valid_utf8(value) | half, None)
        .when(F.col("_odd"), marked)
        .otherwise(value)
        .alias("_l"),
    )
    frame = frame.select("*", _parsed(F.col("_l"), marks).alias("_w"))
    if document:
        records = F.expr(_of_document(record_path, marks))
        broken = F.lit(BROKEN_DOCUMENT)
    else:
        frame = frame.select("*", F.expr(_of_line("_w", marks)).alias("_some"))
        frame = _again(frame, marks)
        records = F.coalesce("_some", "_more")
        broken = F.when(F.is_valid_utf8(value), value).otherwise(F.lit(NOT_UTF8))
    frame = frame.select("value", "_odd", records.alias("_records"), *kept)
    return frame.select(
        F.explode(F.expr("coalesce(_records, array(cast(null as variant)))")).alias("_v"),
        F.when(F.col("_records").isNull(), broken).alias("_c"),
        "_odd",
        *kept,
    )


def _parsed(text: "Column", marks: Marks) -> "Column":
    """``[[text], end]``, or null if that does not parse."""
    from pyspark.sql import functions as F

    return F.try_parse_json(F.concat(F.lit("[["), text, F.lit(f"],{marks.end}]")))


def _of_line(parsed: str, marks: Marks) -> str:
    """The values of a line as an array, if the line was read to its end."""
    whole = f"try_variant_get({parsed}, '$[1]', 'bigint') = {marks.end}"
    return f"if({whole}, try_variant_get({parsed}, '$[0]', 'array<variant>'), null)"


def _of_document(record_path: str | None, marks: Marks) -> str:
    whole = f"try_variant_get(_w, '$[1]', 'bigint') = {marks.end}"
    if record_path:
        path = "$[0][0]" + "".join(f'["{part}"]' for part in record_path.split("."))
        records = f"try_variant_get(_w, {literal(path)}, 'array<variant>')"
    else:
        # One value, as the look has proved: an array of records, or the record itself.
        records = (
            "coalesce(try_variant_get(_w, '$[0][0]', 'array<variant>'), "
            "try_variant_get(_w, '$[0]', 'array<variant>'))"
        )
    return f"if({whole}, {records}, null)"


def _again(frame: "DataFrame", marks: Marks) -> "DataFrame":
    """Add ``_more``: the values of a line that has several of them without commas between.

    Each seam gets a mark. All of them must come out as values of the line: one inside a value shows
    that this value is broken.
    """
    from pyspark.sql import functions as F

    seam = f',"{marks.text}",'
    text = F.when(F.col("_some").isNull(), F.regexp_replace("_l", r",\s*+\z", ""))
    frame = frame.select("*", text.alias("_again"))
    frame = frame.select("*", F.regexp_replace("_again", _SEAM, f"$1{seam}$2").alias("_seams"))
    frame = frame.select("*", _parsed(F.col("_seams"), marks).alias("_w2"))
    frame = frame.select("*", F.expr(_of_line("_w2", marks)).alias("_values"))
    is_seam = f"try_variant_get(x, '$', 'string') <=> {literal(marks.text)}"
    seams = f"(length(_seams) - length(_again)) div {len(seam)}"
    more = (
        f"if(size(filter(_values, x -> {is_seam})) = {seams}, "
        f"filter(_values, x -> not ({is_seam})), null)"
    )
    return frame.select("*", F.expr(f"if(_values is null, null, {more})").alias("_more"))
