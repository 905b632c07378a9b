"""One JSON document: whether it is whole, and where its records are."""

import json
from collections.abc import Iterator
from typing import NamedTuple

from autoloader_dagster.formats.json.records import Records, not_in_array
from autoloader_dagster.formats.json.values import NotCanonical, parse_canonical, parse_telling
from autoloader_dagster.formats.outcome import BadFile, beginning

SPACE = b" \t\r\n"


class SeveralValues(Exception):
    """Other text follows the first value; never leaves this package."""


class Document(NamedTuple):
    """A text that is one JSON value.

    Attributes:
        value: The value.
        odd: Whether it has odd numbers, see ``parse_telling``.
        canonical: What ``parse_canonical`` proves holds for it.
    """

    value: object
    odd: bool
    canonical: bool


def parse_document(data: bytes) -> Document:
    """Parse a text that is one JSON value.

    Raises:
        SeveralValues: It may be several values one after the other.
        BadFile: It is not JSON.
    """
    try:
        return Document(parse_canonical(data), odd=False, canonical=True)
    except NotCanonical:
        text = data.decode()
    try:
        return Document(*parse_telling(text), canonical=False)
    except json.JSONDecodeError as error:
        if is_cut(error):
            raise truncated(data) from error
        if error.msg == "Extra data":
            raise SeveralValues from error
        raise not_json(data, error, f"line {error.lineno:,}, column {error.colno:,}") from error
    except (ValueError, RecursionError) as error:
        raise not_json(data, error, "the document does not parse") from error


def records_of(document: object, record_path: str | None) -> list[object]:
    """The records of a document.

    Raises:
        BadFile: ``NoRecords``.
    """
    if record_path is None:
        return document if isinstance(document, list) else [document]
    parents = document if isinstance(document, list) else [document]
    in_array = isinstance(document, list)
    return [
        record for parent in parents for record in _records_below(parent, record_path, in_array)
    ]


def _records_below(document: object, record_path: str, in_array: bool) -> list[object]:
    at, passed = document, []
    for key in record_path.split("."):
        where = f"at '{'.'.join(passed)}'" if passed else "at the top"
        in_array = in_array and not passed
        if not isinstance(at, dict):
            if in_array:
                raise not_in_array(record_path, f"there is {_kind(at)}")
            raise BadFile("NoRecords", f"has no '{record_path}': {where} there is {_kind(at)}")
        if key not in at:
            keys = ", ".join(beginning(name) for name in list(at)[:10]) or "none"
            if in_array:
                raise not_in_array(record_path, f"the keys there are: {keys}")
            raise BadFile("NoRecords", f"has no '{record_path}'; the keys {where} are: {keys}")
        at = at[key]
        passed.append(key)
    if not isinstance(at, list):
        raise BadFile("NoRecords", f"has {_kind(at)} at '{record_path}', not an array of records")
    return at


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return "null" if value is None else f"the value '{beginning(str(value))}'"


def first_records(head: bytes, record_path: str | None) -> Iterator[object]:
    """The records at the beginning of a text of which only the head is here.

    Raises:
        BadFile: What is here is broken already.
    """
    try:
        for _, record in Records([_whole_characters(head)], record_path):
            yield record
    except BadFile as fault:
        if fault.bad.error_type != "TruncatedJson":
            raise


def _whole_characters(head: bytes) -> bytes:
    return head.decode("utf-8", "ignore").encode()


def is_cut(error: json.JSONDecodeError) -> bool:
    """Whether the text was sound up to its end and should have gone on."""
    at_end = error.pos >= len(error.doc.rstrip())
    return at_end or error.msg.startswith("Unterminated string")


def truncated(data: bytes) -> BadFile:
    return BadFile(
        "TruncatedJson",
        f"ends in the middle of the document (… {beginning(data.rstrip(SPACE)[-30:])}); "
        "deliver it again whole",
    )


def not_json(data: bytes, error: Exception, where: str) -> BadFile:
    if isinstance(error, RecursionError):
        return BadFile("TooDeep", "is nested too deeply to be read")
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return BadFile(
        "NotJson", f"is not JSON ({where}: {reason}); it begins with '{beginning(data.lstrip())}'"
    )
