"""What must become of a JSON file, by Python's ``json`` module: no code of ours, none of Spark's.

Numbers stay the texts that they were written as.
"""

import bz2
import gzip
import hashlib
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from tests.differential.csv_oracle import MISFIT, typed
from tests.differential.expectation import ANY, QUARANTINED, UNPREDICTED, Expected, Row

_BLANKS = " \t\r\n"
_MAX_DEPTH = 900


class Number(str):
    """A number as it was written."""

    __slots__ = ()


class Twice:
    """An object with a key twice."""


class _Broken(Exception):
    """Not a sequence of JSON values."""


class _Unpredicted(Exception):
    """More than one way is right."""


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _object(pairs: list[tuple[str, Any]]) -> Any:
    twice = len({key for key, _ in pairs}) < len(pairs)
    if twice or any(isinstance(value, Twice) for _, value in pairs):
        return Twice()
    return dict(pairs)


_DECODER = json.JSONDecoder(
    parse_float=Number, parse_int=Number, parse_constant=_refuse, object_pairs_hook=_object
)


def expect(spec: Mapping[str, Any], data: bytes, types: Mapping[str, str]) -> Expected:
    """What must become of one file.

    Args:
        spec: The spec's parts.
        data: The file's bytes.
        types: The table's columns, with their Arrow types.
    """
    options = spec["format"].get("options", {})
    text = _text(data)
    if text is None or not text.strip(_BLANKS):
        return QUARANTINED
    if re.match(r"[ \t\r\n]{262144}", text):
        # A beginning like this is no beginning; how long it may be is not promised.
        return UNPREDICTED
    path, layout = options.get("record_path"), options.get("layout", "auto")
    try:
        if path is None and (layout == "lines" or (layout == "auto" and _is_lines(text))):
            return _lines(text, types, strict=layout == "lines")
        return _document(text, path, types)
    except RecursionError:
        return QUARANTINED
    except _Unpredicted:
        return UNPREDICTED


def _text(data: bytes) -> str | None:
    try:
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        elif data.startswith(b"BZh"):
            data = bz2.decompress(data)
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, ValueError):
        return None
    return None if "\0" in text else text


def _is_lines(text: str) -> bool:
    first = text.lstrip(_BLANKS).partition("\n")[0]
    try:
        return isinstance(_DECODER.decode(first.rstrip("\r")), dict | Twice)
    except (ValueError, RecursionError):
        return False


def _lines(text: str, types: Mapping[str, str], strict: bool) -> Expected:
    lines = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip(_BLANKS)]
    first = text.lstrip(_BLANKS).partition("\n")[0]
    try:
        single = isinstance(_DECODER.decode(first.rstrip("\r")), dict | Twice)
    except (ValueError, RecursionError):
        single = False
    rows: list[Row] = []
    for line in lines:
        rows += _rows_of_line(line, types)
    last_may_be_cut = not text.endswith("\n") and not _is_sound(lines[-1])
    return Expected(rows, or_quarantined=last_may_be_cut or (strict and not single))


def _is_sound(line: str) -> bool:
    try:
        _DECODER.decode(line)
    except (ValueError, RecursionError):
        return False
    return True


def _has_twice(value: Any) -> bool:
    # An object with such a member is one itself.
    return isinstance(value, Twice) or (isinstance(value, list) and any(map(_has_twice, value)))


def _rows_of_line(line: str, types: Mapping[str, str]) -> list[Row]:
    broken = [Row({}, _is_row(line))]
    try:
        values = list(_values(line))
    except (_Broken, RecursionError):
        return broken
    if len(values) > 1 and any(_has_twice(value) or _has_half(value) for value in values):
        return broken
    if any(_has_twice(v) or _has_half(v) or _depth(v) > _MAX_DEPTH for v in values):
        return broken
    # Without a comma between them only objects and arrays are told apart.
    if len(values) > 1 and any(not isinstance(value, dict | list) for value in values):
        raise _Unpredicted
    return [_row(value, types) for value in values]


def _document(text: str, path: str | None, types: Mapping[str, str]) -> Expected:
    if text.lstrip(_BLANKS)[0] not in "{[":
        return QUARANTINED
    rows: list[Row] = []
    loose = 0
    try:
        values = list(_values(text))
        records = [record for value in values for record in _records(value, path)]
    except _Broken:
        return QUARANTINED
    for record in records:
        if _has_twice(record) or _depth(record) > _MAX_DEPTH or _has_half(record):
            # The record, or the whole document where Spark reads it as one.
            loose += 1
        else:
            rows.append(_row(record, types))
    odd = not any(isinstance(record, dict) and record for record in records)
    # Last, so that each of the others finds its own row.
    rows += [Row({}, lambda rescued: rescued is not None)] * loose
    return Expected(rows, or_quarantined=bool(loose) or (odd and bool(records)))


def _records(value: Any, path: str | None) -> Iterator[Any]:
    if path is None:
        yield from value if isinstance(value, list) else [value]
        return
    for parent in value if isinstance(value, list) else [value]:
        at = parent
        for key in path.split("."):
            if not isinstance(at, dict) or key not in at:
                raise _Broken
            at = at[key]
        if not isinstance(at, list):
            raise _Broken
        yield from at


def _values(text: str) -> Iterator[Any]:
    """Values one after the other, with or without one comma between, and one at the end."""
    at, comma = 0, True
    while True:
        while at < len(text) and text[at] in _BLANKS:
            at += 1
        if at == len(text):
            return
        if text[at] == "," and not comma:
            at, comma = at + 1, True
            continue
        try:
            value, at = _DECODER.raw_decode(text, at)
        except ValueError as error:
            raise _Broken from error
        comma = False
        yield value


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _has_half(value: Any) -> bool:
    if isinstance(value, str):
        return any(0xD800 <= ord(c) < 0xE000 for c in value)
    if isinstance(value, dict):
        return any(_has_half(k) or _has_half(v) for k, v in value.items())
    return isinstance(value, list) and any(map(_has_half, value))


def name_of(key: str) -> str:
    """The column of a key that no other key shares."""
    if not key.strip():
        return "column_empty"
    base = re.sub(r"[^a-z0-9]+", "_", unicodedata.normalize("NFKC", key).lower()).strip("_")
    if not base:
        return f"column_{hashlib.blake2b(key.strip().encode(), digest_size=4).hexdigest()}"
    return (f"c_{base}" if base[0].isdigit() else base)[:255]


def _row(record: Any, types: Mapping[str, str]) -> Row:
    if not isinstance(record, dict):
        return Row({}, _is_row(_in_cell(record)))
    values: dict[str, Any] = {}
    left: dict[str, Any] = {}
    maybe: set[str] = set()
    for key, value in record.items():
        name = name_of(key)
        if name not in types:
            (maybe.add(key) if value is None else left.update({key: value}))
            continue
        if value is None:
            continue
        found = _typed(value, types[name])
        if found is MISFIT:
            left[key] = value
        else:
            values[name] = found
            if found is ANY:
                maybe.add(key)
    if not left and not maybe:
        return Row(values, rescued=False)
    return Row(values, _holds(left, maybe))


def _typed(value: Any, arrow_type: str) -> Any:
    text = _in_cell(value) if not isinstance(value, str) else str(value)
    if "string" in arrow_type:
        return text
    if isinstance(value, dict | list):
        return MISFIT
    found = typed(text, arrow_type, [])
    # Python and Java write the smallest doubles with other digits; such a one may be rescued.
    return ANY if isinstance(found, float) and 0 < abs(found) < sys.float_info.min else found


def _is_row(text: str) -> Callable[[str | None], bool]:
    return lambda rescued: rescued is not None and json.loads(rescued) == {"_row": text}


def _holds(left: Mapping[str, Any], maybe: set[str]) -> Callable[[str | None], bool]:
    def holds(rescued: str | None) -> bool:
        found = _DECODER.decode(rescued or "{}")
        certain = {key: value for key, value in found.items() if key not in maybe}
        return written(_in_order(certain)) == written(_in_order(left))

    return holds


def _escape(found: re.Match[str]) -> str:
    return "\\u" + found[0][2:].upper() if found[0].startswith("\\u") else found[0]


def _in_order(value: Any) -> Any:
    """The same with all keys sorted, as a variant has them."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return {key: _in_order(value[key]) for key in keys}
    if isinstance(value, list):
        return [_in_order(each) for each in value]
    return value


def _in_cell(value: Any) -> str:
    """The text that a value has in a cell of text."""
    text = written(value)
    if isinstance(value, dict | list) and ("\\uD" in text or max(text) > "\uffff"):
        # Read as a variant, because Spark would escape such characters.
        return written(_in_order(value))
    return text


def written(value: Any) -> str:
    """The JSON text of a value without blanks; its numbers and keys as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        # Only control characters are escaped so, and an escaped backslash is no beginning.
        return re.sub(r"\\(?:u00[01][0-9a-f]|.)", _escape, text)
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{written(key)}:{written(each)}" for key, each in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)
