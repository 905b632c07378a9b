"""F21: ``autoloader run`` that is told to end finishes or releases its batch, and ends."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.project import ROOT, Project, wait_for

RELEASE_SECONDS = 30
AT_ONCE_SECONDS = 5


Stop = Callable[["subprocess.Popen[bytes]"], object]


def _begin(project: Project, failpoints: str, terminal: int) -> "subprocess.Popen[bytes]":
    """Start the command in a terminal of its own; what it prints goes to a file."""
    log = (project.root / "run.log").open("ab")
    with log:
        return subprocess.Popen(
            [sys.executable, "-m", "autoloader_dagster.cli.app", "run", "orders"],
            cwd=ROOT,
            env={**project.environ, "AUTOLOADER_FAILPOINTS": failpoints},
            stdin=terminal,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=partial(fcntl.ioctl, 0, termios.TIOCSCTTY, 0),
        )


@contextmanager
def _terminal() -> Iterator[tuple[int, int]]:
    """The side of the keyboard, and that of the programs."""
    keyboard, programs = pty.openpty()
    try:
        yield keyboard, programs
    finally:
        os.close(keyboard)
        os.close(programs)


def _end(process: "subprocess.Popen[bytes]", seconds: float, project: Project) -> float:
    began = time.monotonic()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
        pytest.fail(f"still there after {seconds} s: {(project.root / 'run.log').read_text()}")
    return time.monotonic() - began


@pytest.mark.parametrize("by", ["SIGTERM", "Ctrl-C"])
def test_a_signal_has_the_batch_released_and_a_second_one_ends_it_at_once(
    project: Project, by: str
) -> None:
    with _terminal() as (keyboard, terminal):

        def stop(process: "subprocess.Popen[bytes]") -> None:
            # A terminal sends its signal to all processes that the command has started, too.
            if by == "Ctrl-C":
                os.write(keyboard, b"\x03")
            else:
                process.send_signal(signal.SIGTERM)

        _stop_twice(project, terminal, stop)
    said = (project.root / "run.log").read_text()
    assert "Traceback" not in said, said


def _stop_twice(project: Project, terminal: int, stop: Stop) -> None:
    project.write_spec("orders")
    (project.landing("orders") / "a.csv").write_text("id\n1\n")
    project.environ["DAGSTER_HOME"] = str(project.root / "dagster")
    with closing(ProcessedFiles(project.settings.database_url)) as store:
        store.upgrade()
        reached = project.root / "go.reached"
        written = f"written=pause:{project.root / 'go'}"

        process = _begin(project, written, terminal)
        wait_for(reached.exists, 120, "the write")
        stop(process)
        _end(process, RELEASE_SECONDS, project)
        assert process.returncode not in (0, -signal.SIGKILL)
        assert {b.status for b in store.batches.latest("default/orders")} <= {
            "RELEASED",
            "RECORDED",
        }
        assert {f.status for f in store.files.find("default/orders")} <= {"DISCOVERED", "SUCCESS"}
        status = project.run("autoloader_dagster.cli.app", "status", "orders").stdout
        assert "it was interrupted, for example by Ctrl-C" in " ".join(status.split())

        # A second signal, while the first is being answered.
        reached.unlink()
        slow = project.root / "slow"
        process = _begin(project, f"{written},dropping=pause:{slow}", terminal)
        wait_for(reached.exists, 120, "the write")
        stop(process)
        wait_for(Path(f"{slow}.reached").exists, RELEASE_SECONDS, "the clean-up")
        stop(process)
        assert _end(process, AT_ONCE_SECONDS, project) < AT_ONCE_SECONDS

        done = project.run("autoloader_dagster.cli.app", "run", "orders")
        assert "1 file loaded" in done.stdout
    assert project.ids("orders") == [1]
    assert project.untrue("orders") == []
