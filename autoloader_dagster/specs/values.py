"""The kinds of values in a spec: sizes, durations, days, time zones, types, globs."""

import os
import re
from collections.abc import Sequence
from datetime import date, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field

from autoloader_dagster.settings import READ_NAMES_AS_UTF8, misread
from autoloader_dagster.specs.globs import translate_glob

IDENTIFIER = re.compile(r"[a-z0-9_]+")

_SIZE_UNITS = {
    "b": 1,
    **{f"{sign}b": 10 ** (3 * power) for power, sign in enumerate("kmgt", 1)},
    **{f"{sign}ib": 2 ** (10 * power) for power, sign in enumerate("kmgt", 1)},
}
_TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*"

# Dagster's own rules (its errors name an asset, not a spec, and stop the whole code location).
_EMAIL = re.compile(r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z|]{2,7}\b")
_TAG_KEY = re.compile(r"([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}")
_TAG_VALUE = re.compile(r"[A-Za-z0-9_.-]{0,63}")

_COLUMN = r"([A-Za-z_][A-Za-z0-9_]*)"
_PARTITION_FIELD = re.compile(
    rf"{_COLUMN}|(years?|months?|days?|hours?)\({_COLUMN}\)"
    rf"|(bucket|truncate)\([1-9][0-9]{{0,8}}, *{_COLUMN}\)"
)


def did_you_mean(word: str, known: Sequence[str], cutoff: float = 0.6) -> str:
    """``"; did you mean 'day'?"``, or nothing where nothing is close."""
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), list(by_lower), n=1, cutoff=cutoff)
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""


def shown_url(url: str) -> str:
    """The address without its query, where signatures stand."""
    return url.split("?", 1)[0]


def _parse_size(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(_NUMBER + "([a-zA-Z]+) *", str(value))
    if not match or match[2].lower() not in _SIZE_UNITS:
        raise ValueError(f"'{value}' is not a size; write it like '500 MB' or '10 GiB'")
    return int(float(match[1]) * _SIZE_UNITS[match[2].lower()])


def _parse_duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value
    else:
        match = re.fullmatch(_NUMBER + "([smhd]) *", str(value))
        if not match:
            raise ValueError(
                f"'{value}' is not a duration; write it like '30s', '5m', '1h' or '1d'"
            )
        seconds = float(match[1]) * _TIME_UNITS[match[2]]
    if not 0 <= seconds <= 366 * 86400:  # NaN fails here too
        raise ValueError(f"'{value}' is not between 0 s and a year")
    return timedelta(seconds=seconds)


def _parse_day(value: Any) -> Any:
    # Left alone, pydantic reads a number as seconds since 1970.
    if isinstance(value, date):
        return value
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", str(value)):
            return date.fromisoformat(str(value))
    except ValueError:
        pass
    raise ValueError(f"'{value}' is not a day; write it like 2020-01-22")


def _known_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):  # unknown, not a name at all, a folder of zones
        # All of Europe looks like all of Europe, so only the closest will do.
        hint = did_you_mean(value, sorted(available_timezones()), cutoff=0.8)
        hint = hint or "; write it like 'Europe/Berlin'"
        raise ValueError(f"'{value}' is not a timezone{hint}") from None
    return value


def _as_written(value: Any) -> Any:
    # The YAML reader makes a number only of what is written the same way again.
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _one_character(value: Any) -> Any:
    text = "\t" if value == "\\t" else _as_written(value)
    if isinstance(text, str) and len(text) > 1:
        raise ValueError(f"'{value}' is not one character")
    if text in ("\n", "\r", "\0"):
        raise ValueError("a line break or NUL cannot be used here")
    return text


ByteSize = Annotated[
    int, BeforeValidator(_parse_size, json_schema_input_type=int | str), Field(gt=0)
]
Duration = Annotated[
    timedelta, BeforeValidator(_parse_duration, json_schema_input_type=int | float | str)
]
Day = Annotated[date, BeforeValidator(_parse_day)]
Timezone = Annotated[str, AfterValidator(_known_timezone)]
Text = Annotated[str, BeforeValidator(_as_written, json_schema_input_type=str | int | float | bool)]
Character = Annotated[str, BeforeValidator(_one_character, json_schema_input_type=str | int)]


def check_glob(glob: str) -> None:
    """Refuse a glob that could never match a path below the source's url."""
    if not glob:
        raise ValueError("an empty glob matches nothing; take it out")
    if glob.startswith(("/", "./")) or "://" in glob or ".." in glob.split("/"):
        raise ValueError(f"'{glob}' can match nothing, for globs are on the path below source.url")
    translate_glob(glob)


def check_path(path: str) -> None:
    """Refuse a path that no system can look up: the look-up would raise for all specs at once."""
    try:
        os.fsencode(Path(path).expanduser())
        if "\0" in path:
            raise ValueError
    except RuntimeError:
        raise ValueError("begins with ~ and the name of a user who is not known here") from None
    except ValueError:
        if why := misread(path):
            raise ValueError(f"cannot be looked up: {why}. {READ_NAMES_AS_UTF8}") from None
        raise ValueError("holds a character that no path can hold") from None


def check_owner(owner: str) -> None:
    """Refuse an owner that Dagster would refuse."""
    if not re.fullmatch(r"team:[\w\-. ]+", owner) and not _EMAIL.fullmatch(owner):
        raise ValueError(f"'{owner}' is neither an e-mail address nor 'team:name'")


def check_tag(key: str, value: str) -> None:
    """Refuse a tag that Dagster would refuse."""
    if key.startswith("dagster/") or not _TAG_KEY.fullmatch(key):
        raise ValueError(
            "this is not a valid tag name: use letters, digits and _ . - (63 at most), optionally "
            "after one prefix and /; the prefix must not be 'dagster'"
        )
    if not _TAG_VALUE.fullmatch(value):
        raise ValueError(f"'{value}' is not letters, digits and _ . - only, 63 at most")


def check_partition_by(entries: Sequence[str]) -> None:
    """Refuse what is neither a column nor an Iceberg transform of one; it becomes part of SQL.

    Iceberg takes a column once, once in buckets, once truncated, and by one unit of time.
    """
    seen: dict[tuple[str, str], str] = {}
    for entry in entries:
        match = _PARTITION_FIELD.fullmatch(entry)
        if not match:
            raise ValueError(
                f"'{entry}' is neither a column nor a transform of one such as days(event_time), "
                "bucket(16, id) or truncate(4, name)"
            )
        plain, unit, of_time, transform, column = match.groups()
        kind = "time" if unit else transform or ""
        field = (kind, (plain or of_time or column).lower())
        if (other := seen.get(field)) is not None:
            what = f"'{entry}' is there twice" if other == entry else f"'{entry}' repeats '{other}'"
            raise ValueError(f"{what}; keep one of them")
        seen[field] = entry
