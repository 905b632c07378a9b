"""Values that Spark has and Python has not, such as a date of the year 12000.

Spark sends each such value as the text that it writes for it, beside a null; all other values come
as they are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType

Decode = Callable[[Any], Any]

_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Shown:
    """A result whose rows Python can hold.

    Attributes:
        names: The columns' names.
        frame: What to run.
        decode: Makes a row of the result of what the frame gives.
    """

    names: tuple[str, ...]
    frame: "DataFrame"
    decode: Callable[[Any], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A value as Spark sends it: an expression of SQL, and how its value becomes ours."""

    sql: str
    decode: Decode


def showable(frame: "DataFrame") -> Shown:
    """The frame with texts for what Python cannot hold.

    The names of the frame's columns may be repeated. Its rows come in the same order.
    """
    fields = frame.schema.fields
    names = tuple(field.name for field in fields)
    places = [f"`_{place}`" for place in range(len(fields))]
    # The usual value of a plain column comes as it is, because decoding takes longer than reading.
    held = [_held(place, field.dataType) for place, field in zip(places, fields, strict=True)]
    encoded = [
        None if holds else _encoded(place, field.dataType)
        for place, field, holds in zip(places, fields, held, strict=True)
    ]
    if not any(held) and not any(encoded):
        return Shown(names, frame, tuple)
    columns = [
        f"{f'if({holds}, {place}, null)' if holds else each.sql if each else place} as {place}"
        for place, holds, each in zip(places, held, encoded, strict=True)
    ]
    named = frame.toDF(*(f"_{place}" for place in range(len(fields))))
    # Spark casts a struct by the places of its fields.
    cast = named.selectExpr(
        *(
            f"cast({place} as {_by_place(field.dataType).simpleString()}) as {place}"
            if each and _is_nested(field.dataType)
            else place
            for place, each, field in zip(places, encoded, fields, strict=True)
        )
    )
    decoders = [(at, each.decode) for at, each in enumerate(encoded) if each]
    out_of_range = [(at, holds) for at, holds in enumerate(held) if holds]
    if out_of_range:
        all_hold = " and ".join(f"coalesce({holds}, true)" for _, holds in out_of_range)
        texts = ", ".join(
            f"if({holds}, null, cast({places[at]} as string))" for at, holds in out_of_range
        )
        columns.append(f"if({all_hold}, null, array({texts})) as `_texts`")

    def decode(row: Any) -> tuple[Any, ...]:
        texts = row[-1] if out_of_range else None
        values = row[: len(fields)]
        if not decoders and texts is None:
            return values
        decoded = list(values)
        for at, each in decoders:
            decoded[at] = each(decoded[at])
        for (at, _), text in zip(out_of_range, texts or (), strict=False):
            decoded[at] = decoded[at] if text is None else text
        return tuple(decoded)

    return Shown(names, cast.selectExpr(*columns), decode)


def structs_in(kind: "DataType") -> Iterator[list[str]]:
    """The names of the fields of each struct within a type."""
    from pyspark.sql.types import ArrayType, MapType, StructType

    parts: list[DataType] = []
    if isinstance(kind, StructType):
        yield kind.names
        parts = [field.dataType for field in kind.fields]
    elif isinstance(kind, ArrayType):
        parts = [kind.elementType]
    elif isinstance(kind, MapType):
        parts = [kind.keyType, kind.valueType]
    for part in parts:
        yield from structs_in(part)


def _as_it_is(value: Any) -> Any:
    return value


def _encoded(sql: str, kind: "DataType", depth: int = 0) -> _Encoded | None:
    """How a value of a type is sent; None if as it is.

    Args:
        sql: The value.
        kind: Its type.
        depth: In how many functions it is, each of which has a parameter.
    """
    from pyspark.sql import types

    if isinstance(kind, types.YearMonthIntervalType):
        return _Encoded(f"cast({sql} as string)", _as_it_is)
    if holds := _held(sql, kind):
        return _Encoded(
            f"struct(if({holds}, {sql}, null), if({holds}, null, cast({sql} as string)))",
            lambda pair: pair[0] if pair[1] is None else pair[1],
        )
    if isinstance(kind, types.ArrayType):
        return _array(sql, kind, depth)
    if isinstance(kind, types.StructType):
        return _struct(sql, kind, depth)
    if isinstance(kind, types.MapType):
        return _map(sql, kind, depth)
    return None


def _held(sql: str, kind: "DataType") -> str:
    """The condition on which Python holds a value; empty if it holds all of this type."""
    from pyspark.sql import types

    if isinstance(kind, types.DateType):
        return f"{sql} between date'0001-01-01' and date'9999-12-31'"
    if isinstance(kind, types.TimestampNTZType):
        name, (first, last) = "timestamp_ntz", (datetime.min, datetime.max)
    elif isinstance(kind, types.TimestampType):
        name, (first, last) = "timestamp", _local_range()
    else:
        return ""
    return f"{sql} between {_literal(name, first)} and {_literal(name, last)}"


def _is_nested(kind: "DataType") -> bool:
    from pyspark.sql import types

    return isinstance(kind, types.ArrayType | types.MapType | types.StructType)


def _array(sql: str, kind: "Any", depth: int) -> _Encoded | None:
    each = _encoded(f"x{depth}", kind.elementType, depth + 1)
    if each is None:
        return None
    decode = each.decode
    return _Encoded(
        f"transform({sql}, x{depth} -> {each.sql})",
        lambda values: None if values is None else [decode(value) for value in values],
    )


def _struct(sql: str, kind: "Any", depth: int) -> _Encoded | None:
    from pyspark.sql.types import Row

    places = [f"{sql}._{place}" for place in range(len(kind.fields))]
    encoded = [
        _encoded(place, field.dataType, depth)
        for place, field in zip(places, kind.fields, strict=True)
    ]
    fields = [
        each or _Encoded(place, _as_it_is) for each, place in zip(encoded, places, strict=True)
    ]
    row = Row(*kind.names)

    def decode(values: Any) -> Any:
        if values is None:
            return None
        return row(*(field.decode(value) for field, value in zip(fields, values, strict=True)))

    struct = f"struct({', '.join(field.sql for field in fields)})"
    return _Encoded(f"if({sql} is null, null, {struct})", decode)


def _by_place(kind: "DataType") -> "DataType":
    """The type with structs whose fields are ``_0``, ``_1``: their own names may be repeated."""
    from pyspark.sql.types import ArrayType, MapType, StructField, StructType

    if isinstance(kind, ArrayType):
        return ArrayType(_by_place(kind.elementType))
    if isinstance(kind, MapType):
        return MapType(_by_place(kind.keyType), _by_place(kind.valueType))
    if isinstance(kind, StructType):
        return StructType(
            [
                StructField(f"_{place}", _by_place(field.dataType))
                for place, field in enumerate(kind.fields)
            ]
        )
    return kind


def _map(sql: str, kind: "Any", depth: int) -> _Encoded | None:
    key = _encoded(f"x{depth}.key", kind.keyType, depth + 1)
    value = _encoded(f"x{depth}.value", kind.valueType, depth + 1)
    key = key or _Encoded(f"x{depth}.key", _as_it_is)
    value = value or _Encoded(f"x{depth}.value", _as_it_is)

    def decode(entries: Any) -> dict[Any, Any] | None:
        if entries is None:
            return None
        return {_hashable(key.decode(name)): value.decode(each) for name, each in entries}

    return _Encoded(
        f"transform(map_entries({sql}), x{depth} -> struct({key.sql}, {value.sql}))", decode
    )


def _hashable(value: Any) -> Any:
    from pyspark.sql.types import Row

    if isinstance(value, list):
        return tuple(_hashable(each) for each in value)
    names = getattr(value, "__fields__", None)
    return value if names is None else Row(*names)(*map(_hashable, value))


def _local_range() -> tuple[datetime, datetime]:
    """The first and the last moment that Python has in the time zone of this process, in UTC."""
    first = datetime.min.replace(tzinfo=timezone.utc)
    last = datetime.max.replace(tzinfo=timezone.utc)
    behind = (first + _A_DAY).astimezone().utcoffset() or timedelta()
    ahead = (last - _A_DAY).astimezone().utcoffset() or timedelta()
    return first + max(timedelta(), -behind), last - max(timedelta(), ahead)


def _literal(kind: str, moment: datetime) -> str:
    zone = "Z" if moment.tzinfo else ""
    return f"{kind}'{moment.replace(tzinfo=None).isoformat(sep=' ')}{zone}'"
