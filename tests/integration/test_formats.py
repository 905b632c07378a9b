"""What every format must do, whichever it is: the same tests for each line of the registry."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.formats.base import FileFormat
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.specs.registry import FORMATS, format_of
from tests.fixtures import by_hand
from tests.fixtures.lake import Lake
from tests.fixtures.readable import looks_of, readable_of


def _parquet(ids: list[int]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": ids}), out)
    return out.getvalue()


# A file of each format with one column, ``id`` (``line`` in text).
FILES: dict[str, Callable[[list[int]], bytes]] = {
    "csv": lambda ids: "".join(f"{i}\n" for i in ["id", *ids]).encode(),
    "json": lambda ids: "".join(f'{{"id": {i}}}\n' for i in ids).encode(),
    "parquet": _parquet,
    "text": lambda ids: "".join(f"{i}\n" for i in ids).encode(),
}
BAD = {
    "csv": b'id\n1\n"2\n',
    "json": b'{"id": 1}\n{"id": ',
    "parquet": _parquet([1])[:-3],
    "text": b"1\n\xff\n",
}


@pytest.fixture(params=sorted(FORMATS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_format_is_found_by_its_name_and_has_examples_here(kind: str) -> None:
    found = format_of(kind)
    assert isinstance(found, FileFormat)
    assert found.section.model_validate({"type": kind}).type == kind
    assert kind in FILES, "add an example of the format, so that these tests hold for it"


def test_a_name_that_no_format_has_is_an_error() -> None:
    with pytest.raises(KeyError):
        format_of("nothing")


def test_files_of_each_kind_are_loaded_once_and_bad_ones_are_quarantined(
    lake: Lake, kind: str
) -> None:
    folder, column = lake.folder(kind), "line" if kind == "text" else "id"
    (folder / f"1.{kind}").write_bytes(FILES[kind]([1, 2]))
    (folder / f"2.{kind}").write_bytes(FILES[kind]([3]))
    # Names that Spark would pass over, and misread.
    (folder / f"_3.{kind}").write_bytes(FILES[kind]([4]))
    (folder / f"bad.{kind}").write_bytes(BAD[kind])
    wanted = [1, 2, 3, 4]
    if format_of(kind).reads_by_suffix:
        (folder / f"packed.{kind}.gz").write_bytes(gzip.compress(FILES[kind]([5])))
        (folder / f"packed.{kind}").write_bytes(gzip.compress(FILES[kind]([6])))
        wanted += [5, 6]
    spec = {"source": {"type": "local", "url": str(folder)}, "format": {"type": kind}}
    if kind == "text":
        spec["schema"] = {"hints": {"line": "bigint"}}
    ingestion = lake.ingestion(f"of_{kind}", **spec)
    (outcome,) = lake.load(ingestion)
    states = {Path(file.path).name: file.status for file in outcome.files}
    assert states.pop(f"bad.{kind}") == "QUARANTINED"
    assert set(states.values()) == {"SUCCESS"}
    assert lake.rows(f"of_{kind}", column) == [(i,) for i in wanted]
    assert lake.load(ingestion) == []
    assert sorted(lake.table(f"of_{kind}")["_rescued"].to_pylist(), key=str) == [None] * len(wanted)


def test_a_column_that_the_table_does_not_have_is_rescued(lake: Lake, kind: str) -> None:
    folder = lake.folder(f"rescued_{kind}")
    # More headers than get a reader each, and one file that Spark reads by itself.
    for i in range(12 if kind == "csv" else 2):
        content = FILES[kind]([i])
        (folder / f"{i}.{kind}").write_bytes(
            content.replace(b"id\n", f"id,c{i}\n".encode()) if kind == "csv" else content
        )
    (folder / f"many.{kind}").write_bytes(FILES[kind](list(range(100, 20_000))))
    spec = {"source": {"type": "local", "url": str(folder)}, "format": {"type": kind}}
    ingestion = lake.ingestion(f"rescued_{kind}", **spec)
    looks = looks_of(ingestion)
    for some in (looks, looks[:1], looks[-1:]):
        readable = readable_of(ingestion, some)
        with ingestion.connect() as spark:
            frames = ingestion.lakehouse.frames(spark, ingestion.spec, {})
            frame = frames.frame(readable, [Column("other", "int")], "batch")
            rows = [row["_rescued"] for row in frame.collect()]
        assert len(rows) == sum(20_000 - 100 if "many" in f.file.path else 1 for f in readable)
        kept = [json.loads(text or "{}").get("line" if kind == "text" else "id") for text in rows]
        assert None not in kept


def test_lines_of_text_keep_every_character_but_their_ends(lake: Lake) -> None:
    folder = lake.folder("logs")
    (folder / "a.log").write_bytes("\ufeffα\r\n\r\n a\tb \rc\n".encode())
    (folder / "b.log").write_bytes(b"last without an end")
    (folder / "c.log").write_bytes(b"x\n" * 3)
    parts = {"source": {"type": "local", "url": str(folder)}, "format": {"type": "text"}}
    lake.load(lake.ingestion("logs", **parts))
    rows = [row[0] for row in lake.rows("logs", "line")]
    assert sorted(rows) == sorted(["α", "", " a\tb \rc", "last without an end", *["x"] * 3])


def test_a_line_that_does_not_fit_its_hint_is_rescued(lake: Lake) -> None:
    folder = lake.folder("numbers")
    (folder / "a.txt").write_text("1\ntwo\n")
    parts = {
        "source": {"type": "local", "url": str(folder)},
        "format": {"type": "text"},
        "schema": {"hints": {"line": "int"}},
    }
    lake.load(lake.ingestion("numbers", **parts))
    rows = lake.rows("numbers", "line", "_rescued")
    assert rows == [(1, None), (None, '{"line":"two"}')]


def test_the_column_of_lines_may_be_renamed(lake: Lake) -> None:
    folder = lake.folder("renamed")
    parts = {"source": {"type": "local", "url": str(folder)}, "format": {"type": "text"}}
    for number, name in enumerate(["line", "message", "Line"]):
        if number:
            before = lake.table("renamed_lines").column_names[0]
            alter = f"alter table lake.{{ns}}.renamed_lines rename column {before} to {name}"
            by_hand.sql(lake, alter)
        (folder / f"{number}.txt").write_text(f"{number}\n")
        lake.load(lake.ingestion("renamed_lines", **parts))

        wanted = [(str(each),) for each in range(number + 1)]
        assert lake.rows("renamed_lines", name) == wanted
