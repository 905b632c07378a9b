"""What commands print for people is the text itself, whatever a name holds."""

import csv
import inspect
import io
import json
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row

from autoloader_dagster.cli.amend import YesOption
from autoloader_dagster.cli.app import app, main
from autoloader_dagster.cli.output import (
    print_csv,
    print_error,
    print_json,
    print_rows,
    print_some,
    say,
)
from autoloader_dagster.cli.query import result_json
from autoloader_dagster.cli.streams import standard_streams
from autoloader_dagster.errors import UsageError

_NAMES = ("[red]a[/red]", "[/]", ":smile:", "[link=x]y[/link]", "a\\\\", "[bold", "${x}",
          ":key:a:x:b")  # fmt: skip


def test_markup_and_emoji_codes_come_out_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    for name in _NAMES:
        say(name)
        print_rows([name], [[name]])
        print_error(UsageError(name, name))
        out, err = capsys.readouterr()
        assert (out.count(name), err.count(name)) == (3, 2), name


def _commands() -> Iterator[tuple[str, Any]]:
    for group, of in (
        ("", app),
        *((f"{g.name} ", g.typer_instance) for g in app.registered_groups),
    ):
        for command in of.registered_commands if of else ():
            assert command.callback
            name = command.name or command.callback.__name__.replace("_", "-")
            yield f"{group}{name}", command.callback


def test_the_help_of_each_command_has_an_example_and_yes_means_the_same_everywhere() -> None:
    commands = dict(_commands())
    assert {"run", "list", "db upgrade", "spark start", "undo"} <= commands.keys()
    for name, callback in commands.items():
        found = re.findall(r"^Example: (autoloader .*)$", inspect.getdoc(callback) or "", re.M)
        assert len(found) == 1, name
        assert found[0].startswith(f"autoloader {name}"), found
        yes = inspect.signature(callback).parameters.get("yes")
        assert yes is None or yes.annotation == YesOption, name


def test_csv_holds_the_values_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    row = [None, 'a,"b"\n', True, 1.5, [1, None], {"k": "ü"}, bytearray(b"\x00\xff"), ":key:[red]"]
    print_csv(list("abcdefgh"), [row])
    out = capsys.readouterr().out
    assert list(csv.reader(io.StringIO(out))) == [
        list("abcdefgh"),
        ["", 'a,"b"\n', "true", "1.5", "[1, null]", '{"k": "ü"}', "00ff", ":key:[red]"],
    ]
    assert main(["query", "select 1", "--csv", "--json"]) == 2


def test_csv_alters_no_character_that_the_encoding_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", stream)
    with standard_streams():
        print_csv(["a"], [["\u00fc"]])
        with pytest.raises(UsageError, match=r"stdout: its encoding latin-1 has no '\\u20ac'"):
            print_csv(["a"], [["5 \u20ac"]])


def test_json_holds_what_json_has_no_value_for(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    row = Row(n=float("nan"), i=[float("-inf")], d={date(2026, 1, 2): b"\x00\xff", None: 1, 3: 2})
    print_json(
        {"row": row, "ids": [2**53 - 1, 2**53, -(2**53), -(2**63)], "price": Decimal("1.50")}
    )
    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == {
        "row": {"n": "NaN", "i": ["-Infinity"], "d": {"2026-01-02": "00ff", "null": 1, "3": 2}},
        # A number of JavaScript or jq keeps 53 bits.
        "ids": [2**53 - 1, str(2**53), str(-(2**53)), str(-(2**63))],
        "price": "1.50",
    }


def test_json_of_a_query_drops_no_column() -> None:
    result = {"columns": ["a", "b"], "rows": [{"a": 1, "b": 2}]}
    assert result_json(["a", "b"], [(1, 2)]) == result
    with pytest.raises(UsageError, match="2 columns of the result are named 'a'"):
        result_json(["a", "b", "a"], [(1, 2, 3)])


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"autoloader_dagster {version('autoloader_dagster')}\n"


def test_doctor_and_usage_errors_show_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOLOADER_SPECS_DIR", str(tmp_path / ":key:[red]x[/]"))
    main(["doctor"])
    assert ":key:[red]x[/]" in capsys.readouterr().out
    assert main(["files", "x", "--:key:[red]"]) == 2
    assert "--:key:[red]" in capsys.readouterr().err


def test_a_long_list_says_how_many_files_it_does_not_show(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [(f"{number}.csv", "QUARANTINED") for number in range(188)]
    print_some(("file", "status"), rows, "188 files", "'autoloader files x'")
    out = capsys.readouterr().out
    assert out.count(".csv") == 40
    assert out.endswith("… and 148 more; 'autoloader files x' shows all of them\n")
    print_some(("file", "status"), rows[:40], "40 files", "--json")
    assert "more" not in capsys.readouterr().out


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31mb\x07\x85\u202e"
    say(name)
    print_rows([name], [[name]])
    print_error(UsageError(name, name))
    out, err = capsys.readouterr()
    assert out.count(r"a\x1b[31mb\x07\x85\u202e") == 3
    assert err.count(r"a\x1b[31mb\x07\x85\u202e") == 2
