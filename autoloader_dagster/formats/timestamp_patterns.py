"""Spark's date and time patterns as regular expressions, to recognise cells, not convert them."""

import functools
import re

from autoloader_dagster.errors import SpecError

# What replaces a letter, by how often it is repeated; 0 for any other count. A spec may use these
# letters and S; see ``specs.timestamp_formats``.
_LETTERS: dict[str, dict[int, str]] = {
    "y": {2: r"\d\d", 0: r"\d{4}"},
    "M": {
        1: r"(?:0?[1-9]|1[0-2])",
        2: r"(?:0[1-9]|1[0-2])",
        3: r"[A-Z][a-z]{2}",
        0: r"[A-Z][a-z]+",
    },
    "d": {1: r"(?:0?[1-9]|[12]\d|3[01])", 0: r"(?:0[1-9]|[12]\d|3[01])"},
    "H": {1: r"(?:[01]?\d|2[0-3])", 0: r"(?:[01]\d|2[0-3])"},
    "h": {1: r"(?:0?[1-9]|1[0-2])", 0: r"(?:0[1-9]|1[0-2])"},
    "m": {1: r"[0-5]?\d", 0: r"[0-5]\d"},
    "s": {1: r"[0-5]?\d", 0: r"[0-5]\d"},
    "a": {0: r"(?:AM|PM)"},
    "X": {0: r"(?:Z|[+-]\d\d(?::?\d\d)?)"},
    "x": {0: r"[+-]\d\d(?::?\d\d)?"},
    "Z": {0: r"(?:GMT)?[+-]\d\d:?\d\d"},
    "z": {0: r"[A-Z]{3,5}"},
    "V": {0: r"[A-Za-z_]+(?:/[A-Za-z_+\-0-9]+)*"},
}
_LETTERS["L"] = _LETTERS["M"]
_PARTS = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|.", re.DOTALL)


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression that matches the cells of this pattern.

    Args:
        pattern: As in ``format.options.timestamp_formats``, for example ``M/d/yyyy H:mm``.

    Raises:
        SpecError: The pattern has a letter that is not known here.
    """
    parts = [part[0] for part in _PARTS.finditer(pattern)]
    # For Spark, a [ need not be closed.
    still_open = parts.count("[") - parts.count("]")
    parts += ["]"] * still_open
    return re.compile("".join(_part(part, pattern) for part in parts), re.ASCII)


def _part(part: str, pattern: str) -> str:
    if part == "[":
        return "(?:"
    if part == "]":
        return ")?"
    if part == "''":
        return "'"
    if part.startswith("'") and len(part) > 1:
        return re.escape(part[1:-1].replace("''", "'"))
    letter = part[0]
    if not (letter.isascii() and letter.isalpha()):
        return re.escape(part)
    if letter == "S":
        return rf"\d{{{len(part)}}}"
    widths = _LETTERS.get(letter)
    if widths is None:
        raise SpecError(
            f"format.options.timestamp_formats: '{pattern}' has the letter '{letter}', which is "
            "not known",
            f"Use {' '.join([*_LETTERS, 'S'])}, and put other letters in single quotes.",
        )
    return widths.get(len(part), widths[0])
