"""Hostile names of headers, keys and columns become columns that hold the values of their own."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fixtures.lake import Lake
from tests.hostile.corpus import CANARY, CONTROLS, TEXTS

# Java, Python and SQL do not agree which of these are equal without regard to case.
_CASES = ("s", "S", "k", "\u212a", "i", "\u0131", "I\u0307", "\u00e5", "\u1e9e", "ss", "\u03c3")
_NAMES = list(dict.fromkeys([*TEXTS, *CONTROLS, *_CASES, "`", "``", "a`.`b", "_rescued", "_file"]))


def _names(kind: str) -> list[str]:
    if kind == "csv":
        # A header is one line.
        return [name for name in _NAMES if not {"\n", "\r"} & set(name)]
    if kind == "json":
        return _NAMES
    # Names that are one to Spark quarantine a Parquet file.
    return list({name.upper().lower(): name for name in _NAMES}.values())


def _write(folder: Path, kind: str, names: list[str]) -> None:
    """A file with every name, and one with a plain column."""
    values = [f"v{i}" for i in range(len(names))]
    if kind == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([names, values])
        (folder / "odd.csv").write_bytes(text.getvalue().encode())
        (folder / "plain.csv").write_text("id\nplain\n")
    elif kind == "json":
        (folder / "odd.json").write_text(json.dumps(dict(zip(names, values, strict=True))) + "\n")
        (folder / "plain.json").write_text('{"id": "plain"}\n')
    else:
        table = pa.table([[value] for value in values], names=names)
        pq.write_table(table, folder / "odd.parquet")
        pq.write_table(pa.table({"id": ["plain"]}), folder / "plain.parquet")


@pytest.mark.parametrize(
    ("kind", "style"), [("csv", "original"), ("json", "normalised"), ("parquet", "original")]
)
def test_each_name_has_a_column_with_its_own_values(lake: Lake, kind: str, style: str) -> None:
    names = _names(kind)
    _write(lake.folder(), kind, names)
    ingestion = lake.ingestion("columns", format={"type": kind}, schema={"names": style})

    (outcome,) = lake.load(ingestion)

    assert [(Path(f.path).name, f.reason) for f in outcome.files if f.status != "SUCCESS"] == []
    table = lake.table("columns")
    by_file = {Path(row["_source_file"]).stem: row for row in table.to_pylist()}
    originals = {column.name: column.original for column in outcome.columns}
    plain = {originals.get(name): value for name, value in by_file["plain"].items()}
    assert plain["id"] == "plain"
    odd = by_file["odd"]
    assert odd["_rescued"] is None
    by_value = {value: name for name, value in odd.items() if value is not None}
    found = {name: originals.get(by_value.get(f"v{i}", "")) for i, name in enumerate(names)}
    # JSON quotes a key that would be blank, or looks quoted.
    wrong = {n: o for n, o in found.items() if o not in (n, n.strip(), json.dumps(n))}
    assert wrong == {}
    assert CANARY not in repr((table.schema, odd, originals))
