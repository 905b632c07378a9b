"""Large texts, which Spark checks: what it finds ordinary is what a scan of every byte finds so."""

import gzip
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoloader_dagster.batch_ids import NO_BATCH
from autoloader_dagster.formats.csv.group import CsvGroup
from autoloader_dagster.formats.csv.line_check import csv_line_check
from autoloader_dagster.formats.csv.options import CsvOptions
from autoloader_dagster.formats.json.format import FORMAT as JSON
from autoloader_dagster.formats.json.look import MAX_DOCUMENT_BYTES
from autoloader_dagster.formats.large_text import LARGE_BYTES, TextFacts, check_lines
from autoloader_dagster.formats.look import look_at
from autoloader_dagster.formats.reading import ReadContext
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Frames, SparkLakehouse
from autoloader_dagster.loading.preview import preview
from tests.fixtures.lake import Lake
from tests.unit.look_steps import csv, folder, json, listed

_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "escaped": {"escape": "\\"},
    "commented": {"comment": "#", "quote": "'", "delimiter": ";"},
    "tabs": {"delimiter": "\t", "multiline": False},
    "unquoted": {"quote": ""},
    "latin": {"encoding": "iso-8859-1", "delimiter": "§"},
    "ascii": {"encoding": "us-ascii", "header": False},
}
# Q is the quote, D the delimiter, E the escape character, and L a line end.
_CELLS = [
    "x", "7", "", "Qa bQ", "QxDyQ", "QQ", "QqQQqQ", "é", " ", "QQQaQQQ", "aQQb", "QaDQ", "Q,Q",
    "QlLmQ", "QaQQLQ", "5Q p", "QuQv", " QwQ", "QxQ ", "Qopen", "midQ", "QEQQ", "QaEEQ", "QaEQ",
    "EQ", "QQL", "QDQQ", "\r", "\0", "\ud800", "#c", "\ufeff", "\x1c", "\u2028",
]  # fmt: skip
_ORDINARY = _CELLS[:11]


def _texts(options: CsvOptions, count: int) -> Iterator[bytes]:
    encoding = options.encoding
    for seed in range(count):
        chance = random.Random(seed)
        odd = [chance.choice(_CELLS)] if seed % 3 else []
        end = chance.choice(["\n", "\n", "\r\n"] if seed % 5 else ["\n", "\r\n", "\r"])
        cells = chance.choices(_ORDINARY, k=12) + odd
        chance.shuffle(cells)
        lines = [cells[at : at + 3] for at in range(0, len(cells), 3)]
        lines += chance.choice([[], [[]], [["#", "Q"]], [["", "", ""]]])
        text = "L".join("D".join(line) for line in lines) + chance.choice(["", "L", "L L"])
        signs = {"Q": options.quote or '"', "D": options.delimiter, "E": options.escape, "L": end}
        data = "".join(signs.get(sign, sign) for sign in text)
        mark = b"\xef\xbb\xbf" if seed % 7 == 0 and encoding == "utf-8" else b""
        if encoding == "us-ascii" and seed % 2:
            data = data.encode("ascii", "ignore").decode()
        if encoding == "iso-8859-1":
            yield data.encode(encoding, "replace")
        else:
            yield mark + data.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("kind", _OPTIONS)
def test_what_spark_finds_ordinary_is_so_by_a_scan(spark: Any, tmp_path: Path, kind: str) -> None:
    format = csv(**_OPTIONS[kind])
    for number, data in enumerate(_texts(format.options, 300)):
        (tmp_path / f"{number:03}.csv").write_bytes(data)
    source = folder(tmp_path)
    refs = listed(source)
    looks = {look.ref.path: look for look in look_at(source, refs, format)}
    facts = _facts(spark, format.options, [ref.path for ref in refs])

    ordinary = 0
    for path, look in looks.items():
        data = Path(path).read_bytes()
        told = facts.get(path)
        if told is None or not told.ordinary:
            continue
        ordinary += 1
        shown = (data, look)
        assert told.is_whole(len(data) - (3 if data.startswith(b"\xef\xbb\xbf") else 0)), shown
        if look.bad is not None and look.bad.error_type in ("EmptyFile", "NotCsv"):
            # Found at the beginning, which the look reads in any case.
            continue
        assert look.bad is None, shown
        assert isinstance(look.group, CsvGroup), shown
        assert not look.group.multiline, shown
        assert look.rows == told.records - format.options.header, shown
    # Two thirds of the files have a cell that is seldom ordinary.
    assert ordinary > len(refs) // 5


def _facts(spark: Any, options: CsvOptions, paths: list[str]) -> dict[str, TextFacts]:
    files = [SourceFile(path, None, None, read_from=f"file://{path}") for path in paths]
    return check_lines(ReadContext(spark, (), {}, NO_BATCH), csv_line_check(options), files)


def test_a_line_that_is_too_long_is_cut_and_shows_in_the_bytes(spark: Any, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(b"id,t\n1," + b"x" * (64 * 2**20 + 1) + b"\n2,y\n")

    (facts,) = _facts(spark, CsvOptions(), [str(path)]).values()

    assert not facts.is_whole(path.stat().st_size)


_ROW_BYTES = 60_000


def _large(path: Path, last: bytes = b"", opener: Callable[..., Any] = open) -> int:
    """Write a file just above the limit, of few long rows; returns how many."""
    noise = random.Random(1).randbytes(_ROW_BYTES // 16).hex().encode()
    row = noise + b" " * (_ROW_BYTES - len(noise))
    rows = LARGE_BYTES // _ROW_BYTES + 2
    with opener(path, "wb") as file:
        file.write(b"id,text\n")
        for number in range(rows):
            file.write(b"%d,%s\n" % (number, row))
        file.write(last)
    return rows


class _Distributed(SparkLakehouse):
    """As if the server had other machines."""

    def frames(self, session: Any, spec: Any, options: dict[str, str]) -> Frames:
        frames = super().frames(session, spec, options)
        vars(frames)["is_distributed"] = lambda: True
        return frames


def _distributed(ingestion: Ingestion) -> Ingestion:
    return replace(ingestion, lakehouse=_Distributed())


def test_on_one_machine_a_large_file_is_read_whole(lake: Lake) -> None:
    there = lake.folder("large")
    rows = _large(there / "good.csv")
    ingestion = lake.ingestion("large", source={"type": "local", "url": str(there)})
    steps: list[str] = []

    (outcome,) = lake.load(ingestion, progress=steps.append)

    assert [file.rows for file in outcome.files] == [rows]
    assert not any("large" in step for step in steps)


def test_an_ordinary_large_file_is_not_read_whole(lake: Lake) -> None:
    there = lake.folder("large")
    rows = _large(there / "good.csv")
    ingestion = _distributed(lake.ingestion("large", source={"type": "local", "url": str(there)}))
    steps: list[str] = []

    (outcome,) = lake.load(ingestion, progress=steps.append)

    assert [(c.name, c.sql_type) for c in outcome.columns] == [("id", "bigint"), ("text", "string")]
    assert [file.rows for file in outcome.files] == [rows]
    assert any(step.endswith("checking the large files") for step in steps)
    assert not any("whole" in step for step in steps)


def _fast_gzip(path: Path, mode: str) -> Any:
    return gzip.open(path, mode, compresslevel=1)


def test_large_files_are_checked_by_spark_and_odd_ones_are_read_whole(lake: Lake) -> None:
    there = lake.folder("large")
    rows = _large(there / "good.csv", b'7,"quoted, ""twice"""\n')
    _large(there / "lines.csv", b'8,"one\ntwo"\n')
    _large(there / "latin.csv", b"9,caf\xe9\n")
    _large(there / "packed.csv.gz", b"10,z", _fast_gzip)
    _large(there / "cut.csv.gz", opener=_fast_gzip)
    cut = there / "cut.csv.gz"
    cut.write_bytes(cut.read_bytes()[:-100])
    (there / "small.csv").write_bytes(b"id,text\n11,small\n")
    ingestion = _distributed(lake.ingestion("large", source={"type": "local", "url": str(there)}))
    steps: list[str] = []

    (outcome,) = lake.load(ingestion, progress=steps.append)

    found = {Path(f.path).name: (f.status, f.error_type, f.rows, f.bad_rows) for f in outcome.files}
    assert found == {
        "good.csv": ("SUCCESS", None, rows + 1, 0),
        "lines.csv": ("SUCCESS", None, rows + 1, 0),
        "latin.csv": ("QUARANTINED", "WrongEncoding", 0, 0),
        "packed.csv.gz": ("SUCCESS", None, rows + 1, 0),
        "cut.csv.gz": ("QUARANTINED", "TruncatedGzip", 0, 0),
        "small.csv": ("SUCCESS", None, 1, 0),
    }
    assert any(step.endswith("checking the large files") for step in steps)
    assert any(step.endswith("reading large files whole") for step in steps)
    texts = {row for row in lake.rows("large", "id", "text") if len(row[1]) < 100}
    assert texts == {(7, 'quoted, "twice"'), (8, "one\ntwo"), (10, "z"), (11, "small")}


def test_large_gzipped_json_lines_are_checked_by_spark(lake: Lake) -> None:
    there = lake.folder("large")
    noise = random.Random(1).randbytes(4_000).hex().encode()
    count = LARGE_BYTES // _ROW_BYTES + 2
    with _fast_gzip(there / "good.json.gz", "wb") as file:
        for number in range(count):
            file.write(b'{"id": %d, "t": "%s"}' % (number, noise) + b" " * _ROW_BYTES + b"\n")
        file.write(b' \r\n{"id": nonsense}\n{"id": 7}')
    spec = {"source": {"type": "local", "url": str(there)}, "format": {"type": "json"}}
    steps: list[str] = []

    (outcome,) = lake.load(_distributed(lake.ingestion("large", **spec)), progress=steps.append)

    assert [(f.status, f.rows, f.bad_rows) for f in outcome.files] == [("SUCCESS", count + 2, 1)]
    assert any(step.endswith("checking the large files") for step in steps)
    assert not any("whole" in step for step in steps)


@pytest.mark.parametrize(
    ("data", "ordinary"),
    [
        (b'{"a": 1}\n{"a": nonsense}\n\n \t\r\n{"a": 2} \r\n', True),
        (b'\xef\xbb\xbf{"a": 1}', True),
        (b'{"a": 1}\n{"a": "unfin', False),
        (b'{"a": 1}\n{"a": "caf\xe9"}\n', False),
        (b'{"a": 1}\n{"a": "\0"}\n', False),
    ],
)
def test_json_lines_that_end_as_records_do_are_ordinary(
    spark: Any, tmp_path: Path, data: bytes, ordinary: bool
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    files = [SourceFile(str(path), None, None, read_from=f"file://{path}")]
    check = JSON.line_check(json())

    (facts,) = check_lines(ReadContext(spark, (), {}, NO_BATCH), check, files).values()

    assert facts.ordinary is ordinary
    assert facts.is_whole(len(data.removeprefix(b"\xef\xbb\xbf")))


def test_a_preview_names_a_large_document_that_is_broken_inside(lake: Lake) -> None:
    there = lake.folder("documents")
    record = b'{"id": 1, "t": "' + b"x" * _ROW_BYTES + b'"},\n'
    count = MAX_DOCUMENT_BYTES // _ROW_BYTES + 2
    (there / "broken.json").write_bytes(b"[" + record * count + b'nonsense, {"id": 2}]')
    (there / "good.json").write_bytes(b'[{"id": 3}]')
    spec = {"source": {"type": "local", "url": str(there)}, "format": {"type": "json"}}

    shown = preview(lake.ingestion("documents", **spec))

    assert [Path(path).name for path in shown.files] == ["good.json"]
    (bad,) = shown.bad_files
    assert (Path(bad.path).name, bad.status, bad.error_type) == (
        "broken.json", "QUARANTINED", "NotJson",
    )  # fmt: skip
