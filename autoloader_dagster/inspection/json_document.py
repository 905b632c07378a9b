"""One JSON document: whether it is whole, and where its records are."""

import json
import re
from collections.abc import Iterator

from autoloader_dagster.inspection.json_values import parse, parse_each
from autoloader_dagster.inspection.outcome import SetAside, beginning

SPACE = b" \t\r\n"


def parse_document(data: bytes) -> object:
    text = data.decode()
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        if is_cut(error):
            raise truncated(data) from error
        if error.msg == "Extra data" and text[error.pos : error.pos + 1] in ("{", "["):
            raise SetAside(
                "NotJson",
                f"holds a second JSON value on line {error.lineno:,}; if it is one record a line, "
                "set format.options.layout: lines",
            ) from error
        raise not_json(data, error, f"line {error.lineno:,}, column {error.colno:,}") from error
    except (ValueError, RecursionError) as error:
        raise not_json(data, error, "the document does not parse") from error


def records_of(document: object, record_path: str | None) -> list[object]:
    """The records of a document.

    Raises:
        SetAside: ``NoRecords``.
    """
    if record_path is None:
        return document if isinstance(document, list) else [document]
    parents = document if isinstance(document, list) else [document]
    found: list[object] = []
    faults = []
    for parent in parents:
        try:
            found += _records_below(parent, record_path)
        except SetAside as fault:
            faults.append(fault)
    if faults and len(faults) == len(parents):
        raise faults[0]
    return found


def _records_below(document: object, record_path: str) -> list[object]:
    at, passed = document, []
    for key in record_path.split("."):
        where = f"at '{'.'.join(passed)}'" if passed else "at the top"
        if not isinstance(at, dict):
            raise SetAside("NoRecords", f"has no '{record_path}': {where} there is {_kind(at)}")
        if key not in at:
            keys = ", ".join(beginning(name) for name in list(at)[:10]) or "none"
            raise SetAside("NoRecords", f"has no '{record_path}'; the keys {where} are: {keys}")
        at = at[key]
        passed.append(key)
    if not isinstance(at, list):
        raise SetAside("NoRecords", f"has {_kind(at)} at '{record_path}', not an array of records")
    return at


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return "null" if value is None else f"the value '{beginning(str(value))}'"


def first_records(head: bytes, record_path: str | None) -> Iterator[object]:
    """The records at the beginning of a document that is too large to be parsed here."""
    text = head.decode("utf-8", "ignore")
    opening = r"\s*\["
    if record_path:
        opening = re.escape(json.dumps(record_path.split(".")[-1])) + r"\s*:\s*\["
    found = re.search(opening, text) if record_path else re.match(opening, text)
    return parse_each(text, found.end()) if found else iter(())


def is_cut(error: json.JSONDecodeError) -> bool:
    """Whether the text was sound up to its end and should have gone on."""
    at_end = error.pos >= len(error.doc.rstrip())
    return at_end or error.msg.startswith("Unterminated string")


def truncated(data: bytes) -> SetAside:
    return SetAside(
        "TruncatedJson",
        f"ends in the middle of the document (… {beginning(data.rstrip(SPACE)[-30:])}); "
        "deliver it again whole",
    )


def not_json(data: bytes, error: Exception, where: str) -> SetAside:
    if isinstance(error, RecursionError):
        return SetAside("TooDeep", "is nested too deeply to be read")
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return SetAside(
        "NotJson", f"is not JSON ({where}: {reason}); it begins with '{beginning(data.lstrip())}'"
    )
