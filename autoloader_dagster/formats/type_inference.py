"""The type of a column from a sample of its cells, such that no cell loses anything by it.

Spark, pyarrow and DuckDB each infer something else than Spark's reader parses, and each loses
something: leading zeros, digits of long numbers, the day of a bare time. So this is our own.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from autoloader_dagster.formats.json.values import Number
from autoloader_dagster.formats.timestamp_patterns import compiled

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FRACTION = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(?:Z|[+-](?:0[0-9]|1[0-7])(?::?[0-5][0-9])?)?"
)
_MAX_BIGINT = 2**63 - 1
# Up to here every integer is a double.
_MAX_EXACT_DOUBLE = 2**53
_DECIMAL_DIGITS = 38
_BLANKS = " \t"

_INTEGER_TYPES = ("tinyint", "smallint", "int", "bigint")


class ColumnSample:
    """What was seen of one column so far.

    Args:
        timestamp_formats: Spark patterns of cells that are timestamps too.
        is_json: Whether values come with JSON types: then a string is never a number.

    Raises:
        SpecError: A pattern is not known.
    """

    def __init__(self, timestamp_formats: Sequence[str] = (), *, is_json: bool = False) -> None:
        self._patterns = [compiled(pattern) for pattern in timestamp_formats]
        self._is_json = is_json
        self._kinds: set[str] = set()
        self._exact_in_double = True

    def add(self, value: object) -> None:
        """Take one value: a string, a JSON value, or None for no value."""
        # One string settles it.
        if value is not None and "string" not in self._kinds:
            self._kinds.add(self._kind(value))

    @property
    def sql_type(self) -> str:
        """The Spark SQL type; string where there was no value."""
        kinds = self._kinds
        if len(kinds) == 1 and kinds <= {"boolean", "bigint", "double", "date", "timestamp"}:
            return next(iter(kinds))
        if kinds == {"date", "timestamp"}:
            return "timestamp"
        if kinds and kinds <= {"bigint", "decimal"}:
            return f"decimal({_DECIMAL_DIGITS},0)"
        fits_double = kinds <= {"bigint", "double", "no_number"} and self._exact_in_double
        return "double" if fits_double and kinds & {"bigint", "double"} else "string"

    def _kind(self, value: object) -> str:
        if isinstance(value, bool):
            return "boolean"
        if isinstance(value, (Number, int, float)):
            return self._number(str(value)) or "string"
        if not isinstance(value, str):
            return "string"
        text = value.strip(_BLANKS)
        if not self._is_json:
            if text.lower() in ("true", "false"):
                return "boolean"
            number = self._number(text)
            if number:
                return number
        return self._time(text)

    def _number(self, text: str) -> str | None:
        if _INTEGER.fullmatch(text):
            if len(text.lstrip("-")) > _DECIMAL_DIGITS:
                return "string"
            size = abs(int(text))
            self._exact_in_double &= size <= _MAX_EXACT_DOUBLE
            # -2^63 would fit as well; it is not worth a case of its own.
            return "bigint" if size <= _MAX_BIGINT else "decimal"
        if _FRACTION.fullmatch(text):
            return "double" if is_exact_double(text) else "string"
        return "no_number" if _NO_NUMBER.fullmatch(text) else None

    def _time(self, text: str) -> str:
        if _DATE.fullmatch(text):
            return "date" if _is_day(text) else "string"
        found = _TIMESTAMP.fullmatch(text)
        if found:
            day, time, second, fraction = found.groups()
            # A timestamp has microseconds.
            whole = not (fraction or "")[6:].strip("0")
            return "timestamp" if whole and _is_day(f"{day} {time}:{second or '00'}") else "string"
        if any(pattern.fullmatch(text) for pattern in self._patterns):
            return "timestamp"
        return "string"


def infer_column(
    values: Iterable[object], timestamp_formats: Sequence[str] = (), *, is_json: bool = False
) -> str:
    """The Spark SQL type of a column: the narrowest that keeps every one of these values.

    One of string, bigint, double, boolean, date, timestamp and decimal(38,0). What is not surely
    something else is a string: numbers with leading zeros or a plus sign, bare times, yes and no,
    numbers with more digits than a double holds, and mixtures. Without any value it is a string.

    Args:
        values: Cells as strings, or JSON values; None for no value.
        timestamp_formats: Spark patterns of cells that are timestamps as well.
        is_json: Whether values come with JSON types: then a string is never a number.

    Raises:
        SpecError: A pattern is not known.
    """
    sample = ColumnSample(timestamp_formats, is_json=is_json)
    for value in values:
        sample.add(value)
    return sample.sql_type


def is_exact_double(text: str) -> bool:
    """Whether a double gives this number back with all its digits, and none that differs.

    ``spark/typing.py`` has the rule in SQL; there the 17th digit of a fraction may be rounded.
    """
    try:
        number = float(text)
    except ValueError:
        return False
    exact = Decimal(text)
    digits = len(exact.normalize().as_tuple().digits) if exact else 1
    if not math.isfinite(number) or digits > 17:
        return False
    return Decimal(f"{number:.{digits}g}") == exact


def merge_types(a: str, b: str) -> str:
    """The type that holds the values of both types; string where no other does.

    ``void``, the type of no value at all, gives way to any other.
    """
    if a == b or b == "void":
        return a
    if a == "void":
        return b
    if a in _INTEGER_TYPES and b in _INTEGER_TYPES:
        return max(a, b, key=_INTEGER_TYPES.index)
    pair = {a, b}
    if pair == {"date", "timestamp"} or pair == {"date", "timestamp_ntz"}:
        return next(iter(pair - {"date"}))
    if "double" in pair and (pair - {"double"}) <= {"float", *_INTEGER_TYPES}:
        return "double"
    if "float" in pair and (pair - {"float"}) <= set(_INTEGER_TYPES):
        return "double"
    return _merged_decimals(a, b) or "string"


def type_of_most(files: Mapping[str, int]) -> str:
    """The type that holds the values of most files; string where no other holds more than half.

    Args:
        files: How many files have a column with which type.
    """
    ordered = sorted(files, key=lambda sql_type: -files[sql_type])
    chosen, others = "void", 0
    for sql_type in ordered:
        both = merge_types(chosen, sql_type)
        if both == "string" and chosen not in ("string", "void"):
            others += files[sql_type]
        else:
            chosen = both
    return chosen if 2 * others < sum(files.values()) else "string"


def _merged_decimals(a: str, b: str) -> str | None:
    shapes = [_decimal_shape(sql_type) for sql_type in (a, b)]
    if None in shapes:
        return None
    whole = max(shape[0] for shape in shapes if shape)
    scale = max(shape[1] for shape in shapes if shape)
    return f"decimal({whole + scale},{scale})" if whole + scale <= _DECIMAL_DIGITS else None


def _decimal_shape(sql_type: str) -> tuple[int, int] | None:
    """Digits before and after the point."""
    digits = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}.get(sql_type)
    if digits:
        return digits, 0
    found = re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", sql_type)
    return (int(found[1]) - int(found[2]), int(found[2])) if found else None


def _is_day(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
