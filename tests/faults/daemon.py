"""F2 with Dagster: the daemon and what it starts are killed, and the files are loaded all the same.

For the soak only: a daemon takes its time to begin, and to see that a run has died.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import dagster as dg
import psutil

from autoloader_dagster.specs.loader import load_specs
from tests.faults.checker import Verdict
from tests.faults.ground import Ground, Outcome, change_files
from tests.faults.processes import ROOT
from tests.faults.site import Site
from tests.fixtures.lake import read_table
from tests.fixtures.late_pages import add_runs
from tests.fixtures.truth import untrue_at

SETTLED_SECONDS = 240
KILLS = 3


def kill_daemon(ground: Ground, site: Site, _: str, seed: int) -> Outcome:
    """Drop files under a daemon, kill some of its processes, and wait until all is loaded."""
    rng = random.Random(seed)
    site.write_spec(trigger={"on_arrival": {"every": "5s"}}, batch={"max_files": 3})
    killed: list[str] = []
    _make_home(site)
    loaded = load_specs(site.root / "specs").get(site.name)
    with dg.DagsterInstance.from_config(str(site.root / "dagster")) as instance:
        # The first files of a site are loaded by a worker.
        add_runs(instance, loaded, site.database_url)
    with Daemon(site) as daemon:
        for number in range(KILLS):
            change_files(site, rng, f"e{seed}-{number}")
            # From the first tick to the middle of a run.
            time.sleep(rng.uniform(4, 25))
            killed.append(daemon.kill_one(rng))
        began = time.monotonic()
        verdict = _judge(site)
        while verdict and time.monotonic() - began < SETTLED_SECONDS:
            time.sleep(1)
            daemon.run_again()
            verdict = _judge(site)
        seconds = time.monotonic() - began
    case = f"killed {', '.join(killed)}; daemon, {site.kind}"
    return Outcome("F2", case, seed, verdict, seconds)


def _judge(site: Site) -> Verdict:
    """State and table, and then what Dagster's pages show of them."""
    verdict = site.check()
    if not verdict:
        loaded = load_specs(site.root / "specs").get(site.name)
        table = read_table(site.settings, loaded.spec.table.name)
        verdict.disagree.extend(untrue_at(site.root / "dagster", loaded, site.database_url, table))
    return verdict


class Daemon:
    """``dagster-daemon``, started again whenever it is found dead, as a supervisor does."""

    def __init__(self, site: Site) -> None:
        self._environ = {**os.environ, **site.job()["environ"]}
        self._environ["DAGSTER_HOME"] = str(site.root / "dagster")
        self._environ.pop("SPARK_REMOTE", None)
        self._log = site.root / "daemon.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._seen: set[psutil.Process] = set()

    def __enter__(self) -> "Daemon":
        """Begin."""
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it and all that it has started."""
        self._note()
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
        for process in self._seen:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for process in self._processes:
            process.wait(20)

    def kill_one(self, rng: random.Random) -> str:
        """SIGKILL to the daemon, its code server or a run's worker; whichever comes."""
        self._note()
        daemon = psutil.Process(self._processes[-1].pid)
        ours = {
            "run worker": [p for p in self._seen if _is(p, "execute_run")],
            "code server": [p for p in self._seen if _is(p, "grpc")],
            "daemon": [daemon],
        }
        there = [name for name, found in ours.items() if found]
        # A run's worker is there for seconds only.
        name = "run worker" if "run worker" in there and rng.random() < 0.7 else rng.choice(there)
        victim = rng.choice(sorted(ours[name], key=lambda process: process.pid))
        with suppress(psutil.NoSuchProcess):
            victim.kill()
        self.run_again()
        return name

    def run_again(self) -> None:
        """Start it, if it is dead."""
        self._note()
        if self._processes[-1].poll() is not None:
            self._start()

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [str(Path(sys.executable).with_name("dagster-daemon")), "run"],
                    cwd=ROOT,
                    env=self._environ,
                    stdout=log,
                    stderr=log,
                )
            )

    def _note(self) -> None:
        """Remember what it has started, but not Spark's server, which is everybody's."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._processes[-1].pid).children(recursive=True)
            self._seen |= {p for p in children if _is(p, "dagster")}
        self._seen = {process for process in self._seen if process.is_running()}


def _is(process: psutil.Process, word: str) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        command = " ".join(process.cmdline())
        return word in command and "supervisor" not in command and "java" not in command
    return False


def _make_home(site: Site) -> None:
    """Dagster's home for this site, with the repository's own settings."""
    home = site.root / "dagster"
    home.mkdir(exist_ok=True)
    if not (home / "dagster.yaml").exists():
        (home / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
