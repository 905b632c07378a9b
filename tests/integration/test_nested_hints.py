"""Columns whose hint is a struct, an array or a map: nothing vanishes and nothing changes."""

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

from autoloader_dagster.spark.session import connect
from tests.fixtures.lake import Lake

HINTS = {
    "s": 'struct<a: bigint, `b c`: string, D: struct<e: decimal(6,2), `q"x`: date>>',
    "xs": "array<bigint>",
    "objects": "array<struct<a: int, t: timestamp>>",
    "m": "map<string, double>",
    "days": "map<date, array<boolean>>",
}
_AT = datetime(2024, 1, 5, 10, tzinfo=timezone.utc)


def _struct(a: Any = None, b: Any = None, d: Any = None) -> dict[str, Any]:
    return {"a": a, "b c": b, "D": d}


# Column, the value as it is written, the value in the table (None: it is in _rescued as written).
CASES: tuple[tuple[str, str, Any], ...] = (
    ("s", '{"a":1,"b c":"x","D":{"e":1.50,"q\\"x":"2024-01-05"}}',
     _struct(1, "x", {"e": Decimal("1.50"), 'q"x': date(2024, 1, 5)})),
    ("s", '{"D":{},"a":null}', _struct(d={"e": None, 'q"x': None})),
    ("s", "{}", _struct()),
    ("s", '{"b c":{"z":[1.10,1e400],"y":"é \\"1.0\\""}}',
     _struct(b='{"y":"é \\"1.0\\"","z":[1.10,1e400]}')),
    ("s", '{"b c":123456789012345678901234567890123456789012.10}',
     _struct(b="123456789012345678901234567890123456789012.10")),
    # A field that the type does not have, also in a struct inside, by case, and with null.
    ("s", '{"a":1,"extra":2}', None),
    ("s", '{"A":1}', None),
    ("s", '{"a":1,"none":null}', None),
    ("s", '{"D":{"e":1,"f":2}}', None),
    # Another type, a fraction, an overflow, too many digits.
    ("s", '{"a":"x"}', None),
    ("s", '{"a":6.7}', None),
    ("s", '{"a":9223372036854775808}', None),
    ("s", '{"a":true}', None),
    ("s", '{"a":{"b":1}}', None),
    ("s", '{"D":{"e":1.505}}', None),
    ("s", '{"D":{"e":12345}}', None),
    ("s", '{"D":{"q\\"x":"2024-01"}}', None),
    ("s", '{"D":[]}', None),
    ("s", "[1]", None),
    ("s", "5", None),
    # Text in which a number stands is that number, as in a column of that type.
    ("s", '{"a":"3"}', _struct(3)),
    ("xs", "[1,null,3]", [1, None, 3]),
    ("xs", "[]", []),
    ("xs", "[1,2.5]", None),
    ("xs", "[1,9223372036854775808]", None),
    ("xs", "[[1]]", None),
    ("xs", '{"0":1}', None),
    ("xs", "1", None),
    ("objects", '[{"a":1,"t":"2024-01-05T10:00:00Z"},{},null]',
     [{"a": 1, "t": _AT}, {"a": None, "t": None}, None]),
    ("objects", '[{"a":1},{"a":2,"b":3}]', None),
    ("objects", '[{"a":1},{"a":2147483648}]', None),
    ("objects", '[{"a":1},5]', None),
    ("objects", '[{"t":"2024-01-05T10:00:00.1234567Z"}]', None),
    ("m", '{"x":1.10,"y":1e5,"z":null}', [("x", 1.1), ("y", 1e5), ("z", None)]),
    ("m", "{}", []),
    ("m", '{"x":0.1234567890123456789}', None),
    ("m", '{"x":1e400}', None),
    ("m", '{"x":{"y":1}}', None),
    ("m", "[]", None),
    ("days", '{"2024-01-05":[true,null],"2024-01-06":null}',
     [(date(2024, 1, 5), [True, None]), (date(2024, 1, 6), None)]),
    ("days", '{"today":[]}', None),
    ("days", '{"2024-01-05":[1]}', None),
    # Two keys that are one date.
    ("days", '{"2024-01-05":[],"2024-1-5":[]}', None),
)  # fmt: skip


def _load(lake: Lake, kind: str) -> None:
    hints = {"id": "bigint", **HINTS}
    ingestion = lake.ingestion("nested", format={"type": kind}, schema={"hints": hints})
    lake.load(ingestion)
    assert [f.reason for f in lake.store.files.find(ingestion.id)] == [None]


def _found(lake: Lake, name: str) -> dict[int, tuple[dict[str, Any], dict[str, Any]]]:
    """By row: the columns that have a value, and what is in ``_rescued``."""
    rows = {}
    for row in lake.table(name).to_pylist():
        # pyiceberg reads a null list of structs as an empty list.
        values = {name: row[name] for name in HINTS if row[name] is not None}
        if values.get("objects") == []:
            del values["objects"]
        rows[row["id"]] = (values, json.loads(row["_rescued"] or "{}", parse_float=str))
    return rows


def test_json_values_that_a_nested_type_does_not_hold_whole_are_rescued(lake: Lake) -> None:
    lines = [f'{{"id":{i},"{column}":{text}}}' for i, (column, text, _) in enumerate(CASES)]
    (lake.folder() / "a.json").write_text("\n".join(lines))

    _load(lake, "json")

    expected = {}
    for i, (column, text, value) in enumerate(CASES):
        written = json.loads(text, parse_float=str)
        expected[i] = ({column: value}, {}) if value is not None else ({}, {column: written})
    assert _found(lake, "nested") == expected


def test_csv_cells_that_a_nested_type_does_not_hold_whole_are_rescued(lake: Lake) -> None:
    more = tuple(
        ("xs", text, None)
        for text in ("[1] x", "[1]]", "[1],[2]", "[1", "x", "null", "[1],5],[2", '[1,"\\ud800"]')
    )
    cases = CASES + more + (("xs", " [1, 2] ", [1, 2]),)
    lines = ["id," + ",".join(HINTS)]
    for i, (column, text, _) in enumerate(cases):
        cells = ['"' + text.replace('"', '""') + '"' if name == column else "" for name in HINTS]
        lines.append(f"{i}," + ",".join(cells))
    (lake.folder() / "a.csv").write_text("\n".join(lines) + "\n")

    _load(lake, "csv")

    expected = {
        i: ({column: value}, {}) if value is not None else ({}, {column: text})
        for i, (column, text, value) in enumerate(cases)
    }
    assert _found(lake, "nested") == expected


def test_a_variant_holds_a_value_whole_or_not_at_all(lake: Lake) -> None:
    texts = [
        '{"b":[1.10,"1.0, x",null],"a":12.50}', '"text"', "7", "false", "[]",
        '{"a":1e400}', "[1e3]", "-0", "1234567890123456789012345678901234567890.5",
    ]  # fmt: skip
    for kind in ("json", "csv"):
        name = f"variant_{kind}"
        lines = [f'{{"id":{i},"v":{text}}}' for i, text in enumerate(texts)]
        if kind == "csv":
            cells = [text.replace('"', '""') for text in texts]
            lines = ["id,v", *(f'{i},"{cell}"' for i, cell in enumerate(cells))]
        (lake.folder(kind) / f"a.{kind}").write_text("\n".join(lines) + "\n")
        ingestion = lake.ingestion(
            name,
            source={"type": "local", "url": str(lake.folder(kind))},
            format={"type": kind},
            schema={"hints": {"id": "bigint", "v": "variant"}},
            table={
                "name": f"lake.{lake.namespace}.{name}",
                "properties": {"format-version": "3"},
            },
        )

        lake.load(ingestion)

        # pyiceberg does not read variants yet.
        with connect(lake.settings) as spark:
            read = f"select id, to_json(v), _rescued from lake.{lake.namespace}.{name} order by id"
            rows = [tuple(row) for row in spark.sql(read).collect()]
        held = ['{"a":12.5,"b":[1.1,"1.0, x",null]}', *texts[1:5]]
        assert [row[1] for row in rows] == [*held, None, None, None, None]
        assert [row[2] is None for row in rows] == [True] * 5 + [False] * 4
        left = [json.loads(row[2], parse_float=str, parse_int=str)["v"] for row in rows[5:]]
        as_json = {"a": "1e400"}, ["1e3"], *texts[7:]
        assert left == (list(as_json) if kind == "json" else texts[5:])
