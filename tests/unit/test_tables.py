"""Tables at any width: an id stays in one piece, and what is left out is named."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from autoloader_dagster.cli.output import print_rows, print_table
from autoloader_dagster.cli.table import print_columns

_BATCH = "20261126T171307123456-9f86d081884c7d65"
_SNAPSHOT = "8031846592187654321"
_FILE = "2026/11/26/orders_north_20261126T101500Z.csv"
_WHY = "line 7 of the file has 4 cells, and its header names 5 columns: id, name, day, sum, note"
_HISTORY = ("batch", "kind", "run", "began (UTC)", ">files", ">rows", ">size", "snapshot",
            "status", ">seconds", "reason")  # fmt: skip
_HISTORY_ROW = (_BATCH, "load", "9f86d081", "2026-11-26 17:13:07", 12, 3456789, "1.2 GB",
                _SNAPSHOT, "RECORDED", "12.3", "")  # fmt: skip


def _printed(width: int, columns: tuple[str, ...], *rows: tuple[str, ...]) -> list[str]:
    out = io.StringIO()
    print_columns(Console(file=out, width=width), columns, rows)
    return out.getvalue().splitlines()


def test_an_id_is_never_folded_and_what_is_left_out_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in (20, 40, 60, 80, 100, 120, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        print_table(_HISTORY, [_HISTORY_ROW])
        out = capsys.readouterr().out
        assert _BATCH in out, width
        assert _SNAPSHOT in out or "snapshot" in out.partition("not shown")[2]
        if width >= 80:
            assert max(map(len, out.splitlines())) <= width, out
        assert ("not shown, for lack" in " ".join(out.split())) == (width < 160), width


def test_a_reason_goes_below_its_file_before_a_path_is_folded() -> None:
    lines = _printed(
        80, ("file", "status", "error", "reason"), (_FILE, "QUARANTINED", "NotCsv", _WHY)
    )
    assert lines[1] == f"{_FILE}  QUARANTINED  NotCsv"
    assert " ".join(line.strip() for line in lines[2:]) == _WHY
    assert all(line.startswith("    ") and len(line) <= 80 for line in lines[2:])
    wide = _printed(
        140, ("file", "status", "error", "reason"), (_FILE, "QUARANTINED", "NotCsv", _WHY)
    )
    assert wide[1].startswith(f"{_FILE}  QUARANTINED  NotCsv  line 7 of the file")
    assert wide[2].strip() == _WHY.removeprefix(wide[1].partition("NotCsv  ")[2]).strip()


def test_a_status_has_its_colour_on_a_terminal_only() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system="standard")
    rows = [("a.csv", "SUCCESS"), ("b.csv", "QUARANTINED"), ("SUCCESS", "HELD")]
    print_columns(console, ("file", "status"), rows)
    assert "\x1b[32mSUCCESS" in out.getvalue()
    assert "\x1b[31mQUARANTINED" in out.getvalue()
    assert out.getvalue().count("\x1b[32m") == 1
    assert "\x1b" not in "".join(_printed(80, ("file", "status"), *rows))


def test_rows_of_data_keep_every_column_and_every_value_in_one_piece(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    row = [_BATCH, _SNAPSHOT, str(Path("/landing") / _FILE), 77_777]
    print_rows(["_batch_id", "snapshot", "seconds", "status"], [row, row])
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("row ")] == ["row 1", "row 2"]
    for value in map(str, row):
        assert out.count(value) == 2, value
    assert "not shown" not in out
    print_rows([], [])
    print_rows(["a", "status"], [[1, "FAILED"]])
    assert capsys.readouterr().out == "a  status\n1  FAILED\n"


def test_wide_characters_keep_the_columns_in_line() -> None:
    lines = _printed(80, ("file", ">rows"), ("日本.csv", "7"), ("a.csv", "1,000"))
    assert lines == ["file       rows", "日本.csv      7", "a.csv     1,000"]


def test_a_table_without_any_value_has_its_header_at_any_width() -> None:
    for width in (1, 20, 40, 80, 200):
        assert _printed(width, _HISTORY)[0].startswith("batch"), width
        empty = _printed(width, _HISTORY, ("",) * len(_HISTORY))
        assert empty[0].split()[0] == "batch", width
    assert _printed(1, ("reason", "meaning"))[0].startswith("reason")
