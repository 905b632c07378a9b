"""A typed value as another type, or as JSON text, without any change of what it means."""

import re

from autoloader_dagster.iceberg.sql import literal

_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
# What a whole number, a decimal and so on may become without another meaning. A number is no moment
# and no truth value, though Spark casts them.
_NUMBERS = frozenset({"integer", "decimal", "floating"})
_MEANING_KEPT: dict[str, frozenset[str]] = {
    "integer": _NUMBERS | {"string"},
    "decimal": _NUMBERS | {"string"},
    "floating": _NUMBERS | {"string"},
    "boolean": frozenset({"boolean", "string"}),
    "date": frozenset({"date", "timestamp", "timestamp_ntz", "string"}),
    "timestamp": frozenset({"date", "timestamp", "timestamp_ntz", "string"}),
    "timestamp_ntz": frozenset({"date", "timestamp", "timestamp_ntz", "string"}),
    "binary": frozenset({"binary", "string"}),
    "string": _NUMBERS | {"string", "boolean", "date", "timestamp", "timestamp_ntz", "binary"},
}
_INTEGERS = ("tinyint", "smallint", "int", "bigint")
# Digits of the greatest value of each.
_INTEGER_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
# To this many a double holds every whole number.
_INTEGERS_IN = {"float": ("tinyint", "smallint"), "double": ("tinyint", "smallint", "int")}


def same_value(value: str, source_type: str, sql_type: str) -> str | None:
    """A SQL expression for a typed value as another type; null unless it comes back the same.

    Args:
        value: SQL of the value.
        source_type: Its type; not a nested one.
        sql_type: The type to give it; not a nested one.

    Returns:
        None if no value of the one type means the same in the other.
    """
    source, target = _family(source_type), _family(sql_type)
    if target not in _MEANING_KEPT.get(source, frozenset({"string"})):
        return None
    cast = f"try_cast({value} as {sql_type})"
    if target == "string":
        return f"if(is_valid_utf8({value}), {cast}, null)" if source == "binary" else cast
    same = f"try_cast({cast} as {source_type}) = {value}"
    if "floating" in (source, target) and source != target and source != "string":
        # 2^63 and its neighbours come back the same although they are not.
        bounded = value if source == "floating" else cast
        same += f" and abs({bounded}) < 9.2e18D" if _is_long(source_type, sql_type) else ""
    if source == "floating" and target != "floating":
        # A zero may have a sign, which only a floating number keeps.
        same += f" and not ({value} = 0 and string({value}) like '-%')"
    return f"if({same}, {cast}, null)"


def always_fits(source_type: str, sql_type: str) -> bool:
    """Whether every value of the one type is the same value in the other."""
    if source_type == sql_type or (source_type, sql_type) == ("float", "double"):
        return True
    if source_type in _INTEGERS and sql_type in _INTEGERS:
        return _INTEGERS.index(source_type) <= _INTEGERS.index(sql_type)
    if source_type in _INTEGERS_IN.get(sql_type, ()):
        return True
    decimal, source = _DECIMAL.fullmatch(sql_type), _DECIMAL.fullmatch(source_type)
    if not decimal:
        return False
    whole, scale = int(decimal[1]) - int(decimal[2]), int(decimal[2])
    if source:
        return int(source[1]) - int(source[2]) <= whole and int(source[2]) <= scale
    return _INTEGER_DIGITS.get(source_type, 99) <= whole


def _is_long(*sql_types: str) -> bool:
    return "bigint" in sql_types


def _family(sql_type: str) -> str:
    if sql_type in _INTEGERS:
        return "integer"
    if sql_type in ("float", "double"):
        return "floating"
    return "decimal" if sql_type.startswith("decimal") else sql_type


def as_json(value: str, *, nulls: bool = False) -> str:
    """A SQL expression for a value as JSON text, with every digit of its times.

    Args:
        value: SQL of a struct, array, map or variant.
        nulls: Whether fields without a value are written as null; else they are left out.
    """
    options = {
        "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
        "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
        "ignoreNullFields": str(not nulls).lower(),
    }
    pairs = ", ".join(f"{literal(key)}, {literal(option)}" for key, option in options.items())
    return f"to_json({value}, map({pairs}))"
