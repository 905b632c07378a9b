"""What must become of a CSV file, by a reader of its own: no code of ours, and none of Spark's.

The cells of plain files also come from Python's ``csv`` module; both must agree.
"""

import bz2
import codecs
import csv
import gzip
import io
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

from tests.differential.expectation import ANY, QUARANTINED, UNPREDICTED, Expected, Row

MISFIT = object()
_LINE = re.compile(r"[^\r\n]*")
_BLANKS = "".join(map(chr, range(33)))
_DEFAULTS = {
    "header": True,
    "delimiter": ",",
    "quote": '"',
    "escape": '"',
    "encoding": "utf-8",
    "multiline": "auto",
    "null_values": [""],
    "timestamp_formats": [],
    "comment": None,
}
_OTHER_FORMATS = ("<", "{", "[", "PAR1", "BZh", "PK", "7z")


class _Odd(Exception):
    """Quotes that no standard gives a meaning."""


class _Bad(Exception):
    """The file must be quarantined."""


class Cell(NamedTuple):
    text: str
    quoted: bool


class Record(NamedTuple):
    cells: list[Cell]
    text: str
    at: int


def expect(spec: Mapping[str, Any], data: bytes, types: Mapping[str, str]) -> Expected:
    """What must become of one file.

    Args:
        spec: The spec's parts.
        data: The file's bytes.
        types: The table's columns, with their Arrow types.
    """
    options = {**_DEFAULTS, **spec["format"].get("options", {})}
    try:
        text = _text(_plain(data), options["encoding"])
        records = list(_records(text, options))
    except _Bad:
        return QUARANTINED
    except _Odd:
        return UNPREDICTED
    if not _csv_module_agrees(text, records, options):
        raise AssertionError("the csv module reads other cells than this oracle")
    if not records or max(len(r.cells) for r in records) > 20_000:
        return QUARANTINED
    if _is_refused_if_large(text, records, options):
        latin = options["encoding"] == "iso-8859-1"
        if len(text.encode("latin-1" if latin else "utf-8")) > 128 * 2**10:
            return QUARANTINED
    width = len(records[0].cells)
    name = records[0].cells[0].text
    if options["header"] and width == 1 and name.strip(_BLANKS) and not name.strip():
        return QUARANTINED
    if options["header"]:
        header = [cell.text for cell in records.pop(0).cells]
        columns = names_of(header)
    else:
        columns = [f"column_{i}" for i in range(1, width + 1)]
    if columns is None:
        return UNPREDICTED
    # What begins like another format may be refused, or is what the spec calls it.
    other = text.lstrip()[:4].startswith(_OTHER_FORMATS)
    return Expected([_row(r, columns, options, types) for r in records], or_quarantined=other)


def names_of(header: list[str]) -> list[str] | None:
    """The columns of a header; None where two names come out the same."""
    columns = []
    for i, name in enumerate(header, 1):
        base = re.sub(r"[^a-z0-9]+", "_", unicodedata.normalize("NFKC", name).lower()).strip("_")
        if not name.strip():
            base = f"column_{i}"
        elif not base:
            return None
        columns.append(f"c_{base}" if base[0].isdigit() else base)
    return columns if len(set(columns)) == len(columns) else None


def _plain(data: bytes) -> bytes:
    if not data:
        raise _Bad
    try:
        if data.startswith(b"\x1f\x8b"):
            return gzip.decompress(data)
        if data.startswith(b"BZh9") and data[4:10] == b"1AY&SY":
            return bz2.decompress(data)
    except (OSError, EOFError, ValueError) as error:
        raise _Bad from error
    return data


def _text(data: bytes, encoding: str) -> str:
    marks = {
        codecs.BOM_UTF8: "utf-8",
        codecs.BOM_UTF16_LE: "utf-16le",
        codecs.BOM_UTF16_BE: "utf-16be",
    }
    mark = next((mark for mark in marks if data.startswith(mark)), b"")
    if encoding == "utf-16":
        encoding = marks.get(mark, "utf-16be")
    if mark and marks[mark] != ("utf-8" if encoding == "us-ascii" else encoding):
        raise _Bad
    if mark and encoding == "us-ascii":
        encoding = "ascii"
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise _Bad from error
    if not text or "\0" in text:
        raise _Bad
    return text


def _records(text: str, options: Mapping[str, Any]) -> Iterator[Record]:
    at = 0
    while at < len(text):
        line = _LINE.match(text, at)[0]
        blank = not line.strip(_BLANKS) and options["delimiter"] not in line
        if blank or (options["comment"] and line.startswith(options["comment"])):
            at = _after_line_end(text, at + len(line))
            continue
        cells, end = _record(text, at, options)
        yield Record(cells, text[at:end], at)
        at = _after_line_end(text, end)


def _after_line_end(text: str, at: int) -> int:
    return at + (2 if text.startswith("\r\n", at) else 1)


def _record(text: str, at: int, options: Mapping[str, Any]) -> tuple[list[Cell], int]:
    cells = []
    while True:
        cell, at = _cell(text, at, options)
        cells.append(cell)
        if not text.startswith(options["delimiter"], at):
            return cells, at
        at += 1


def _cell(text: str, at: int, options: Mapping[str, Any]) -> tuple[Cell, int]:
    delimiter, quote = options["delimiter"], options["quote"]
    escape = options["escape"] or quote
    if not quote or not text.startswith(quote, at):
        end = at
        while end < len(text) and text[end] not in (delimiter, "\r", "\n"):
            end += 1
        return Cell(text[at:end], quoted=False), end
    value, at, start = [], at + 1, at
    while True:
        if at >= len(text):
            raise _Bad
        here, both = text[at], text[at : at + 2]
        if both == quote * 2 and escape == quote:
            value.append(quote)
            at += 2
        elif escape != quote and both in (escape + quote, escape * 2):
            value.append(both[1])
            at += 2
        elif here == quote:
            at += 1
            break
        else:
            value.append(here)
            at += 1
    if at < len(text) and text[at] not in (delimiter, "\r", "\n"):
        raise _Odd
    if options["multiline"] is False and re.search(r"[\r\n]", text[start:at]):
        raise _Bad
    return Cell("".join(value), quoted=True), at


def _is_refused_if_large(text: str, records: list[Record], options: Mapping[str, Any]) -> bool:
    """Whether Spark's reader cannot tell the records apart, as the description of multiline says.

    Smaller files are cut into records before they go to Spark.
    """
    if len(records) <= options["header"]:
        return False
    by_line = options["multiline"] is not True and not options["encoding"].startswith("utf-16")
    by_line = by_line and not any(re.search(r"[\r\n]", r.text) for r in records)
    if by_line and all(r.text.strip(_BLANKS) for r in records):
        return False
    at, between = 0, []
    for record in records:
        between.append(text[at : record.at])
        at = record.at + len(record.text)
    between.append(text[at:])
    blank = [any(x and not x.strip(_BLANKS) for x in re.split(r"[\r\n]", b)) for b in between]
    if (blank[0] and options["header"]) or (any(blank) and len(records[0].cells) == 1):
        return True
    ends = set(re.findall(r"\r\n|\r|\n", "".join(b + "\0" for b in between)))
    quoted_cr = any(re.search(r"\r(?!\n)", r.text) for r in records)
    return ends != {"\r"} and ("\r" in ends or (quoted_cr and "\r\n" in ends))


def _csv_module_agrees(text: str, records: list[Record], options: Mapping[str, Any]) -> bool:
    quote, escape = options["quote"], options["escape"]
    if escape not in ("", quote) or any("\n" in r.text or "\r" in r.text for r in records):
        return True
    if len(text) > 100_000 or any(ord(options[k] or " ") > 127 for k in ("delimiter", "quote")):
        return True
    csv.field_size_limit(2**24)
    rows = csv.reader(
        io.StringIO("\n".join(r.text for r in records)),
        delimiter=options["delimiter"],
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
    )
    return [list(row) for row in rows] == [[c.text for c in r.cells] for r in records]


def _row(
    record: Record, columns: list[str], options: Mapping[str, Any], types: Mapping[str, str]
) -> Row:
    values: dict[str, Any] = {}
    rescued = []
    maybe = False
    for name, cell in zip(columns, record.cells, strict=False):
        if cell.text in options["null_values"] or (not cell.text and not cell.quoted):
            continue
        value = typed(cell.text, types.get(name, "string"), options["timestamp_formats"])
        if value is MISFIT:
            rescued.append(cell.text)
        else:
            values[name] = value
            maybe = maybe or value is ANY
    if len(record.cells) != len(columns):
        rescued.append(record.text)
    if maybe and not rescued:
        return Row(values, None)
    return Row(values, tuple(sorted(rescued)) if rescued and not maybe else bool(rescued))


def typed(text: str, arrow_type: str, timestamp_formats: list[str]) -> Any:
    """The value of a cell in a column of this type; MISFIT if it has none, ANY if unspecified."""
    if "string" in arrow_type:
        return text
    inner = text.strip(" \t")
    if any(ord(c) > 127 and not c.isspace() for c in inner):
        # Digits of other scripts.
        return ANY
    if arrow_type in ("int64", "int32"):
        limit = 2 ** (int(arrow_type[3:]) - 1)
        fits = re.fullmatch(r"[+-]?[0-9]+", inner) and -limit <= int(inner) < limit
        return int(inner) if fits else MISFIT
    if arrow_type == "double":
        return _double(inner)
    if arrow_type == "bool":
        return {"true": True, "false": False}.get(inner.lower(), MISFIT)
    if arrow_type == "date32[day]":
        return _date(inner)
    if arrow_type.startswith("timestamp"):
        return _timestamp(inner, "tz=" in arrow_type, timestamp_formats)
    if found := re.fullmatch(r"decimal128\((\d+), (\d+)\)", arrow_type):
        return _decimal(inner, int(found[1]), int(found[2]))
    raise AssertionError(f"no rule for {arrow_type}")


def _double(text: str) -> Any:
    special = re.fullmatch(r"([+-]?)(nan|inf|infinity)", text, re.IGNORECASE)
    if special:
        if special[2].lower() == "nan":
            return math.nan if not special[1] else ANY
        return -math.inf if special[1] == "-" else math.inf
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return MISFIT
    number = float(text)
    if len(text) > 1000:
        return ANY
    digits = _digits(text)
    if math.isinf(number) or len(digits) > 17:
        return MISFIT
    if abs(number) < 1e-300 and number:
        # Such numbers have fewer digits, and programs do not agree which.
        return ANY
    back = _digits(f"{number:.{max(len(digits), 1) - 1}e}")
    if digits == _digits(repr(number)) or (digits == back and len(digits) != 16):
        return number
    unit = Decimal(10) ** (Decimal(number).adjusted() - 16)
    if len(digits) == 16 and (digits == back or abs(Decimal(text) - Decimal(number)) < 6 * unit):
        # Java writes such a double with fewer digits, or with 17, and then it may be rescued.
        return ANY
    # The 17th digit may be rounded, but for integers that are written out; where those end among
    # small ones is not said.
    if len(digits) == 17:
        return ANY if abs(number) < 2**53 or "e" in text.lower() else MISFIT
    return MISFIT


def _digits(text: str) -> str:
    return re.sub(r"[eE].*|[^0-9]", "", text).strip("0")


def _date(text: str) -> Any:
    if not re.fullmatch(r"(?!0000)[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}", text):
        return MISFIT
    try:
        return date(*map(int, text.split("-")))
    except ValueError:
        return MISFIT


def _timestamp(text: str, zoned: bool, formats: list[str]) -> Any:
    found = re.fullmatch(
        r"([0-9]{4}-[0-9]{1,2}-[0-9]{1,2})"
        r"(?:[T ]([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:\.([0-9]{1,9}))?)?"
        r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
        text,
    )
    if not found:
        return ANY if formats else MISFIT
    day, hour, minute, second, fraction, zone = found.groups()
    if _date(day) is MISFIT or (zone and not zoned) or (fraction or "")[6:].strip("0"):
        return MISFIT
    at = datetime.combine(_date(day), datetime.min.time())
    if hour:
        if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 59:
            return MISFIT
        micros = int((fraction or "0")[:6].ljust(6, "0"))
        at = at.replace(
            hour=int(hour), minute=int(minute), second=int(second or 0), microsecond=micros
        )
    if zone and zone != "Z":
        hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
        if hours > 17 or minutes > 59:
            return ANY if hours <= 18 else MISFIT
        offset = timedelta(hours=hours, minutes=minutes)
        try:
            at -= offset if zone[0] == "+" else -offset
        except OverflowError:
            return ANY
    return at.replace(tzinfo=timezone.utc) if zoned else at


def _decimal(text: str, precision: int, scale: int) -> Any:
    if re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][+-]?[0-9]+", text):
        return ANY
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", text):
        return MISFIT
    number = Decimal(text)
    fraction = text.partition(".")[2].rstrip("0")
    if len(fraction) > scale or abs(number) >= Decimal(10) ** (precision - scale):
        return MISFIT
    return number
