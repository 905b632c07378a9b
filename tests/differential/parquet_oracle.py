"""What must become of a Parquet file, as pyarrow reads it; none of our own code."""

import io
import math
import re
import struct
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.differential.expectation import ANY, QUARANTINED, UNPREDICTED, Expected, Row
from tests.differential.parquet_cases import NAMES

_COLUMN_OF = {name: column for column, names in NAMES.items() for name in names}
_RESERVED = {"_source_file": "c_source_file"}
_EPOCH = datetime(1970, 1, 1)
_DAY = 86_400_000_000
_WIDE = Context(prec=100)
# Near 2^63 doubles and whole numbers are hard to tell apart, and either way is loud.
_NEAR = 92 * 10**17


class Misfit(Exception):
    """The column cannot hold the value as it is."""


def expect(spec: Mapping[str, Any], data: bytes, types: Mapping[str, str]) -> Expected:
    """What must be in the table; see ``Oracle``."""
    file = pq.ParquetFile(io.BytesIO(data))
    schema = file.schema_arrow
    names = [name.lower() for name in schema.names]
    old_times = {
        file.schema.column(i).path
        for i in range(len(file.schema.names))
        if file.schema.column(i).physical_type == "INT96"
    }
    groups = file.metadata.num_row_groups
    if groups and file.metadata.row_group(0).column(0).compression == "BROTLI":
        return QUARANTINED
    if len(set(names)) < len(names) or any(_unreadable(f.type, f.name, old_times) for f in schema):
        return QUARANTINED
    try:
        table = file.read()
    except pa.ArrowInvalid:
        # pyarrow fails on some nested columns that it wrote itself.
        return UNPREDICTED
    style = spec.get("schema", {}).get("names", "normalised")
    columns = [
        (_column(name, style, types), field.type, table.column(i))
        for i, (name, field) in enumerate(zip(schema.names, schema, strict=True))
    ]
    rows = []
    lists = [_values(values, kind) for _, kind, values in columns]
    for i in range(table.num_rows):
        values: dict[str, Any] = {}
        rescued: bool | None = False
        for (column, kind, _), of_column in zip(columns, lists, strict=True):
            value = of_column[i]
            if value is None:
                continue
            try:
                values[column] = _fitted(value, kind, types.get(column, ""))
            except Misfit:
                rescued = True
            if values.get(column) is _EITHER:
                values[column] = ANY
                rescued = None if rescued is False else rescued
        rows.append(Row(values, rescued))
    # JSON holds no keys but texts and numbers.
    other = (kind for name, kind, _ in columns if types.get(name) != str(kind))
    return Expected(rows, or_quarantined=any(map(_has_odd_key, other)))


def _has_odd_key(kind: pa.DataType) -> bool:
    if pa.types.is_map(kind) and pa.types.is_binary(kind.key_type):
        return True
    parts = [kind.field(i).type for i in range(kind.num_fields)]
    return any(map(_has_odd_key, parts))


_EITHER = object()


def _column(name: str, style: str, types: Mapping[str, str]) -> str:
    if style == "normalised":
        return _COLUMN_OF[name] if name in _COLUMN_OF else name.lower()
    name = _RESERVED.get(name, name)
    by_lower = {column.lower(): column for column in types}
    return by_lower.get(name.lower(), name)


def _unreadable(kind: pa.DataType, path: str, old_times: set[str], nested: bool = False) -> bool:
    t = pa.types
    if t.is_time(kind) or kind == pa.float16() or (t.is_decimal(kind) and kind.precision > 38):
        return True
    if nested and t.is_timestamp(kind):
        return kind.unit == "ns" or bool(old_times)
    if t.is_nested(kind):
        parts = [kind.field(i) for i in range(kind.num_fields)]
        return any(_unreadable(f.type, f"{path}.{f.name}", old_times, True) for f in parts)
    return False


def _values(column: pa.ChunkedArray, kind: pa.DataType) -> list[Any]:
    """Python values; of times the number in nanoseconds, of days that of days."""
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type).to_pylist()
    if pa.types.is_timestamp(kind):
        factor = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit]
        return [None if v is None else v * factor for v in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_date(kind):
        return column.cast(pa.date32()).cast(pa.int32()).to_pylist()
    return column.to_pylist()


def _fitted(value: Any, kind: pa.DataType, target: str) -> Any:
    """The value as the column's type has it.

    Raises:
        Misfit: It cannot hold it.
    """
    t = pa.types
    kind = kind.value_type if t.is_dictionary(kind) else kind
    target = target.replace("large_", "")
    if t.is_nested(kind):
        if target == "string":
            return ANY
        if _plain(kind) == re.sub(r" not null| \('[^']*'\)", "", target):
            return value
        raise Misfit
    if t.is_integer(kind):
        return _number(Decimal(value), target, str(value))
    if t.is_floating(kind):
        return _floating(value, kind, target)
    if t.is_decimal(kind):
        return _number(value, target, format(value, "f"))
    if t.is_boolean(kind):
        if target == "string":
            return str(value).lower()
        return _if(target == "bool", value)
    if t.is_timestamp(kind):
        return _time(value, target)
    if t.is_date(kind):
        if target == "string":
            return (_EPOCH + timedelta(days=value)).date().isoformat()
        return _time(value * _DAY * 1000, target)
    if t.is_string(kind) or t.is_large_string(kind):
        if target == "binary":
            return value.encode()
        return value if target == "string" else _EITHER
    if target == "string":
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Misfit from None
    # Iceberg's own reader shows bytes of a fixed length as such.
    return _if(target.startswith(("binary", "fixed")), value)


def _if(fits: bool, value: Any) -> Any:
    if not fits:
        raise Misfit
    return value


def _number(value: Decimal, target: str, text: str) -> Any:
    if target == "string":
        return text
    if target in ("int32", "int64"):
        bits = int(target[3:])
        fits = value == _WIDE.to_integral_value(value) and -(2 ** (bits - 1)) <= value < 2 ** (
            bits - 1
        )
        return _if(fits, int(value) if fits else None)
    if target in ("float", "double"):
        if _WIDE.abs(value) >= _NEAR or value != _WIDE.to_integral_value(value):
            return _EITHER
        number = float(value)
        if target == "float":
            number = struct.unpack("f", struct.pack("f", number))[0]
        return _if(Decimal(number) == value, number)
    shape = re.fullmatch(r"decimal128\((\d+), (\d+)\)", target)
    if shape is None:
        raise Misfit
    precision, scale = int(shape[1]), int(shape[2])
    scaled = _WIDE.scaleb(value, scale)
    fits = scaled == _WIDE.to_integral_value(scaled) and _WIDE.abs(scaled) < 10**precision
    return _if(fits, value)


def _floating(value: float, kind: pa.DataType, target: str) -> Any:
    if target == "string":
        return ANY
    if target == "double":
        return value
    if target == "float":
        if kind == pa.float32() or math.isnan(value) or math.isinf(value):
            return value
        try:
            narrow = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            raise Misfit from None
        return _if(narrow == value, value)
    if target.startswith("decimal"):
        return _EITHER
    if target in ("int32", "int64"):
        if math.isnan(value) or math.isinf(value) or not value.is_integer():
            raise Misfit
        if value == 0 and math.copysign(1, value) < 0:
            raise Misfit
        if abs(value) >= _NEAR:
            return _EITHER if target == "int64" else _if(False, None)
        return _number(Decimal(int(value)), target, "")
    raise Misfit


def _time(nanos: int, target: str) -> Any:
    micros, rest = divmod(nanos, 1000)
    if rest:
        raise Misfit
    if target == "string":
        return ANY
    moment = _EPOCH + timedelta(microseconds=micros)
    if target.startswith("timestamp[us"):
        return moment.replace(tzinfo=timezone.utc) if "tz=" in target else moment
    if target.startswith("date"):
        return _if(micros % _DAY == 0, date(moment.year, moment.month, moment.day))
    raise Misfit


def _plain(kind: pa.DataType) -> str:
    """A nested type as pyiceberg shows it."""
    t = pa.types
    if t.is_list(kind) or t.is_large_list(kind):
        return f"list<element: {_plain(kind.value_type)}>"
    if t.is_map(kind):
        return f"map<{_plain(kind.key_type)}, {_plain(kind.item_type)}>"
    if t.is_struct(kind):
        return "struct<" + ", ".join(f"{f.name}: {_plain(f.type)}" for f in kind) + ">"
    return str(kind).replace("large_", "").replace("date32[day]", "date32[day]")
