"""Groups of Parquet files: types, nesting, layouts and names of every kind.

Hypothesis draws the values; how they are put together into files is chosen by the same seed.
"""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from tests.differential.drawing import drawn
from tests.differential.harness import Group

# Names in the files of each column; those of one column differ by case only.
NAMES = {
    "id": ("id", "ID"),
    "a_b": ("a b",),
    "x_y_z": ("x.y`z", "X.Y`Z"),
    "gr_e": ("Größe",),
    "source_file": ("_source_file",),
    "metadata": ("_metadata",),
    "uri": ("_uri",),
    "c_1st": ("1st",),
    "value": ("value", "Value"),
    "p0": ("_p0",),
    "quote": ("quote'\"\\",),
    "env_home": ("${env:HOME}",),
}
_EPOCH = datetime(1970, 1, 1)
_WIDE = Context(prec=100)
_INTS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
         pa.uint64())  # fmt: skip
_FLOATS = (pa.float32(), pa.float64())
_DECIMALS = (pa.decimal128(5, 2), pa.decimal128(18, 0), pa.decimal128(38, 10), pa.decimal128(3, 3))
_TIMES = (
    pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "UTC"),
    pa.timestamp("ns", "UTC"), pa.timestamp("ms", "Europe/Berlin"), pa.date32(),
)  # fmt: skip
_TEXTS = (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()))
_BYTES = (pa.binary(), pa.binary(4))
_LEAVES = (pa.int32(), pa.int64(), pa.string(), pa.float64(), pa.bool_(), pa.date32(),
           pa.timestamp("us"), pa.decimal128(10, 2), pa.binary())  # fmt: skip
_UNREADABLE = (pa.time32("ms"), pa.time64("us"), pa.float16(), pa.decimal256(50, 2))
_FAMILIES: tuple[Sequence[pa.DataType], ...] = (
    _INTS, _INTS + _FLOATS + _DECIMALS, _FLOATS, _DECIMALS, _TIMES, _TEXTS, _BYTES + _TEXTS,
    (pa.bool_(),),
)  # fmt: skip
_LONGS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, 1, -1, 2**24 + 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1]),
)
_DOUBLES = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.sampled_from([0.0, -0.0, 0.1, 1.5, 2.0**63, -(2.0**63), 1e15, 16777217.0, 1e300]),
)
_MICROS = st.one_of(
    st.integers(-9_000_000_000_000_000, 9_000_000_000_000_000),
    st.sampled_from([0, -1, 1, 999, -86_400_000_000, 86_400_000_000 * 19_000]),
)
# The first is of the year 1.
_DAYS = st.one_of(st.integers(-719_162, 2_932_896), st.integers(-30_000, 60_000))
_STRINGS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["", "5", "007", "1.50", "true", "2024-01-01", "NaN", "null", "abc", "-0"]),
)
_OPTIONS: dict[str, Sequence[Any]] = {
    "compression": ("none", "snappy", "gzip", "zstd", "lz4", "brotli"),
    "use_dictionary": (True, False),
    "data_page_version": ("1.0", "2.0"),
    "data_page_size": (64, 2**20),
    "write_statistics": (True, False),
    "version": ("2.4", "2.6", "2.6"),
    "store_schema": (True, False),
    "use_deprecated_int96_timestamps": (False, False, False, True),
    "write_page_index": (False, True),
}


class Values:
    """Values of each kind, drawn once for a group."""

    def __init__(self, rng: random.Random, seed: int) -> None:
        self._rng = rng
        self._of = {
            name: drawn(strategy, 150, seed)
            for name, strategy in (
                ("long", _LONGS), ("double", _DOUBLES), ("micros", _MICROS), ("day", _DAYS),
                ("text", _STRINGS), ("bytes", st.binary(max_size=8)),
            )
        }  # fmt: skip

    def array(self, kind: pa.DataType, count: int) -> pa.Array:
        """Values of a type, some of them null."""
        if pa.types.is_dictionary(kind):
            return self.array(kind.value_type, count).dictionary_encode()
        nulls = self._rng.choice([0, 0.2, 0.2, 1])
        values = [None if self._rng.random() < nulls else self.one(kind) for _ in range(count)]
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            width = pa.int32() if pa.types.is_date(kind) else pa.int64()
            return pa.array(values, width).cast(kind)
        return pa.array(values, kind)

    def one(self, kind: pa.DataType, nested: bool = False) -> Any:
        """A value as ``pa.array`` takes it; of times at the top the number."""
        rng, types = self._rng, pa.types
        if types.is_integer(kind):
            value, bits = rng.choice(self._of["long"]), kind.bit_width
            low = 0 if types.is_unsigned_integer(kind) else -(2 ** (bits - 1))
            high = 2**bits - 1 + low
            return value if low <= value <= high else low + value % (high - low + 1)
        if types.is_floating(kind):
            return rng.choice(self._of["double"]) if kind != pa.float16() else 1.5
        if types.is_decimal(kind):
            digits = rng.choice(self._of["long"]) % 10 ** rng.randint(1, kind.precision)
            return _WIDE.scaleb(Decimal(rng.choice([1, -1]) * digits), -kind.scale)
        if types.is_timestamp(kind):
            micros = rng.choice(self._of["micros"])
            if nested:
                return _EPOCH + timedelta(microseconds=micros)
            if kind.unit == "ns":
                return micros * 1000 + rng.choice([0, 0, 0, 1, 999])
            return micros if kind.unit == "us" else micros // 1000
        if types.is_date(kind):
            day = rng.choice(self._of["day"])
            return (_EPOCH + timedelta(days=day)).date() if nested else day
        if types.is_time(kind):
            return 5
        if types.is_boolean(kind):
            return rng.random() < 0.5
        if types.is_fixed_size_binary(kind):
            return (rng.choice(self._of["bytes"]) + b"\0\xff\0\xff")[: kind.byte_width]
        if types.is_binary(kind):
            return rng.choice(self._of["bytes"])
        return self._nested(kind)

    def _nested(self, kind: pa.DataType) -> Any:
        rng, types = self._rng, pa.types
        if types.is_list(kind):
            return [self._part(kind.value_type) for _ in range(rng.randrange(4))]
        if types.is_struct(kind):
            return {f.name: self._part(f.type) for f in kind}
        if types.is_map(kind):
            keys = {self.one(kind.key_type, nested=True): None for _ in range(rng.randrange(3))}
            return [(key, self._part(kind.item_type)) for key in keys]
        return rng.choice(self._of["text"]) if not types.is_null(kind) else None

    def _part(self, kind: pa.DataType) -> Any:
        return None if self._rng.random() < 0.2 else self.one(kind, nested=True)


def _nested_type(rng: random.Random, depth: int = 3) -> pa.DataType:
    if depth == 0 or rng.random() < 0.4:
        return rng.choice(_LEAVES)
    within = [_nested_type(rng, depth - 1) for _ in range(3)]
    roll = rng.random()
    if roll < 0.35:
        return pa.list_(within[0])
    if roll < 0.6:
        return pa.map_(rng.choice([pa.string(), pa.int32(), pa.binary()]), within[0])
    names = rng.sample(["a", "B", "c d", "x.y", "_file", "`", "${x}"], 3)
    return pa.struct(list(zip(names, within, strict=True)))


@dataclass(frozen=True)
class Layout:
    """The columns of a file.

    Attributes:
        columns: Name and type, in their order.
        twice: Whether the first comes again, with another case.
    """

    columns: Sequence[tuple[str, pa.DataType]]
    twice: bool


def _layout(rng: random.Random, plan: dict[str, pa.DataType]) -> Layout:
    columns: list[tuple[str, pa.DataType]] = []
    for column, kind in plan.items():
        if rng.random() < 0.15:
            continue
        roll = rng.random()
        if roll < 0.03:
            kind = rng.choice([k for family in _FAMILIES for k in family])
        elif roll < 0.05:
            kind = pa.null()
        elif roll < 0.06:
            kind = rng.choice(_UNREADABLE)
        columns.append((rng.choice(NAMES[column]), kind))
    columns = columns or [("id", pa.int64())]
    return Layout(rng.sample(columns, len(columns)), rng.random() < 0.01)


def _file(rng: random.Random, values: Values, layout: Layout) -> bytes:
    rows = rng.choice([0, 1, 2, 5, 40])
    names = [name for name, _ in layout.columns]
    columns = [
        pa.nulls(rows) if pa.types.is_null(kind) else values.array(kind, rows)
        for _, kind in layout.columns
    ]
    if layout.twice:
        names.append(names[0].swapcase())
        columns.append(columns[0])
    table = pa.table(columns, names)
    options = {name: rng.choice(choices) for name, choices in _OPTIONS.items()}
    if any(getattr(kind, "unit", "") == "ns" for _, kind in layout.columns):
        # Older versions have no nanoseconds, and pyarrow refuses to cut them off.
        options["version"] = "2.6"
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        start = 0
        while start < rows or (start == 0 and rng.random() < 0.5):
            size = rng.choice([1, 7, rows or 1])
            writer.write_table(table.slice(start, size))
            start += size
            if rng.random() < 0.1:
                writer.write_table(table.slice(0, 0))
    return sink.getvalue()


def group(seed: int, files: int, layouts: int = 40) -> Group:
    """A group by its seed.

    Args:
        seed: Makes the same group again.
        files: How many files.
        layouts: How many sets of columns they have at most.
    """
    rng = random.Random(seed)
    values = Values(rng, seed)
    plan: dict[str, Sequence[pa.DataType]] = {}
    for column in rng.sample(list(NAMES), rng.randint(1, 7)):
        # Few types a column, for each mixture of types is a job of its own.
        family = rng.choice(_FAMILIES)
        chosen = rng.sample(family, min(len(family), rng.choice([1, 1, 2])))
        plan[column] = [_nested_type(rng)] if rng.random() < 0.25 else chosen
    schemas = [{column: rng.choice(kinds) for column, kinds in plan.items()} for _ in range(3)]
    # Every layout is a reader of its own, so many files share one.
    kinds_of_file = [_layout(rng, rng.choice(schemas)) for _ in range(layouts)]
    spec: dict[str, Any] = {"format": {"type": "parquet"}}
    if rng.random() < 0.3:
        spec["schema"] = {"names": "original"}
    made = [_file(rng, values, rng.choice(kinds_of_file)) for _ in range(files)]
    return Group("parquet", spec, made, ".parquet", f"parquet seed {seed}")


def instant(micros: int) -> datetime:
    """The moment of microseconds since 1970."""
    return _EPOCH.replace(tzinfo=timezone.utc) + timedelta(microseconds=micros)
