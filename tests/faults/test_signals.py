"""F21: ``autoloader run`` that is told to end finishes or releases its batch, and ends."""

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.project import ROOT, Project, wait_for

RELEASE_SECONDS = 30
AT_ONCE_SECONDS = 5


def _begin(project: Project, failpoints: str) -> "subprocess.Popen[bytes]":
    log = (project.root / "run.log").open("ab")
    with log:
        return subprocess.Popen(
            [sys.executable, "-m", "autoloader_dagster.cli.app", "run", "orders"],
            cwd=ROOT,
            env={**project.environ, "AUTOLOADER_FAILPOINTS": failpoints},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _end(process: "subprocess.Popen[bytes]", seconds: float, project: Project) -> float:
    began = time.monotonic()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
        pytest.fail(f"still there after {seconds} s: {(project.root / 'run.log').read_text()}")
    return time.monotonic() - began


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_has_the_batch_released_and_a_second_one_ends_it_at_once(
    project: Project, sent: signal.Signals
) -> None:
    project.write_spec("orders")
    (project.landing("orders") / "a.csv").write_text("id\n1\n")
    project.environ["DAGSTER_HOME"] = str(project.root / "dagster")
    with closing(ProcessedFiles(project.settings.database_url)) as store:
        store.upgrade()
        reached = project.root / "go.reached"
        written = f"written=pause:{project.root / 'go'}"

        process = _begin(project, written)
        wait_for(reached.exists, 120, "the write")
        process.send_signal(sent)
        _end(process, RELEASE_SECONDS, project)
        assert process.returncode not in (0, -signal.SIGKILL)
        assert {b.status for b in store.batches.latest("default/orders")} <= {
            "RELEASED",
            "RECORDED",
        }
        assert {f.status for f in store.files.find("default/orders")} <= {"DISCOVERED", "SUCCESS"}

        # A second signal, while the first is being answered.
        reached.unlink()
        slow = project.root / "slow"
        process = _begin(project, f"{written},dropping=pause:{slow}")
        wait_for(reached.exists, 120, "the write")
        process.send_signal(sent)
        wait_for(Path(f"{slow}.reached").exists, RELEASE_SECONDS, "the clean-up")
        process.send_signal(sent)
        assert _end(process, AT_ONCE_SECONDS, project) < AT_ONCE_SECONDS

        done = project.run("autoloader_dagster.cli.app", "run", "orders")
        assert "1 files loaded" in done.stdout
    assert project.ids("orders") == [1]
    assert project.untrue("orders") == []
