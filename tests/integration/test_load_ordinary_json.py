"""Ordinary JSON lines, which are read in a quicker way, give the rows of the careful way."""

import json
from typing import Any

from autoloader_dagster.formats.content import HEAD_BYTES
from autoloader_dagster.formats.json.ordinary import Ordinary
from autoloader_dagster.spark.session import connect
from tests.fixtures.lake import Lake

_TOKENS = (
    "1", "0", "-0", "-5", "2147483648", "9223372036854775808", "1" * 38, "1" * 40, "7" * 400,
    "1.0", "1.5", "1.50", "1.10", "-0.0", "0.0", "-0.50", "0.1", "0.0001", "12345678.9", "100.00",
    "1.7976931348623157e308", "1e5", "1E3", "1e-5", "1e400", "1.5e3", "9007199254740993.0",
    "0.1000000000000000055511151231257827", "123456789012345.67", "1234567890123456.7",
    "0.30000000000000004", "2.0E-3", "123456789.1234",
    '"1"', '"0"', '"-0"', '"1.0"', '"1.50"', '"1.08"', '"10.1.2.7"', '"1e5"', '"1.5E3"', '" 2 "',
    '""', '"x"', '"NaN"', '"Infinity"', '"-0.0"', '"a,-0,b"', '"a: 1e5, b"', '"{\\"a\\":1.50}"',
    '"}{"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\U0001f600"', '"a\\\\b"', '"\\u0001"',
    '"\\"t7\\":1.5"', '"[1.50]"', "true", "false", '"true"', "null", "NaN", "tru",
    "{}", "[]", '{"a":1}', '{"a":1.50}', '{"a":-0}', '{"a":1e5}', '{"b":2,"a":1}', '{"a":1,"a":2}',
    '{"a":"\U0001f600"}', '{"a":"\\u00e9"}', '{"t7":1.5}', "[1,2.50]", '["x",null]', "[-0.0]",
    '"2026-01-02"', '"2026-01-02T03:04:05.120Z"', '"2026-01-02 03:04:05.5"', "20260102",
)  # fmt: skip
_TYPES = (
    "bigint", "int", "boolean", "double", "float", "decimal(12,2)", "date", "timestamp", "string",
)  # fmt: skip
# Other texts than that of one sound record with known keys; all are below the same number.
_OTHERS = (
    '{"n":%d,"t0":1,"t0":2}', '{"n":%d} {"n":%d}', '{"n":%d}, {"n":%d}', '{"n":%d,"t8":"x"} x}',
    '{"n":%d,"t8":1.50,"t\\u0038":2}', '{"n":%d,"\\u0074\\u0038":1.50}', '{"n":%d,"T8":"x"}',
    '{"t8":"x","n":%d}', '{ "n" : %d , "t3" : 1.50 , "t8" : "x" }\t', '{"n":%d,"t8":"x"',
    '{"n":%d,"t8":{"a":1}} {"n":%d}', '{"n":%d,"t8":{"a":1}}, "x"', '\ufeff{"n":%d}', "%d", '"%d"',
    '{"n":%d,"t3":1.1000000000000000001,"t4":1.5,"t8":"1.1,"}', '{"n":%d,"t8":"x"}}',
    '{"n":%d,"t3":1.5,"t8":"\\"t3\\":1.5,"}', '{"n":%d,"t9":1,"t8":"x"}',
)  # fmt: skip


def _lines() -> list[str]:
    """Each token in each column, in lines that have nothing else, and lines of other kinds."""
    cells = [(i, token) for token in _TOKENS for i in range(len(_TYPES))]
    lines = [f'{{"n":{n},"t{i}":{token}}}' for n, (i, token) in enumerate(cells)]
    lines += [f'{{"n": {n}, "t{i}": {token}, "t8": null}}' for n, (i, token) in enumerate(cells)]
    return [*lines, *(other.replace("%d", str(n)) for n, other in enumerate(_OTHERS, 10_000))]


def _without_comma(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row whose line was kept as a whole, without the comma at the end of that line."""
    rescued = json.loads(row[-1]) if row[-1] else {}
    if "_row" not in rescued:
        return row
    return (*row[:-1], rescued["_row"].rstrip(","))


def test_an_ordinary_line_gives_the_row_of_the_careful_way(lake: Lake) -> None:
    columns = [f"t{i}" for i in range(len(_TYPES))]
    hints = {"n": "bigint", **dict(zip(columns, _TYPES, strict=True))}
    rows: dict[str, list[tuple[Any, ...]]] = {}
    # A comma at the end of a line is passed over, and no line with one is ordinary.
    for name, end in (("quick", "\n"), ("careful", ",\n")):
        folder = lake.folder(name)
        first = "{" + ",".join(f'"{column}":null' for column in ["n", *columns]) + "}\n"
        # The look reads the beginning and the end, and so knows of no further key.
        padding = f'{{"t8":"{"x" * 1000}"}}\n' * (HEAD_BYTES // 1000 + 1)
        text = first + padding + "".join(f"{line}{end}" for line in _lines()) + padding
        (folder / "a.json").write_text(text, encoding="utf-8")
        ingestion = lake.ingestion(
            name,
            source={"type": "local", "url": str(folder)},
            format={"type": "json", "options": {"layout": "lines"}},
            schema={"hints": hints},
            errors={"max_bad_rows": 10_000},
        )
        outcomes = lake.load(ingestion)
        assert sum(outcome.rows for outcome in outcomes) > len(_lines())
        found = lake.rows(name, "n", *columns, "_rescued")
        of_lines = [row for row in found if row[0] is not None or row[-1]]
        rows[name] = sorted((_without_comma(row) for row in of_lines), key=repr)

    assert len(rows["quick"]) == len(rows["careful"]) > len(_lines())
    for quick, careful in zip(rows["quick"], rows["careful"], strict=True):
        assert repr(quick) == repr(careful)


def test_what_programs_write_each_day_is_ordinary(lake: Lake) -> None:
    types = {"n": "bigint", "x": "double", "at": "timestamp", "s": "string"}
    lines = {
        '{"n":1,"x":10.25,"at":"2026-01-02T03:04:05.120Z","s":"text"}': True,
        '{"n": 1, "x": -0.5, "at": null, "s": "10.1.2.7"}': True,
        '{"s":"a\\"b","x":1.50,"n":0}': True,
        '{"n":1,"s":{"a":["x",1],"b":{}}}': True,
        '{"n":1234567890123456789,"s":7}': True,
        # What does not fit, or that Spark would write otherwise, or is not one sound record.
        '{"n":"x"}': False,
        '{"s":1.50}': False,
        '{"s":{"a":1.50}}': False,
        '{"x":0.1000000000000000055511151231257827}': False,
        '{"x":-0}': False,
        '{"n":1,"y":2}': False,
        '{"n":1,"n":2}': False,
        '{"s":{"a":1,"a":2}}': False,
        '{"n":1} {"n":2}': False,
        '{"n":1}, 2': False,
        "{'n':1}": False,
        '{"s":NaN}': False,
        '{"s":"\\ud83d"}': False,
        '[{"n":1}]': False,
    }
    with connect(lake.settings) as spark:
        frame = spark.createDataFrame([(line,) for line in lines], "value string")
        frame = Ordinary(types, ()).add(frame.selectExpr("value", "value as line"), ["line"])
        found = {row["line"]: row["_fast"] is not None for row in frame.collect()}

    assert found == lines
