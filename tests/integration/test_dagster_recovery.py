"""Whatever process of Dagster is killed, its work goes on, with no hand on it."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.project import Project, WebServer, wait_for

_INGESTION = "default/arriving"
# For a machine that is busy; docs/guarantees.md has the seconds that were measured.
_TAKEN_UP_WITHIN = 150


class Gate:
    """Holds every run worker at one point of its load until it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reached = path.with_name(path.name + ".reached")
        self.open()

    def open(self) -> None:
        self.path.touch()

    def close(self) -> None:
        self.path.unlink()
        self._reached.unlink(missing_ok=True)

    def reached(self) -> bool:
        return self._reached.exists()


@pytest.fixture
def gate(project: Project) -> Gate:
    gate = Gate(project.root / "gate")
    project.environ["AUTOLOADER_FAILPOINTS"] = f"written=pause:{gate.path}"
    return gate


def test_the_work_of_killed_processes_is_taken_up(
    project: Project, gate: Gate, record_property: Callable[[str, object], None]
) -> None:
    project.write_spec(
        "arriving", partition={"by": "none"}, trigger={"on_arrival": {"every": "5s"}}
    )
    landing = project.landing("arriving")
    store = ProcessedFiles(project.settings.database_url)
    store.upgrade()
    # A killed worker alone is in test_dagster_daemon.
    kills: dict[str, Callable[[WebServer, int], list[psutil.Process]]] = {
        "code server and worker": lambda up, worker: [
            *up.processes("api grpc"), psutil.Process(worker)
        ],
        "daemon and worker": lambda up, worker: [
            *up.processes("dagster._daemon"), psutil.Process(worker)
        ],
        "web server": lambda up, _worker: up.processes("dagster_webserver"),
        "all": lambda up, _worker: up.processes(),
    }  # fmt: skip
    took: dict[str, float] = {}
    with project.autoloader_up() as up:
        for number, (name, victims) in enumerate(kills.items(), start=1):
            gate.close()
            (landing / f"{number}.csv").write_text(f"id\n{number}\n")
            wait_for(gate.reached, 90, f"a run to load the file for '{name}'")
            (batch,) = store.batches.latest(_INGESTION, limit=1)
            worker = _worker_of(up, batch.run_id)
            # Dagster may still be about to start again after the kill before this one.
            found = wait_for(
                lambda kill=victims, pid=worker: kill(up, pid), 60, f"what to kill for '{name}'"
            )
            for process in found:
                process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            gate.open()
            wait_for(
                lambda n=number: _loaded(store) == n, _TAKEN_UP_WITHIN, f"the work after '{name}'"
            )
            took[name] = round(time.monotonic() - killed, 1)
        # The last run tells at its end, or a tick for it.
        wait_for(lambda: not project.untrue("arriving"), 60, lambda: project.untrue("arriving"))
    store.close()
    assert project.ids("arriving") == list(range(1, len(kills) + 1))
    record_property("seconds until the work was taken up", took)


def _loaded(store: ProcessedFiles) -> int:
    totals = store.totals.counts(_INGESTION).get(_INGESTION, {})
    return totals["SUCCESS"].files if "SUCCESS" in totals else 0


def _worker_of(up: WebServer, run_id: str) -> int:
    """The process of a run, which holds the run's lock."""
    for process in psutil.process_iter(["pid"]):
        try:
            if any(f"/runs/{run_id}.lock" in file.path for file in process.open_files()):
                return process.pid
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    raise AssertionError(f"no process below {up.process} or elsewhere has run {run_id}")
