"""The commands take hostile names of files as they are, and show them so."""

import shlex
from collections import Counter
from pathlib import Path

import pytest

from autoloader_dagster.cli.output import literal
from autoloader_dagster.settings import Settings
from tests.fixtures.lake import read_table
from tests.hostile.corpus import CANARY, CONTROLS, file_names
from tests.integration.cli_steps import Done, Project

_TABLE = "lake.hostile.odd"
# Each of them is also a file beside which there are files that the name would select as a pattern.
_NASTY = (
    "rep_${spark.app.name}.csv", "[a]*?.csv", "**.csv", "a?.csv", "%2e%2e.csv", "100%.csv",
    "'; drop table t; --.csv", 'a"b.csv', "`id`.csv", "$(id).csv", "a\\b.csv", "\\.csv", "--.csv",
    "\u202egnp.exe.csv", "team \U0001f469\u200d\U0001f4bb.csv", "cafe\u0301.csv", "c1\x85here.csv",
    "[red]a[/red].csv", " lead.csv", "x.csv", "\u00fc" * 125 + ".csv",
)  # fmt: skip
_TWINS = ("rep_local.csv", "[a]xy.csv", "axy.csv", "a1.csv", "100x.csv")
# Of these the printed query is run.
_QUERIED = ('a"b.csv', "a\\b.csv", "c1\x85here.csv")


@pytest.fixture
def project(tmp_path: Path, spark_settings: Settings) -> Project:
    environ = {
        "AUTOLOADER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return Project(tmp_path, spark_settings.home, environ)


def _write(project: Project, names: list[str], first: int) -> None:
    for number, name in enumerate(names, first):
        path = Path(f"{project.folder()}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"id\n{number}\n")


def _loaded(settings: Settings) -> Counter[tuple[str, int]]:
    table = read_table(settings, _TABLE)
    return Counter(zip(table["_source_file"].to_pylist(), table["id"].to_pylist(), strict=True))


def _run(project: Project, *arguments: str, code: int = 0) -> Done:
    """A command that ends so, and shows nothing of the environment or the terminal's controls."""
    done = project.run(*arguments, COLUMNS="3000")
    assert done.code == code, (arguments, done.err, done.out[-4000:])
    said = done.out + done.err
    assert CANARY not in said, arguments
    assert "--json" in arguments or not set("\x1b\x07\x85\u202e\r") & set(said), arguments
    return done


def test_commands_act_on_exactly_the_named_files_and_show_names_as_they_are(
    project: Project, spark_settings: Settings
) -> None:
    controls = [f"{text}.csv" for text in CONTROLS]
    names = list(dict.fromkeys([*file_names(".csv"), *controls, *_NASTY, *_TWINS]))
    # Control characters of ASCII quarantine a file.
    refused = {name for name in controls if min(name) < " " or "\x7f" in name}
    root = f"{project.folder()}/"
    numbers = {root + name: i for i, name in enumerate(names) if name not in refused}
    _write(project, names, 0)
    source = {"type": "local", "url": str(project.folder()), "on_change": "replace"}
    project.spec("odd", source=source, partition={"by": "none"}, table={"name": _TABLE})
    nasty = [f"{project.folder()}/{name}" for name in _NASTY]
    preview = _run(project, "preview", "odd", "--files", "100", "--rows", "1000").out
    report = _run(project, "run", "odd", "--json", code=1).json

    assert report["files"]["loaded"] == len(numbers)
    assert report["files"]["quarantined"] == len(refused)
    assert _loaded(spark_settings) == Counter(numbers.items())

    # What is shown.
    assert _run(project, "list").out.count("odd") >= 1
    shown = _run(project, "files", "odd", "--limit", "1000").out
    rows = [line.strip() for line in shown.splitlines()]
    assert len(rows) == len(names) + 2, "a name makes a line of its own"
    for name in names:
        escaped = literal(name).replace("\n", r"\n")
        assert any(row.startswith(escaped.strip()) for row in rows), name
    files = _run(project, "files", "odd", "--json").json["files"]
    assert {file["path"] for file in files} == {root + name for name in names}
    assert preview.count(".csv") > 1
    (status,) = _run(project, "status", "--json").json["ingestions"]
    assert status["loaded"] == len(numbers)
    _run(project, "history", "odd")

    # What is named.
    for name in (*_NASTY[:2], "line\nbreak.csv"):
        (traced,) = _run(project, "trace", "--json", "--", "odd", name).json["files"]
        assert traced["path"] == f"{project.folder()}/{name}"
    for name in _QUERIED:
        told = _run(project, "trace", "--", "odd", name).out
        (line,) = [line for line in told.splitlines() if line.startswith("rows:")]
        *_, query = shlex.split(line)
        found = _run(project, "query", query, "--json").json["rows"]
        path = f"{project.folder()}/{name}"
        assert [(row["_source_file"], row["id"]) for row in found] == [(path, numbers[path])]

    undone = _run(project, "undo", "--yes", "--json", "--", "odd", *_NASTY).json
    assert Counter(file["path"] for file in undone["files"]) == Counter(nasty)
    rest = {path: number for path, number in numbers.items() if path not in nasty}
    assert _loaded(spark_settings) == Counter(rest.items())
    again = _run(project, "retry", "--json", "--", "odd", *_NASTY[:-1]).json
    assert Counter(file["path"] for file in again["files"]) == Counter(nasty[:-1])
    kept = {path: number for path, number in numbers.items() if path != nasty[-1]}
    assert _loaded(spark_settings) == Counter(kept.items())
    unknown = project.run("retry", "odd", "b\udcff.csv")
    assert unknown.code == 1, unknown.err
    assert r"knows no file b\udcff.csv" in unknown.err

    # Every file changes: its rows are replaced, the undone one's are loaded.
    _write(project, names, 100_000)
    replaced = _run(project, "run", "odd", "--json", code=1).json
    assert replaced["files"]["loaded"] == len(numbers)
    new = {path: number + 100_000 for path, number in numbers.items()}
    assert _loaded(spark_settings) == Counter(new.items())
    _run(project, "reconcile", "odd", "--json")
    _run(project, "reload", "odd", "--yes", "--json")
    assert _loaded(spark_settings) == Counter(new.items())
