"""A compact document, which the look proves sound, and the same with blanks give the same rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from autoloader_dagster.spark.session import connect
from tests.fixtures.lake import Lake

_VALUES = (
    1, "1", "x", "", " 2 ", True, False, "true", None, {}, {"a": 1}, {"b": "ü\"\\ \u0001"}, [], [1],
    ["x", None, {"a": []}], 2**31, 2**63, 10**30, -5, "2026-01-02", "2026-01-02T03:04:05Z", "NaN",
    "1.5", "-0", "0x1", "null", "[1]", '{"a":1}',
)  # fmt: skip
_TYPES = (
    "bigint", "int", "boolean", "double", "decimal(12,2)", "date", "timestamp", "string",
    "struct<a: bigint>", "array<bigint>", "map<string,bigint>", "variant",
)  # fmt: skip
_ODD_KEYS = ("", "a.b", "x[0]", 'quo"te', "back\\slash", "`tick`", "new\nline", "_metadata", "é")


def _records() -> list[dict[str, Any]]:
    """Each value below each type, and keys that need care."""
    typed = [{f"t{i}": value for i in range(len(_TYPES))} for value in _VALUES]
    odd = [dict.fromkeys(_ODD_KEYS, value) for value in ("text", 1, None, [1])]
    return [{"n": number, **record} for number, record in enumerate([*typed, *odd, {}])]


def _rows(lake: Lake, table: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each file, in order: number, ``_rescued``, and all values as JSON."""
    # Not by the independent reader, which reads no variants yet.
    with connect(lake.settings) as spark:
        found = spark.sql(
            "select _source_file, n, _rescued, to_json(struct(* except "
            "(_rescued, _source_file, _source_modified_at, _batch_id, _partition_key))) "
            f"from {table} order by n"
        ).collect()
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for file, *values in found:
        rows.setdefault(Path(file).name, []).append(tuple(values))
    return rows


@pytest.mark.parametrize("record_path", [None, "Records", "data.items"])
def test_a_compact_document_gives_the_rows_of_the_same_with_blanks(
    lake: Lake, record_path: str | None
) -> None:
    document: Any = _records()
    for key in reversed((record_path or "").split(".")):
        document = {"v": 1, key: document, "w": {"x": []}} if key else document
    compact = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    folder = lake.folder()
    (folder / "compact.json").write_text(compact, encoding="utf-8")
    (folder / "again.json").write_text("\ufeff" + compact + "\n", encoding="utf-8")
    (folder / "blanks.json").write_text(
        json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8"
    )
    options = {"record_path": record_path} if record_path else {"layout": "document"}
    hints = {f"t{i}": sql_type for i, sql_type in enumerate(_TYPES)}
    hints |= {"n": "bigint"}
    table = f"lake.{lake.namespace}.proven"

    outcomes = lake.load(
        lake.ingestion(
            "proven",
            format={"type": "json", "options": options},
            schema={"hints": hints},
            errors={"max_bad_rows": 1000},
            table={"name": table, "properties": {"format-version": "3"}},
        )
    )

    assert sum(outcome.rows for outcome in outcomes) == 3 * len(_records())
    rows = _rows(lake, table)
    assert len(rows["blanks.json"]) == len(_records())
    for found, expected in zip(rows["compact.json"], rows["blanks.json"], strict=True):
        assert found == expected
    assert rows["again.json"] == rows["blanks.json"]
    assert sum(rescued is not None for _, rescued, _ in rows["compact.json"]) > len(_VALUES) / 2
