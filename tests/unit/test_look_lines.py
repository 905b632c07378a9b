"""The lines of small CSV files that go to Spark with the plan."""

import gzip
from pathlib import Path

import pytest

from autoloader_dagster.formats import look
from autoloader_dagster.formats.csv import lines as csv_lines
from autoloader_dagster.iceberg.lineage import Lines
from tests.unit.look_steps import csv, json, look_at_bytes, look_at_folder


@pytest.mark.parametrize(
    ("options", "data", "lines"),
    [
        ({}, b"a,b\n1,2\n3,4\n", [b"1,2", b"3,4"]),
        ({}, b"\xef\xbb\xbfa\r\n1\r\n", [b"1"]),
        ({}, b"\n \t\na\r1\r\r\n2", [b"1", b"2"]),
        ({}, "a\n\u00a0\n\u20281\x85\n".encode(), ["\u00a0".encode(), "\u20281\x85".encode()]),
        ({}, b"a\n1\n\n\n", [b"1"]),
        ({}, b"a\n 1\n2", [b" 1", b"2"]),
        ({}, b'a\n"x, y"\n', [b'"x, y"']),
        ({"header": False}, b"1\n2\n", [b"1", b"2"]),
        ({}, b"a,b\n1,2\n\n", [b"1,2"]),
        ({"header": False}, b"1\n\n", [b"1"]),
        ({"delimiter": "\t"}, b"a\tb\n\t\n \n1\t\n", [b"\t", b"1\t"]),
        ({}, b'a\r\n"x\r\ny"\r\n2', [b'"x\r\ny"', b"2"]),
        ({"multiline": True}, b"a\n1\n", [b"1"]),
        ({"encoding": "utf-16"}, "a\n1\n".encode("utf-16"), [b"1"]),
        ({"comment": "#"}, b"# c\na\n#1\n #2\n", [b" #2"]),
        ({"encoding": "iso-8859-1"}, b"a\n\xfc\n", ["ü".encode()]),
    ],
)
def test_lines_are_those_that_spark_would_parse(tmp_path: Path, options, data, lines) -> None:
    found = look_at_bytes(tmp_path, data, csv(**options))

    assert found.lines == Lines(b"\0".join(lines), len(lines))


def test_a_compressed_file_is_there_decompressed(tmp_path: Path) -> None:
    assert look_at_bytes(tmp_path, gzip.compress(b"a\n1\n"), csv(), "a.gz").lines == Lines(b"1", 1)


@pytest.mark.parametrize(
    ("format", "data"),
    [
        (csv(), b"a\n"),
        (csv(), b"a\n" + b"1\n" * (csv_lines.INLINE_FILE_BYTES // 2)),
        (json(), b'{"a": 1}\n'),
    ],
    ids=["no rows", "large", "JSON"],
)
def test_spark_reads_the_others(tmp_path: Path, format, data) -> None:
    found = look_at_bytes(tmp_path, data, format)

    assert (found.bad, found.lines) == (None, None)


def test_a_batch_holds_no_more_than_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(6):
        (tmp_path / f"{i}.csv").write_bytes(b"a\n" + b"1234567890" * (3 if i == 2 else 1))
    monkeypatch.setattr(look, "INLINE_BATCH_BYTES", 35)

    looks = look_at_folder(tmp_path, csv())

    assert [found.lines is not None for found in looks] == [True, True, False, True, False, False]
