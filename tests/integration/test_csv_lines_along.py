"""Small CSV files, whose lines go to Spark with the plan, come out as Spark's reader reads them."""

from typing import Any

import pytest

from autoloader_dagster.formats.csv import lines as csv_lines
from autoloader_dagster.formats.csv import read as read_csv
from tests.fixtures.lake import Lake

_TYPES = {"id": "int", "amount": "decimal(8,2)", "day": "date", "at": "timestamp", "ok": "boolean"}
_HEADER = b"id,name,amount,day,at,ok\n"
_GOOD = b"1,one,1.50,2026-01-01,2026-01-01 10:00:00,true\n"

# Each has what one or the other way might take for something else.
_FILES: dict[str, bytes] = {
    "good.csv": _HEADER + _GOOD * 3,
    "bom.csv": b"\xef\xbb\xbf" + _HEADER + _GOOD,
    "crlf.csv": (_HEADER + _GOOD * 2).replace(b"\n", b"\r\n"),
    "cr.csv": (_HEADER + _GOOD * 2).replace(b"\n", b"\r"),
    "mixed_line_ends.csv": _HEADER + b"1,a,,,,\r\n2,b,,,,\r3,c,,,,\n\r\r\n4,d,,,,",
    "no_last_line_end.csv": _HEADER + _GOOD + _GOOD[:-1],
    "blank_lines.csv": b"\n \n" + _HEADER + b"\n\t \n" + _GOOD + b"\n\n\x0b\n",
    "no_break_space.csv": _HEADER + _GOOD + "\u00a0\n\u2003\n".encode(),
    "ragged.csv": _HEADER + b"1,a\n2,b,1.5,2026-01-01,,true,more,and more\n3\n,,,,,\n,\n",
    "misfits.csv": _HEADER
    + b"x,a,1.555,2026-13-01,12:30,yes\n99999999999,b,1e3,2026-01-01T10:00:00,1/2/2026,TRUE\n"
    + b" 7 , b ,\t1.5, 2026-01-01,2026-01-01T10:00:00+02:00, true\n+5,,-.5,,2026-01-01,False\n",
    "quotes.csv": _HEADER
    + b'1,"a, b",1.5,,,\n"2","say ""hi""","2.5","2026-01-01",,"true"\n3,5" pipe,,,,\n4,"",,,,\n'
    + b'5, "late",,,,\n6,"x"y,,,,\n7,\'q\',,,,\n8,a\\"b,,,,\n9,"a\\",,,,\n',
    "unicode.csv": _HEADER + "1,Zürich 🚲 \u2028 ﷽,,,,\n2,\ufeff,,,,\n".encode(),
    "other_order.csv": b"ok,id,new\nfalse,9,\xc3\xbc\n,x,\n",
    "separators.csv": _HEADER + b"1,a\x1cb\x0cc\x85,,,,\n".replace(b"\x85", b"\xc2\x85"),
}


def _both_ways(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], **parts: Any
) -> list[tuple[Any, ...]]:
    folder = lake.folder()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    lines_frames = []
    real = read_csv.lines_frame

    def spied(*args: Any, **kwargs: Any) -> Any:
        lines_frames.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(read_csv, "lines_frame", spied)
    (along,) = lake.load(lake.ingestion("along", **parts))
    assert lines_frames
    lines_frames.clear()
    monkeypatch.setattr(csv_lines, "INLINE_FILE_BYTES", -1)
    (by_reader,) = lake.load(lake.ingestion("by_reader", **parts))
    assert not lines_frames

    def of_files(outcome: Any) -> list[tuple[Any, ...]]:
        return sorted((f.path, f.status, f.rows, f.bad_rows) for f in outcome.files)

    assert of_files(along) == of_files(by_reader)
    columns = [c.name for c in by_reader.columns]
    kept = (*columns, "_rescued", "_source_file", "_source_modified_at", "_partition_key")
    rows = lake.rows("by_reader", *kept)
    assert lake.rows("along", *kept) == rows
    assert rows
    return rows


def test_odd_files_come_out_the_same(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _both_ways(lake, monkeypatch, _FILES, schema={"hints": _TYPES})

    assert any(row[0] == 1 for row in rows)
    assert any('"_row"' in str(row) for row in rows)


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"null_values": ["", "NA", "-"]}, b"id,name\n1,NA\nNA,-\n-,n\n, NA\n"),
        ({"null_values": ["NA", "x"]}, b'id,name\n1,NA\nx,""\nNA,x\n2,\n'),
        ({"comment": "#"}, b'# first\nid,name\n#1,a\n2,#b\n #3,c\n"#4",d\n'),
        ({"encoding": "iso-8859-1"}, "id,name\n1,Zürich\n2,\u00a0\n\u00a0\n".encode("latin-1")),
        ({"encoding": "us-ascii"}, b"id,name\n1,plain\n"),
        ({"header": False}, b"1,a\n\n2,b\n3\n"),
        ({"delimiter": ";", "quote": "'"}, b"id;name\n1;'a;b'\n2;it''s\n3;\"c;d\"\n"),
        ({"escape": "\\"}, b'id,name\n1,"a\\"b"\n2,"c""d"\n3,"e\\\\"\n4,\\"f\n'),
        ({"quote": ""}, b'id,name\n1,"a\n2,b"\n'),
        ({"multiline": False}, b'id,name\n1,"a b"\n2,c\n'),
        ({"multiline": True}, b'id,name\r\n1,"a\r\nb"\r\n2,c\r\n'),
        ({"timestamp_formats": ["M/d/yyyy H:mm"]}, b"id,at\n1,1/2/2026 3:04\n2,2026-01-02\n3,x\n"),
        ({"delimiter": "\t"}, b"id\tname\n1\t a \n\t\n2\tb\n"),
    ],
    ids=str,
)
def test_every_option_means_the_same(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], data: bytes
) -> None:
    _both_ways(
        lake,
        monkeypatch,
        {"a.csv": data, "b.csv": data},
        format={"type": "csv", "options": options},
    )


def test_many_headers_come_out_the_same(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["id", "amount", "at"]
    files = {
        f"{i}.csv": ",".join([*names[i % 3 :], f"only_{i}", *names[: i % 3]]).encode()
        + b"\n1,2,3,4\nx,2026-01-01,y,\n1,2\n"
        for i in range(read_csv.MAX_HEADER_READERS + 3)
    }

    _both_ways(
        lake, monkeypatch, files,
        schema={"hints": {"id": "bigint", "amount": "double", "at": "timestamp"}},
    )  # fmt: skip


def test_small_and_large_files_of_one_batch_are_all_there(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lake.folder()
    for i in range(6):
        (folder / f"{i}.csv").write_text("id,name\n" + f"{i},x\n" * (1 + 10 * (i % 2)))
    monkeypatch.setattr(csv_lines, "INLINE_FILE_BYTES", 40)

    (outcome,) = lake.load(lake.ingestion("mixed"))

    assert {f.path[-5:]: f.rows for f in outcome.loaded} == {
        f"{i}.csv": 1 + 10 * (i % 2) for i in range(6)
    }
    assert len(lake.rows("mixed", "id")) == outcome.rows == 36
