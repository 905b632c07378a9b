"""What the machine refuses is said as that, and never as a fault of this package."""

import errno
import json
import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from autoloader_dagster.cli.machine_errors import machine_error
from tests.integration.cli_steps import Project

_NOBODY = 12345
# So that nobody can read the interpreter below root's folder, but write nowhere.
_AS_NOBODY = [
    "setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
    "env", "-u", "HOME", "-u", "XDG_CACHE_HOME",
]  # fmt: skip
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path, tmp_path / "home")
    project.spec("orders")
    (project.folder() / "a.csv").write_text("id\n1\n")
    return project


def _run(
    project: Project,
    *arguments: str,
    prefix: list[str] | None = None,
    before: Callable[[], None] | None = None,
    **environ: str,
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [*(prefix or []), *project.command(*arguments)],
        cwd=project.root,
        env=project.env(**environ),
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "fault of autoloader_dagster" not in done.stderr
    return done


@needs_root
def test_a_user_without_home_and_passwd_entry_can_work(project: Project) -> None:
    project.home.mkdir()
    os.chown(project.home, _NOBODY, _NOBODY)
    done = _run(project, "status", prefix=_AS_NOBODY)
    assert (done.returncode, done.stderr) == (0, "")
    done = _run(project, "list", prefix=_AS_NOBODY, AUTOLOADER_HOME="~/here")
    assert done.returncode == 2
    assert "AUTOLOADER_HOME is '~/here', and this user has no home folder" in done.stderr
    done = _run(project, "spark", "start", prefix=_AS_NOBODY)
    assert done.returncode == 2
    assert f"by user id {_NOBODY}, because this id has no entry in /etc/passwd" in done.stderr


@needs_root
def test_the_home_of_another_user_is_named(project: Project) -> None:
    for folder in (project.home / "dagster", project.home / "dagster" / "storage"):
        folder.mkdir(parents=True)
    (project.root / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    for command in (["status"], ["spark", "start"], ["run", "orders"]):
        done = _run(project, *command, prefix=_AS_NOBODY)
        assert done.returncode == 2, command
        assert str(project.home) in done.stderr
        assert "\n  -> " in done.stderr


def test_a_full_disk_of_dagster_is_named(project: Project) -> None:
    (project.root / "dagster.yaml").write_text("telemetry: {enabled: false}\n")

    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = _run(
        project,
        "run",
        "orders",
        before=no_large_files,
        AUTOLOADER_DATABASE_URL="sqlite://",
        SPARK_REMOTE="sc://127.0.0.1:1",
    )
    assert done.returncode == 2
    assert f"error: Dagster's storage in {project.home / 'dagster'} failed: " in done.stderr
    assert "Check that its disk has room" in done.stderr


def test_a_working_folder_that_was_removed_is_named(project: Project) -> None:
    for home in (str(project.home), ".autoloader"):
        gone = project.root / "gone"
        gone.mkdir()
        done = _run(
            project,
            "list",
            prefix=["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', str(gone)],
            AUTOLOADER_HOME=home,
        )
        assert done.returncode == 2
        assert "error: the working folder does not exist any more\n  -> " in done.stderr


def test_a_terminal_that_tells_no_width_gets_all_lines(project: Project) -> None:
    for arguments in (["list"], ["--help"]):
        expected = project.run(*arguments, COLUMNS="80")
        for columns in ("0", "00", ""):
            done = project.run(*arguments, COLUMNS=columns)
            assert done.code == 0
            assert "fault of autoloader_dagster" not in expected.err + done.err
            assert len(done.out.split()) >= len(expected.out.split()) // 2, columns


def test_an_encoding_that_lacks_a_character_loses_no_line(project: Project) -> None:
    (project.folder() / "na\u00efve \U0001f600.csv").write_text("id\n1\n")
    done = _run(project, "files", "orders", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert r"na\xefve \U0001f600.csv" in done.stdout
    done = _run(project, "files", "orders", "--json", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    paths = [file["path"] for file in json.loads(done.stdout)["files"]]
    assert f"{project.folder()}/na\u00efve \U0001f600.csv" in paths


def test_the_cause_is_found_below_other_errors(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.execute("pragma max_page_count = 1")
        with pytest.raises(sqlite3.Error) as full:
            database.execute("create table t (a)")
    outer = RuntimeError("outer")
    outer.__cause__ = full.value
    found = machine_error(outer)
    assert found is not None
    assert found.what == "Dagster's storage failed: database or disk is full"

    denied = machine_error(PermissionError(errno.EACCES, "?", str(tmp_path)))
    assert denied is not None
    assert denied.what == f"{tmp_path}: Permission denied"
    assert machine_error(ValueError("a fault")) is None
    assert machine_error(FileNotFoundError(errno.ENOENT, "?", "x")) is None
