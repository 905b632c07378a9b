"""SQL expressions that type a string cell, or say that it does not fit.

The typing is ours alone: Spark's readers, pyarrow and others each accept something else, and a
value that does not fit must be seen, not become a null. Every expression gives null for null.
"""

import re
from collections.abc import Sequence

from autoloader_dagster.iceberg.sql import literal

# Types that Spark's CSV reader parses by itself exactly as strictly as ``typed`` does, or more
# strictly (then the cell is looked at again). Reading them typed is what makes a big load fast. Of
# fractions it takes Java's notation (12D, 0x1p3), and of 1e400 it makes infinity.
PARSED_BY_READER = frozenset({"string", "tinyint", "smallint", "int", "bigint", "boolean"})

_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
# Neither Iceberg's other readers nor ISO 8601's users have a year 0.
_DAY = r"(?!0000)[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
# No more than microseconds, which is what a timestamp holds.
_TIME = r"[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]{1,6}0{0,3})?)?"
_ZONE = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)?"
# In a pattern of Spark.
_QUOTED, _ZONE_LETTER = re.compile("'[^']*'"), re.compile("[XxZzVO]")
# Digits that every float or double gives back; digits with which a program writes one so that it
# can be read back; up to where every integer is one; and by how many units of the last of those
# digits two numbers of so many digits may differ that are the same float or double.
_FRACTIONS = {"float": (6, 9, 2**24, 51), "double": (15, 17, 2**53, 11)}
# Between these, in size, every number of the first kind is given back.
_NORMAL = {"float": ("1e-37", "3e38"), "double": ("1e-307", "1e308")}


def is_nested(sql_type: str) -> bool:
    """Whether this is a struct, array, map or variant type."""
    return sql_type.startswith(("struct", "array", "map", "variant"))


def typed(raw: str, sql_type: str, timestamp_formats: Sequence[str] = ()) -> str:
    """A SQL expression for the string expression ``raw`` as ``sql_type``; null if it does not fit.

    Not for nested types; those are in ``nested``.

    Stricter than ``try_cast`` where that would lose something: a fraction cut off a decimal, digits
    cut off a double or a timestamp, a time cut off a date, a zone cut off a local time, a bare time
    that becomes today's timestamp, a month that becomes its first day, 'yes' for true, a control
    character or a Unicode blank beside a value. Only blanks and tabs around a value mean nothing,
    as in ``infer_column``.
    """
    if sql_type == "string":
        return raw
    if sql_type in ("timestamp", "timestamp_ntz"):
        return _time(raw, sql_type, timestamp_formats)
    if sql_type == "date":
        # What most dates look like is found without a regular expression, which costs more.
        usual = f"length({raw}) = 10 and {_dashes(raw)}"
        return f"if({usual} or {_like(raw, _DAY)}, try_cast({raw} as date), null)"
    if sql_type == "boolean":
        text = f"lower(trim(both ' \t' from {raw}))"
        return f"if({text} in ('true', 'false'), try_cast({text} as boolean), null)"
    if sql_type in _FRACTIONS:
        return _fraction(raw, sql_type)
    decimal = _DECIMAL.fullmatch(sql_type)
    if decimal:
        fits = rf"[+-]?[0-9]*([.][0-9]{{0,{decimal[2]}}}0*)?"
        return f"if({_like(raw, fits)}, try_cast({raw} as {sql_type}), null)"
    whole = f"({_edges(raw)}) or {_like(raw, '[+-]?[0-9]+')}"
    return f"if({whole}, try_cast({raw} as {sql_type}), null)"


def _edges(raw: str) -> str:
    """Whether a text begins and ends as a number does, without a regular expression.

    Spark's casts trim control characters, which are no blanks: a value with them does not fit.
    """
    last = f"substring({raw}, -1)"
    return f"{raw} >= '+' and {raw} < ':' and {last} >= '.' and {last} < ':'"


def _like(raw: str, pattern: str) -> str:
    # Java's $ also matches before a last line end, of which it knows six.
    whole = rf"^[ \t]*({pattern})[ \t]*\z"
    return f"{raw} rlike {literal(whole)}"


def _dashes(raw: str) -> str:
    # The last character too, because Spark takes 2024-01-1T for a date.
    last = f"substring({raw}, 10, 1) between '0' and '9'"
    return (
        f"substring({raw}, 5, 1) = '-' and substring({raw}, 8, 1) = '-' and {last} "
        f"and {raw} >= '0001'"
    )


def _time(raw: str, sql_type: str, formats: Sequence[str]) -> str:
    zone = _ZONE if sql_type == "timestamp" else ""
    tries = [
        f"if({_like(raw, f'{_DAY}([T ]{_TIME}{zone})?')}, try_cast({raw} as {sql_type}), null)"
    ]
    if sql_type == "timestamp":
        # Spark takes a zone only after seconds.
        minute = f"^([^:]*:[0-9]{{1,2}}){_ZONE[:-1]}[ \t]*\\z"
        padded = f"regexp_replace({raw}, {literal(minute)}, '$1:00$2')"
        like = _like(raw, f"{_DAY}[T ][0-9]{{1,2}}:[0-9]{{1,2}}{_ZONE[:-1]}")
        tries.append(f"if({like}, try_cast({padded} as timestamp), null)")
    for pattern in formats:
        if sql_type == "timestamp_ntz" and _ZONE_LETTER.search(_QUOTED.sub("", pattern)):
            # Spark would convert to the session's zone, and cut that off.
            continue
        bare = f"trim(both ' \t' from {raw})"
        found = f"cast(try_to_timestamp({bare}, {literal(pattern)}) as {sql_type})"
        if "SSSSSSS" in pattern:
            found = f"if({raw} rlike '[0-9]{{6}}[0-9]*[1-9]', null, {found})"
        tries.append(found)
    return f"coalesce({', '.join(tries)})" if len(tries) > 1 else tries[0]


def _fraction(raw: str, sql_type: str) -> str:
    """As ``is_exact_double``: short numbers without an exponent, or with digits that come back.

    Java 17 does not always write the fewest digits or the nearest ones (9.2E22 comes back as
    9.199999999999999E22), so what it writes is compared only for numbers with more digits than are
    always safe. A program that writes all 17 digits of a double writes 0.1 as 0.10000000000000001
    and 68063.5750112522 as 68063.575011252193, so 17 digits may differ by as much as two numbers
    that are the same double, but for integers that are written out.
    """
    cast = f"try_cast({raw} as {sql_type})"
    safe, most, integers, same = _FRACTIONS[sql_type]
    mantissa = "[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)"
    # Of what Java takes for a number, only suffixes, hexadecimals and exponents have letters; this
    # finds them without a regular expression.
    short = f"length({raw}) <= {safe} and lower({raw}) = upper({raw}) and {_edges(raw)}"
    number = _like(raw, mantissa + "([eE][+-]?[0-9]{1,5})?")
    digits, back = _digits(raw), _digits(f"cast({cast} as string)")
    off = f"abs({_aligned(digits, most)} - {_aligned(back, most)})"
    low, high = (f"cast({limit} as {sql_type})" for limit in _NORMAL[sql_type])
    always = f"length({digits}) <= {safe} and (abs({cast}) between {low} and {high})"
    written_out = f"abs({cast}) >= {integers} and lower({raw}) = upper({raw})"
    may_be_off = f"if(length({digits}) < {most}, 5, if({written_out}, 0, {same}))"
    named = _like(f"lower({raw})", "[+-]?(nan|inf|infinity)")
    return (
        f"case when {short} then {cast} when cast({cast} as string) = {raw} then {cast} "
        f"when {number} then "
        f"if({digits} = '' or ({always}) "
        f"or length({digits}) <= {most} and ({off} <= {may_be_off} "
        f"or cast(try_cast({cast} as bigint) as string) = {raw}), {cast}, null) "
        f"when {named} then {cast} end"
    )


def _digits(number: str) -> str:
    return f"trim(both '0' from regexp_replace({number}, '[eE].*|[^0-9]', ''))"


def _aligned(digits: str, length: int) -> str:
    return f"cast(rpad({digits}, {length}, '0') as bigint)"
