"""Checks a cron string before Dagster sees it: one that Dagster refuses takes every spec down."""

import re

# fmt: off
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# fmt: on
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of the week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


def check_cron(text: str) -> None:
    """Check a cron string of five fields with ``*``, numbers, names, lists, ranges and steps.

    Raises:
        ValueError: With the field that is wrong, and why.
    """
    parts = text.split()
    if len(parts) != 5:
        raise ValueError(f"'{text}' is not hourly, daily, weekly or a cron string of five fields")
    days, months = (
        [_values(text, part, *limits) for part, limits in zip(parts, _FIELDS, strict=True)]
    )[2:4]
    if min(days) > max(_LONGEST_MONTH.get(month, 31) for month in months):
        raise ValueError(f"'{text}' names a day that its months never have")


def _values(
    text: str, part: str, label: str, low: int, high: int, names: dict[str, int]
) -> set[int]:
    """The numbers of one field."""
    found: set[int] = set()
    for entry in part.split(","):
        match = re.fullmatch(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]{1,2}))?", entry.lower())
        if not match or (match[1] == "*" and match[2]) or match[3] in ("0", "00"):
            raise ValueError(f"'{text}' is not a cron string: '{entry}' is no {label}")
        first, last = match[1], match[2] or (high if match[3] else match[1])
        bounds = (low, high) if first == "*" else (_number(first, names), _number(last, names))
        if not all(low <= bound <= high for bound in bounds):
            raise ValueError(
                f"'{text}' is not a cron string: '{entry}' is no {label} from {low} to {high}"
            )
        if bounds[0] > bounds[1]:
            raise ValueError(f"'{text}' is not a cron string: the range '{entry}' runs backwards")
        found.update(range(bounds[0], bounds[1] + 1, int(match[3] or 1)))
    return found


def _number(word: str | int, names: dict[str, int]) -> int:
    """A number or a name's number; -1, which no field has, for anything else."""
    if isinstance(word, int):
        return word
    return int(word) if word.isdecimal() else names.get(word, -1)
