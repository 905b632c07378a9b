"""SQL expressions that type a string cell, or say that it does not fit.

The typing is ours alone: Spark's readers, pyarrow and others each accept something else, and a
value that does not fit must be seen, not become a null. Every expression gives null for null.
"""

import re
from collections.abc import Sequence

# Types that Spark's CSV reader parses by itself exactly as strictly as ``typed`` does, or more
# strictly (then the cell is looked at again). Reading them typed is what makes a big load fast.
PARSED_BY_READER = frozenset(
    {"string", "tinyint", "smallint", "int", "bigint", "float", "double", "boolean"}
)

_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")


def quoted(name: str) -> str:
    """A column name as a SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A text as a SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def is_nested(sql_type: str) -> bool:
    """Whether this is a struct, array, map or variant type."""
    return sql_type.startswith(("struct", "array", "map", "variant"))


def typed(raw: str, sql_type: str, timestamp_formats: Sequence[str] = ()) -> str:
    """A SQL expression for the string expression ``raw`` as ``sql_type``; null if it does not fit.

    Stricter than ``try_cast`` where that would lose something: a fraction cut off a decimal, a
    time cut off a date, a bare time that becomes today's timestamp, 'yes' for true.
    """
    if sql_type == "string":
        return raw
    if sql_type in ("timestamp", "timestamp_ntz"):
        tries = [f"if(substring({raw}, 5, 1) = '-', try_cast({raw} as {sql_type}), null)"]
        tries += [
            f"cast(try_to_timestamp({raw}, {literal(fmt)}) as {sql_type})"
            for fmt in timestamp_formats
        ]
        return f"coalesce({', '.join(tries)})" if len(tries) > 1 else tries[0]
    if sql_type == "date":
        looks_right = f"length({raw}) <= 10 and substring({raw}, 5, 1) = '-'"
        return f"if({looks_right}, try_cast({raw} as date), null)"
    if sql_type == "boolean":
        return f"if(lower({raw}) in ('true', 'false'), try_cast({raw} as boolean), null)"
    decimal = _DECIMAL.fullmatch(sql_type)
    if decimal:
        fits = rf"^[+-]?[0-9]*([.][0-9]{{0,{decimal[2]}}}0*)?$"
        return f"if({raw} rlike {literal(fits)}, try_cast({raw} as {sql_type}), null)"
    if is_nested(sql_type):
        if sql_type == "variant":
            return f"try_parse_json({raw})"
        return f"from_json({raw}, {literal(sql_type)})"
    return f"try_cast({raw} as {sql_type})"


def same_value(value: str, source_type: str, sql_type: str) -> str:
    """A SQL expression for a typed value as another type; null unless it comes back the same."""
    cast = f"try_cast({value} as {sql_type})"
    if sql_type == "string":
        return cast
    return f"if(try_cast({cast} as {source_type}) = {value}, {cast}, null)"
