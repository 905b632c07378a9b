"""The look at a JSON file: lines or one document, whole or cut short, and its top-level keys."""

import json
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import NamedTuple

from autoloader_dagster.formats.compression import bytes_for_spark, decompressed
from autoloader_dagster.formats.content import HEAD_BYTES, Content, gather, last_bytes
from autoloader_dagster.formats.csv.reader_limits import MAX_COLUMNS
from autoloader_dagster.formats.json.document import (
    SPACE,
    SeveralValues,
    first_records,
    is_cut,
    not_json,
    parse_document,
    records_of,
    truncated,
)
from autoloader_dagster.formats.json.group import JsonGroup
from autoloader_dagster.formats.json.options import JsonOptions
from autoloader_dagster.formats.json.records import Records
from autoloader_dagster.formats.json.values import (
    has_half_pairs,
    is_encodable,
    parse,
    simplified,
)
from autoloader_dagster.formats.outcome import BadFile, Look, TakeSample, Value, beginning
from autoloader_dagster.formats.text import MAX_LINE_BYTES, checked_text

# A document up to this size is parsed here; of a larger one only the ends are looked at.
MAX_DOCUMENT_BYTES = 32 * 2**20
# A longer key has no column, because its name is kept with the table.
MAX_KEY_CHARACTERS = 1000
_SMALL_DOCUMENT_BYTES = 2**20
_HINT = "JSON is UTF-8; convert the file"
# What is split while it is staged becomes one record a line.
SPLIT = JsonGroup("lines")

_ASTRAL = re.compile(rb"[\xf0-\xf4]")

# Parsed JSON takes some ten times its size in memory, and there are many threads.
_large_documents = threading.BoundedSemaphore(2)


def look_at_json(
    content: Content, options: JsonOptions, look: Look, rows: int
) -> tuple[Look, TakeSample]:
    """Look at one JSON file.

    Returns:
        The look, and what makes the sample of about so many rows.

    Raises:
        BadFile: The file is bad.
        SourceError: The source cannot be read.
    """
    text = checked_text(decompressed(content.chunks(), look.compression), "utf-8", _HINT)
    head, whole = gather(text, HEAD_BYTES)
    if not head.lstrip(SPACE):
        if whole:
            raise BadFile("EmptyFile", "is empty: it holds nothing but blanks")
        raise BadFile("NotJson", "begins with more than 256 KiB of blanks")
    layout = "document" if options.record_path else options.layout
    if layout == "auto":
        head, whole, layout = _choose_layout(head, whole, text)
    if layout == "lines":
        return _look_at_lines(content, head, whole, text, look, rows)
    return _look_at_document(content, options.record_path, head, whole, text, look, rows)


def _choose_layout(head: bytes, whole: bool, text: Iterator[bytes]) -> tuple[bytes, bool, str]:
    start = head.lstrip(SPACE)
    if start[:1] == b"[":
        return head, whole, "document"
    if start[:1] != b"{":
        raise BadFile("NotJson", f"begins with '{beginning(start)}', which is not JSON")
    while not whole and _first_line(head) is None and len(head) <= MAX_DOCUMENT_BYTES:
        # One long line: its end tells whether it is one of many records or the document.
        head, whole = gather(text, min(2 * len(head), MAX_DOCUMENT_BYTES + 1), head)
    line = _first_line(head) or (start if whole else b"")
    try:
        is_record = isinstance(parse(line.decode()), dict)
    except (ValueError, RecursionError):
        # A document, or several values one after the other.
        is_record = False
    return head, whole, "lines" if is_record else "document"


def _first_line(data: bytes) -> bytes | None:
    """The first line that is not blank, if its end is there."""
    line, end, _ = data.lstrip(SPACE).partition(b"\n")
    return line if end else None


# --- lines --------------------------------------------------------------------------------------


def _look_at_lines(
    content: Content, head: bytes, whole: bool, text: Iterator[bytes], look: Look, rows: int
) -> tuple[Look, TakeSample]:
    while not whole and _first_line(head) is None:
        if len(head) >= MAX_LINE_BYTES:
            raise BadFile(
                "LineTooLong",
                f"has a first line of more than {MAX_LINE_BYTES // 2**20} MiB; "
                "if the file is one document, set format.options.layout: document",
            )
        head, whole = gather(text, min(2 * len(head), MAX_LINE_BYTES), head)
    first = _first_line(head) or head.lstrip(SPACE)
    try:
        record = parse(first.decode())
    except (ValueError, RecursionError) as error:
        raise not_json(first, error, "its first line is not a JSON value") from error
    if not isinstance(record, dict):
        raise BadFile(
            "NotJson",
            f"begins with '{beginning(first)}', and each line should be one record in {{}}",
        )
    unchecked, tail = None, head
    if not whole and look.compression == "none":
        tail = content.tail
    elif not whole:
        unchecked = bytes_for_spark(content, look.compression)
        # The end of a large text is not read: Spark looks at the end of each line.
        tail = last_bytes(text, head) if unchecked is None else b"\n"
    _refuse_cut_line(tail, complete=whole)
    lines = (head if whole else head[: head.rfind(b"\n") + 1]).splitlines()
    if not whole and tail.endswith(b"\n"):
        # The first line of a tail is cut.
        lines += tail.splitlines()[1:]
    seen = _seen(_parsed(lines), rows)
    look = replace(look, group=JsonGroup("lines"), columns=seen.keys, unchecked_bytes=unchecked)
    return look, seen.sample


def _refuse_cut_line(tail: bytes, complete: bool) -> None:
    """Refuse a file whose last line stops in the middle: what followed it is missing too."""
    if tail.endswith(b"\n"):
        return
    start = tail.rfind(b"\n") + 1
    last = tail[start:].strip(SPACE)
    if not last:
        return
    if start or complete:
        try:
            parse(last.decode())
        except json.JSONDecodeError as error:
            if not is_cut(error):
                # A row like any other bad one.
                return
        except (ValueError, RecursionError):
            return
        else:
            return
    elif last.endswith(b"}"):
        return
    raise BadFile(
        "TruncatedJson",
        f"ends in the middle of a record (… {beginning(last[-30:])}); deliver it again whole",
    )


def _parsed(lines: Iterable[bytes]) -> Iterator[object]:
    for line in lines:
        if line.strip(SPACE):
            try:
                yield parse(line.decode())
            except (ValueError, RecursionError):
                # Spark keeps it as a bad row; here it only says nothing about the columns.
                continue


# --- documents ----------------------------------------------------------------------------------


def _look_at_document(
    content: Content,
    record_path: str | None,
    head: bytes,
    whole: bool,
    text: Iterator[bytes],
    look: Look,
    rows: int,
) -> tuple[Look, TakeSample]:
    start = head.lstrip(SPACE)
    if start[:1] not in (b"{", b"["):
        raise BadFile("NotJson", f"begins with '{beginning(start)}', which is not a JSON document")
    if not whole:
        head, whole = gather(text, MAX_DOCUMENT_BYTES, head)
    if not whole:
        tail = content.tail if look.compression == "none" else last_bytes(text, head)
        if not _may_end(start[:1], tail.rstrip(SPACE)[-1:]):
            raise truncated(tail)
        seen = _seen(first_records(head[:HEAD_BYTES], record_path), rows)
        return replace(look, group=SPLIT, split=True, columns=seen.keys), seen.sample
    odd, canonical = True, False
    with _large_documents if len(head) > _SMALL_DOCUMENT_BYTES else nullcontext():
        try:
            document, odd, canonical = parse_document(head)
            # Spark reads a sound document in one piece. Half a surrogate pair is the matter of one
            # record, and documents in an array each have records below their path.
            split = (not canonical and has_half_pairs(head.decode())) or (
                record_path is not None and isinstance(document, list)
            )
            found = records_of(document, record_path)
        except SeveralValues:
            split, found = True, [record for _, record in Records([head], record_path)]
        seen = _seen(found, rows)
    if found and not seen.objects:
        raise BadFile("NoRecords", "holds an array in which no element is a record in {}")
    if split:
        look = replace(look, group=SPLIT, split=True, columns=seen.keys, empty=not found)
        return look, seen.sample
    mixed = seen.objects < len(found)
    proven = canonical and not mixed and seen.all_named and not _has_astral(head)
    look = replace(
        look,
        group=JsonGroup("document", mixed, odd, proven),
        columns=seen.keys,
        rows=len(found) if proven else None,
        empty=not found,
    )
    return look, seen.sample


def _has_astral(data: bytes) -> bool:
    """Whether there is a character beyond the first 65,536, which Spark may write as an escape."""
    return not data.isascii() and _ASTRAL.search(data) is not None


def _may_end(first: bytes, last: bytes) -> bool:
    """Whether a large text can be whole by its last character; staging it reads every record."""
    return last in ((b"}", b"]", b",") if first == b"{" else (b"}", b"]"))


# --- both ---------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """What was seen of some records.

    Attributes:
        keys: Those that can have a column, of all the records.
        sample: Takes the values of some.
        objects: How many of the records are objects.
        all_named: Whether each of their keys can have a column.
    """

    keys: tuple[str, ...]
    sample: TakeSample
    objects: int
    all_named: bool


def _seen(records: Iterable[object], wanted: int) -> _Seen:
    """See all these records, and about so many closely.

    Those with new keys are among them, so that every key has a value to infer its type from.
    """
    keys: dict[str, None] = {}
    first: list[dict[str, object]] = []
    others: list[dict[str, object]] = []
    all_named = True
    for record in records:
        if not isinstance(record, dict):
            continue
        is_new = not record.keys() <= keys.keys()
        if is_new:
            # A key that UTF-8 cannot hold, or nobody can read, has no column; Spark rescues it.
            named = [key for key in record if len(key) <= MAX_KEY_CHARACTERS and is_encodable(key)]
            all_named = all_named and len(named) == len(record)
            keys.update(dict.fromkeys(named))
        if len(keys) > MAX_COLUMNS:
            raise BadFile(
                "TooManyColumns",
                f"has records with more than {MAX_COLUMNS:,} different keys; keys that are values "
                "(such as ids) cannot become columns",
            )
        if len(first) < wanted // 2 or (is_new and len(first) < 2 * wanted):
            first.append(record)
        else:
            others.append(record)
    taken = first + others[:: max(len(others) // max(wanted - len(first), 1), 1)]

    def take(_rows: int) -> tuple[tuple[Value, ...], ...]:
        return tuple(tuple([simplified(record.get(key)) for key in keys]) for record in taken)

    return _Seen(tuple(keys), take, len(first) + len(others), all_named)
