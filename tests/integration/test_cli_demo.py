"""The demo, as a new user runs it, and the web UI that it proposes next."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from autoloader_dagster.settings import Settings
from tests.fixtures.lake import read_table
from tests.integration.cli_steps import Project

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, spark_settings: Settings) -> Project:
    """The repository's specs and samples, with the shared Spark server."""
    for name in ("ingestion_specs", "samples"):
        shutil.copytree(_ROOT / name, tmp_path / name)
    state = {
        "AUTOLOADER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    (tmp_path / "dagster").mkdir()
    shutil.copy(_ROOT / "dagster.yaml", tmp_path / "dagster")
    return Project(tmp_path, spark_settings.home, state)


def test_the_demo_ends_with_exactly_the_files_rows_each_time(
    project: Project, spark_settings: Settings
) -> None:
    for _ in range(2):
        done = project.run("demo")
        assert done.code == 0, done.err
        assert "ERROR" not in done.out + done.err
        second = done.out.split("just these were loaded")[1].split("unchanged")[0]
        assert "03-22-2020.csv" in second
        assert "11-09-2020.csv" in second
        assert second.count(".csv") == 2
        assert "14 files unchanged and not read\n" in done.out
        assert "autoloader up" in done.out
        for table, rows in (
            ("lake.health.covid_daily", 29_749),
            ("lake.security.cloudtrail", 872),
            ("lake.weather.hourly", 26_115),
        ):
            assert read_table(spark_settings, table).num_rows == rows
            assert f"{rows:,}" in done.out
    kept = {"ingestion_specs", "samples", ".autoloader", "state.db", "dagster"}
    assert {p.name for p in project.root.iterdir() if "state.db-" not in p.name} == kept


def test_the_demo_leaves_a_changed_spec_alone(project: Project) -> None:
    spec = project.specs / "covid_daily.yaml"
    spec.write_text(spec.read_text().replace("lake.health.covid_daily", "lake.prod.covid"))
    done = project.run("demo")
    assert done.code == 2
    assert "lake.prod.covid" in done.err
    assert not (project.root / ".autoloader").exists()
    assert project.run("demo", SPARK_REMOTE="sc://127.0.0.1:1").code == 2


def test_up_in_the_background_serves_the_ui_and_ends_when_told_to(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = project.root / "up.log"
    before = {path.name for path in project.root.iterdir()}
    with log.open("wb") as output:
        child = subprocess.Popen(
            # Nothing is loaded here, so no server is needed; paused sensors would tick at once.
            project.command("up", "--port", str(port)),
            cwd=project.root,
            env=project.env(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # As a shell starts what is put behind '&'. How one in front ends at Ctrl-C, all tests
            # see that have one.
            preexec_fn=_ignore_interrupts,
        )
        try:
            _await_text(log, f"Dagster UI: http://127.0.0.1:{port}", child)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=10) as got:
                assert got.status == 200
            child.terminate()
            assert child.wait(60) == 128 + signal.SIGTERM
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
    after = {p.name for p in project.root.iterdir() if not p.name.startswith("state.db")}
    assert after == before | {"up.log"} - {"state.db"}


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _await_text(log: Path, text: str, child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 90
    while text not in log.read_text() and time.monotonic() < deadline:
        assert child.poll() is None, log.read_text()
        time.sleep(0.1)
    assert text in log.read_text()
