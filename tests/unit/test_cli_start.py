"""The command starts fast, explains itself, and gives each kind of error its exit code."""

import inspect
import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from autoloader_dagster import errors
from autoloader_dagster.errors import exit_code
from tests.integration.cli_steps import Project, commands


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path / "home")


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_explains_itself(project: Project, command: str) -> None:
    done = project.run(*command.split(), "--help")
    assert done.code == 0
    assert f"autoloader {command}" in " ".join(done.out.split())
    assert not project.home.exists()


@pytest.mark.parametrize("arguments", [["--help"], ["validate"], ["list", "--json"], ["nonsense"]])
def test_the_light_commands_import_nothing_heavy(project: Project, arguments: list[str]) -> None:
    project.spec("orders")
    code = (
        "import sys\n"
        "from autoloader_dagster.cli.app import main\n"
        f"main({arguments!r})\n"
        "heavy = {'dagster', 'pyspark', 'boto3', 'sqlalchemy', 'alembic', 'pandas', 'pyarrow'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env=project.env(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_error_has_its_exit_code() -> None:
    codes = {
        name: exit_code(error.__new__(error))
        for name, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.AutoloaderError) and error is not errors.RunFailed
    }
    environment = {
        "UsageError", "SourceAccessDenied", "SourceUnavailable", "StateError", "SparkError",
        "SparkUnavailable", "SparkBroken", "SparkSetupError", "SpecsNotReadable",
        "TableUnavailable",
    }  # fmt: skip
    assert {name for name, code in codes.items() if code == 2} == environment
    assert set(codes.values()) == {1, 2}


def test_ctrl_c_during_the_imports_ends_it_without_a_traceback(tmp_path: Path) -> None:
    # As if the key were pressed while this is imported.
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    (script,) = entry_points(group="console_scripts", name="autoloader")
    module, _, function = script.value.partition(":")
    done = subprocess.run(
        [sys.executable, "-c", f"from {module} import {function} as f; raise SystemExit(f())"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_wrong_usage_is_exit_2(project: Project) -> None:
    for arguments in (["nonsense"], ["run"], ["list", "--nonsense"], ["preview", "x", "--rows=0"]):
        done = project.run(*arguments)
        assert done.code == 2, arguments
        assert "error:" in done.err.lower()
        assert not done.out


@pytest.mark.parametrize("option", ["--reload", "--yes", "-y"])
def test_what_run_did_once_names_the_command_that_does_it_now(
    project: Project, option: str
) -> None:
    project.spec("orders")
    done = project.run("run", "orders", option, "--partition", "2026-01-02")
    assert (done.code, done.out) == (2, "")
    assert "autoloader reload" in done.err
    assert option not in project.run("run", "--help").out


def test_an_impossible_setting_is_exit_2(project: Project) -> None:
    done = project.run("list", SPARK_REMOTE="localhost:15002")
    assert done.code == 2
    assert done.err.startswith("error: SPARK_REMOTE is 'localhost:15002'")
    assert "\n  -> Set it to sc://" in done.err


@pytest.mark.parametrize("character", "?:")
def test_a_home_that_sqlite_or_spark_would_take_for_another_is_refused(
    project: Project, character: str
) -> None:
    project.spec("orders")
    home = project.root / f"what{character}"
    done = project.run("status", AUTOLOADER_HOME=str(home))
    assert done.code == 2
    assert f"AUTOLOADER_HOME is {home}, and its path contains a {character}\n" in done.err
    assert not list(project.root.glob("what*"))


def test_a_missing_specs_folder_is_an_error_that_names_it(project: Project) -> None:
    commands = ("validate", "list", "status", "reconcile", "unused", "run --all", "files orders",
                "run orders", "preview orders", "history orders", "trace orders a.csv",
                "adopt a --from b", "retry orders", "dismiss orders", "undo orders",
                "reload orders")  # fmt: skip
    (project.root / "a_file").touch()
    for command in commands:
        done = project.run(*command.split())
        assert done.code == 2, command
        assert done.out == ""
        reason = "specs folder ingestion_specs cannot be read: No such file or directory"
        assert reason in done.err
        assert "AUTOLOADER_SPECS_DIR" in done.err
    done = project.run("validate", AUTOLOADER_SPECS_DIR="a_file")
    assert done.code == 2
    assert "specs folder a_file cannot be read: Not a directory" in done.err
    assert not list(project.root.glob("ingestion_specs"))


def test_a_specs_folder_without_a_spec_is_told(project: Project) -> None:
    assert project.specs.is_dir()
    for command, code in (("validate", 0), ("list", 0), ("status", 0), ("list --json", 0),
                          ("files orders", 1)):  # fmt: skip
        done = project.run(*command.split())
        assert done.code == code, command
        told = ("there is no spec in ingestion_specs", "are no specs yet in ingestion_specs")
        assert any(each in done.err for each in told), command


def test_validate_shows_every_fault_with_its_line(project: Project) -> None:
    project.spec("good")
    project.spec("bad", partition={"every": "dayly"}, source={"type": "sftp", "url": "sftp://h/x"})
    done = project.run("validate")
    assert done.code == 1
    assert "ingestion_specs/bad.yaml:" in done.err
    assert "partition.every" in done.err
    assert "source.type" in done.err
    assert "good" in done.out


def test_validate_as_json_holds_specs_and_faults_and_nothing_else(project: Project) -> None:
    project.spec("good")
    project.spec("bad", partition={"every": "dayly"})
    done = project.run("validate", "--json")
    assert done.code == 1
    assert not done.err
    assert set(done.json) == {"specs", "faults"}
    assert [spec["name"] for spec in done.json["specs"]] == ["good"]
    (fault,) = done.json["faults"]
    assert set(fault) == {"file", "line", "key", "message"}
    assert (fault["file"], fault["key"]) == ("ingestion_specs/bad.yaml", "partition.every")
    assert isinstance(fault["line"], int)


def test_validate_can_be_asked_for_some_specs(project: Project) -> None:
    project.spec("good")
    project.spec("bad", partition={"every": "dayly"})
    assert project.run("validate", "good").code == 0
    assert project.run("validate", "bad").code == 1
    unknown = project.run("validate", "god")
    assert unknown.code == 1
    assert "there is no spec 'god'" in unknown.err


def test_list_shows_broken_specs_too(project: Project) -> None:
    project.spec("good", trigger={"schedule": "hourly"})
    project.spec("bad", partition={"every": "dayly"})
    done = project.run("list", "--json")
    assert done.code == 0
    by_name = {spec["name"]: spec for spec in done.json["specs"]}
    assert by_name["good"]["trigger"] == "hourly"
    assert by_name["good"]["table"] == "lake.cli.good"
    assert by_name["good"]["source"] == str(project.root / "in")
    assert by_name["bad"]["broken"] is True
    assert "dayly" in by_name["bad"]["faults"][0]
    assert "BROKEN" in project.run("list").out


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--help"]])
def test_a_reader_that_went_away_is_no_error(project: Project, arguments: list[str]) -> None:
    project.spec("orders")
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as nobody_reads:
        done = _with_streams(project, arguments, stdout=nobody_reads)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--help"]])
def test_stdout_that_takes_nothing_is_an_error_that_says_so(
    project: Project, arguments: list[str]
) -> None:
    project.spec("orders")
    with Path("/dev/full").open("wb") as full:
        done = _with_streams(project, arguments, stdout=full)
    assert done.returncode == 2
    assert b"error: the output cannot be written to stdout: No space left on device" in done.stderr
    done = _with_streams(project, arguments, closed=1)
    assert done.returncode == 2
    assert done.stderr.count(b"error: ") == 1
    assert b"error: the output cannot be written to stdout: Bad file descriptor" in done.stderr
    assert b"fault of autoloader_dagster" not in done.stderr


def test_a_closed_stdout_is_not_given_to_the_next_file_that_is_opened(project: Project) -> None:
    """SQLite would open the state under the number of stdout, and print into it."""
    project.spec("orders")
    for _ in range(2):
        done = _with_streams(project, ["status"], closed=1)
        assert b"cannot be written to stdout" in done.stderr
    done = project.run("status", "--json")
    assert done.json["ingestions"][0]["ingestion"] == "default/orders", done.err


def test_stderr_that_takes_nothing_leaves_the_exit_code(project: Project) -> None:
    project.spec("orders")
    with Path("/dev/full").open("wb") as full:
        for arguments, code in ((["list"], 0), (["history", "ordres"], 1), (["nonsense"], 2)):
            assert _with_streams(project, arguments, stderr=full).returncode == code, arguments
    done = _with_streams(project, ["nonsense"], closed=2)
    assert done.returncode == 2


def _with_streams(
    project: Project, arguments: list[str], closed: int | None = None, **streams: Any
) -> "subprocess.CompletedProcess[bytes]":
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = project.command(*arguments)
    if closed is not None:
        # Not by a function in the child: gRPC, which other tests use, may open a file there.
        command = ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *command]
    return subprocess.run(
        command,
        cwd=project.root,
        env=project.env(),
        timeout=60,
        check=False,
        **(pipes | streams),
    )


def test_ctrl_c_is_one_line_and_130(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        child = subprocess.Popen(
            project.command("query", "select 1"),
            cwd=project.root,
            env=project.env(SPARK_REMOTE=f"sc://127.0.0.1:{silent.getsockname()[1]}"),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            # The first connection only asks whether somebody listens; on the second it waits for
            # an answer that never comes.
            silent.accept()[0].close()
            with silent.accept()[0]:
                child.send_signal(signal.SIGINT)
                _, err = child.communicate(timeout=30)
        finally:
            child.kill()
            child.communicate()
    assert err == "interrupted\n"
    assert child.returncode == 130
