"""JSON lines give the same rows, whether Python workers take them apart or Spark does."""

import json
import sys
from pathlib import Path

import pytest

from autoloader_dagster.formats.json.ordinary import can_take_apart
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.spark.session import connect
from tests.fixtures.json_lines import lines_apart
from tests.fixtures.lake import Lake
from tests.fixtures.readable import looks_of, readable_of

_TYPES = (
    "bigint", "int", "boolean", "double", "decimal(12,2)", "date", "timestamp", "string",
)  # fmt: skip
_VALUES = (
    "1", "-5", "1.10", "1e3", "1E400", "-0", "0.1234567890123456789", str(2**31), str(2**63),
    "9" * 40, "true", "false", "null", '""', '"x"', '" 2 "', '"1"', '"true"', '"1.5"', '"NaN"',
    '"2026-01-02"', '"2026-01-02T03:04:05Z"', '"\\u00fc \\ud83d\\ude00 \\\\uD"', '"ü, \\": x"',
    "{}", "[]",
    '{"b": 1.50, "a": [1, "x, y"]}', '[1,{"ü": null}, 1e5]', '["\\u00fc", "\U0001f600"]',
    '{"x": 1, "x": 2}', '"\\ud800"', "01", "NaN",
)  # fmt: skip
_LINES = (
    '{"n": 1} {"n": 2}', '{"n": 1}{"n": 2}', '[{"n": 3}, 4]', '{"n": 5,"n": 6}', '{"n": 7', "8",
    '{"n": 9, "t0": 1, "extra": 1.10}', '{"n": 10, "t7": 1.10, "t0": "no", "t3": 2.50}', " ", "\t",
    ",",
    '{"n": 11}\t', '\ufeff{"n": 12}', "{}", '{"new\\nline": 1}', '{"N": 13}', '{"t7": {}, "n": 14}',
)  # fmt: skip


def _files(folder: Path) -> int:
    """Each value below each type, and odd lines, beside ordinary ones; the number of lines."""
    typed = [
        "{" + ", ".join(f'"t{i}": {value}' for i in range(len(_TYPES))) + f', "n": {100 + n}' + "}"
        for n, value in enumerate(_VALUES)
    ]
    ordinary = [json.dumps({"n": n, "t3": n / 4, "t7": f"text {n}"}) for n in range(200, 220)]
    texts = {
        "ordinary": ordinary,
        "compact": [line.replace(" ", "") for line in ordinary],
        "values": [*ordinary[:10], *typed, *ordinary[10:]],
        "lines": [*ordinary, *_LINES, *ordinary],
    }
    for name, lines in texts.items():
        (folder / f"{name}.json").write_bytes("\n".join([*lines, ""]).encode())
    return sum(map(len, texts.values()))


def _ingestion(lake: Lake, folder: Path, name: str) -> Ingestion:
    hints = {f"t{i}": sql_type for i, sql_type in enumerate(_TYPES)} | {"n": "bigint"}
    return lake.ingestion(
        name,
        source={"type": "local", "url": str(folder)},
        format={"type": "json", "options": {"layout": "lines"}},
        schema={"hints": hints},
        errors={"max_bad_rows": 1000},
    )


def _rows(lake: Lake, name: str) -> list[str]:
    """File, ``_rescued`` and all values of each row as text, in one order."""
    table = lake.table(name)
    names = sorted({"_source_file", "_rescued", "n", "new_line", *(f"t{i}" for i in range(8))})
    columns = [table[column].to_pylist() for column in names if column in table.schema.names]
    return sorted(map(repr, zip(*columns, strict=True)))


def test_the_rows_are_those_that_spark_makes_alone(lake: Lake) -> None:
    folder = lake.folder("lines")
    lines = _files(folder)
    lake.load(_ingestion(lake, folder, "alone"))
    with lines_apart():
        lake.load(_ingestion(lake, folder, "apart"))

    alone, apart = _rows(lake, "alone"), _rows(lake, "apart")
    assert len(alone) >= lines - 2
    assert apart == alone


def _plan(lake: Lake, name: str) -> str:
    ingestion = _ingestion(lake, lake.root / "lines", name)
    readable = readable_of(ingestion, looks_of(ingestion))
    with ingestion.connect() as spark:
        frames = ingestion.lakehouse.frames(spark, ingestion.spec, {})
        return frames.frame(readable, [Column("n", "bigint")], "batch")._explain_string()


def test_workers_are_used_where_spark_has_some_and_there_is_much_to_read(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    _files(lake.folder("lines"))
    with connect(lake.settings) as spark:
        assert can_take_apart(spark)
    assert "MapInArrow" not in _plan(lake, "little")
    with lines_apart():
        assert "MapInArrow" in _plan(lake, "much")
        # The server's workers run the Python that started it, and this client says it is another.
        monkeypatch.setattr(sys, "version_info", (3, 2, 0, "final", 0))
        assert "MapInArrow" not in _plan(lake, "other_python")
