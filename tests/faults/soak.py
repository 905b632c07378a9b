"""Breaks loads at random for some minutes and prints one table: what was lost, doubled, unsettled.

``script/soak --minutes 30 --seed 7``. Each line of work has servers of its own and takes one series
of cases after the other; a series is made again from its fault, its database and its seed.
"""

import argparse
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from autoloader_dagster.spark.server.embedded import EmbeddedServer
from tests.faults import (
    bad_databases,
    changing_files,
    clocks,
    crowds,
    daemon,
    killed,
    lost_answers,
    random_kills,
    zombies,
)
from tests.faults.checker import Verdict
from tests.faults.ground import DATABASES, Case, Ground, Outcome, series
from tests.fixtures.catalogs import open_catalogs
from tests.fixtures.postgres import running_postgres
from tests.fixtures.spark import settings_for

WORDS = {
    "F1": "worker killed (SIGKILL) at a named point",
    "F2": "worker, Spark and PostgreSQL killed at random",
    "F2 daemon": "Dagster's daemon, code server, run worker killed",
    "F3": "8 workers at once, one spec or two on one table",
    "F4": "a commit to the catalog lost, or its answer",
    "F5": "worker stopped past its lease, resumed later",
    "F6": "files changed, cut, grown, deleted meanwhile",
    "F7": "PostgreSQL down, SQLite locked",
    "F10": "5 % of database calls fail",
    "F11": "clock off by a day; files from 1970, 2100, late",
}


@dataclass(frozen=True)
class Plan:
    """How a fault becomes series of cases.

    Attributes:
        series: Runs one, on a place, with one of the databases and a seed.
        length: How many cases a series has.
        weight: How many cases of it there are while F1 has 400.
        databases: On which it makes sense; for F4, the catalogs.
        place: Where: a ground that all share, one whose servers may be killed, or the catalogs.
    """

    series: Callable[[Any, str, int], list[Outcome]]
    length: int
    weight: float
    databases: Sequence[str] = DATABASES
    place: str = "shared"

    @property
    def crowded(self) -> bool:
        """Whether several series may be there at once."""
        return self.place == "shared"


def _plan(
    case: Case,
    variants: Sequence[str],
    length: int,
    weight: float,
    databases: Sequence[str] = DATABASES,
    place: str = "shared",
    **spec: Any,
) -> Plan:
    """Series of a case on a site: each has every variant once, or some at random."""

    def on_a_site(ground: Ground, database: str, seed: int) -> list[Outcome]:
        rng = random.Random(seed)
        chosen = [rng.choice(variants) for _ in range(length)]
        if length == len(variants):
            chosen = rng.sample(variants, length)
        return series(ground, database, case, chosen, seed, **spec)

    return Plan(on_a_site, length, weight, databases, place)


PLANS = {
    "F1": _plan(killed.kill_at, killed.POINTS, len(killed.POINTS), 400),
    "F1 ": _plan(killed.kill_undo_at, killed.UNDO_POINTS, len(killed.UNDO_POINTS), 40),
    "F2": _plan(
        random_kills.kill_at_random, [""], 6, 75, place="alone", batch={"max_files": 3}
    ),
    "F2 daemon": _plan(daemon.kill_daemon, [""], 3, 9),
    "F3": _plan(
        lambda ground, site, variant, seed: crowds.crowd(ground, site.kind, 8, 200, int(variant)),
        ["1", "2"], 1, 4,
    ),
    "F4": Plan(lost_answers.series, 10, 220, ("pglake", "restlake"), "catalogs"),
    "F5": _plan(zombies.wake_a_zombie, zombies.POINTS, len(zombies.POINTS), 55),
    "F6": _plan(changing_files.change_between, changing_files.MOMENTS, 15, 210),
    "F7": _plan(
        bad_databases.down_at, ["looked", "published", "claimed"], 4, 16, ("postgresql",), "alone"
    ),
    "F7 ": _plan(bad_databases.locked_for_a_while, [""], 4, 12, ("sqlite",)),
    "F10": _plan(bad_databases.failing_calls, [""], 6, 24, ("postgresql",)),
    "F11": _plan(clocks.wrong_clock, clocks.CLOCKS, 6, 24, partition={"by": "none"}),
}  # fmt: skip


def main() -> None:
    """Soak, print the table, and exit with 1 if anything was wrong."""
    # Which a shell has its background jobs ignore, and with them all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = _arguments()
    soak = Soak(asked.seed, asked.minutes, asked.only)
    if asked.repeat:
        fault, database, seed = asked.repeat.split(":")
        soak.repeat(fault, database, int(seed))
    else:
        soak.run(asked.lines)
    table = soak.table()
    print(f"\n{table}")
    if asked.markdown:
        asked.markdown.write_text(table, encoding="utf-8")
    sys.exit(1 if any(outcome.verdict for outcome in soak.outcomes) else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", help="faults, as F1,F5; default all", default=",".join(WORDS))
    parser.add_argument("--lines", type=int, default=3, help="lines of work beside each other")
    parser.add_argument("--repeat", help="FAULT:DATABASE:SEED of one series, as it was printed")
    parser.add_argument("--markdown", type=Path, help="a file for the table")
    return parser.parse_args()


class Soak:
    """One soak, and what came of it.

    Args:
        seed: Chooses everything.
        minutes: After which no new series is begun.
        only: The faults, separated by commas.
    """

    def __init__(self, seed: int, minutes: float, only: str) -> None:
        self.outcomes: list[Outcome] = []
        self._seed = seed
        self._minutes = minutes
        wanted = only.split(",")
        self._plans = {name: p for name, p in PLANS.items() if name.strip() in wanted}
        # The nth series of a fault is the same in each soak with this seed.
        self._chance = {name: random.Random(f"{seed}/{name}") for name in self._plans}
        self._done = dict.fromkeys(self._plans, 0)
        self._busy: set[str] = set()
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def run(self, lines: int) -> None:
        """Work on all lines until the time is over."""
        with Places() as places, ThreadPoolExecutor(lines) as threads:
            for done in [threads.submit(self._line, places) for _ in range(lines)]:
                done.result()

    def repeat(self, fault: str, database: str, seed: int) -> None:
        """One series again."""
        name = next(n for n, p in PLANS.items() if n.strip() == fault and database in p.databases)
        with Places() as places:
            self._series(places, name, database, seed)

    def table(self) -> str:
        """The outcome as Markdown, which reads well as plain text too."""
        minutes = (time.monotonic() - self._began) / 60
        day = datetime.now(timezone.utc)
        lines = [
            f"{day:%Y-%m-%d}, {minutes:.0f} minutes, seed {self._seed}; "
            f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
            f"Python {platform.python_version()}",
            "",
            "| fault | what | runs | lost | double | unsettled | state disagrees "
            "| slowest recovery (s) |",
            "|---|---|---|---|---|---|---|---|",
        ]
        groups: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in self.outcomes:
            groups[outcome.fault].append(outcome)
        for fault, what in WORDS.items():
            found = groups.get(fault, [])
            if found:
                counts = [
                    sum(bool(getattr(o.verdict, kind)) for o in found)
                    for kind in ("lost", "double", "unsettled", "disagree")
                ]
                slowest = max(o.seconds for o in found)
                cells = [fault, what, len(found), *counts, f"{slowest:.1f}"]
                lines.append("| " + " | ".join(map(str, cells)) + " |")
        if groups.get("F2"):
            lines += ["", f"The runs of F2 had {self._kills()} kills."]
        return "\n".join(lines) + "\n"

    def _kills(self) -> int:
        cases = [o.case for o in self.outcomes if o.fault.startswith("F2")]
        return sum(c.partition(";")[0].count(",") + 1 for c in cases if c.startswith("killed"))

    def _line(self, places: "Places") -> None:
        while (time.monotonic() - self._began) / 60 < self._minutes:
            with self._lock:
                # What is furthest behind its share comes next, of what has its place free.
                free = [n for n, p in self._plans.items() if p.crowded or p.place not in self._busy]
                name = min(free, key=lambda n: (self._done[n] / PLANS[n].weight, n), default=None)
                if name is not None:
                    plan = PLANS[name]
                    self._done[name] += plan.length
                    self._busy.add(plan.place)
                    database = self._chance[name].choice(plan.databases)
                    seed = self._chance[name].randrange(10**6)
            if name is None:
                return  # the other lines have what there is to do
            self._series(places, name, database, seed)
            with self._lock:
                self._busy.discard(plan.place)

    def _series(self, places: "Places", name: str, database: str, seed: int) -> None:
        plan, fault = PLANS[name], name.strip()
        try:
            outcomes = plan.series(places[plan.place], database, seed)
        except Exception:
            stuck = Verdict(unsettled=[traceback.format_exc()])
            outcomes = [Outcome(fault, "the series did not begin", seed, stuck, 0.0)]
        outcomes = [Outcome(fault, o.case, o.seed, o.verdict, o.seconds) for o in outcomes]
        bad = [o for o in outcomes if o.verdict]
        with self._lock:
            self.outcomes += outcomes
            minutes = (time.monotonic() - self._began) / 60
            print(
                f"{minutes:5.1f} min  {fault:4} {database:10} {len(outcomes):3} runs, "
                f"{len(bad)} wrong, slowest {max(o.seconds for o in outcomes):.1f} s; "
                f"{len(self.outcomes)} in all",
                flush=True,
            )
            for outcome in bad:
                print(f"{outcome}\n  again: script/soak --repeat {fault}:{database}:{seed}")


class Places:
    """The servers that series need, each started when the first of them comes."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._open: dict[str, Any] = {}

    def __enter__(self) -> "Places":
        """Nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them all."""
        self._stack.close()

    def __getitem__(self, place: str) -> Any:
        """A ``Ground``; for ``catalogs``, a ``lost_answers.Bench``."""
        with self._lock:
            if place not in self._open:
                root = Path(tempfile.mkdtemp(prefix="autoloader-soak-"))
                self._stack.callback(shutil.rmtree, root, ignore_errors=True)
                opened = self._catalogs(root) if place == "catalogs" else self._ground(root)
                self._open[place] = opened
            return self._open[place]

    def _ground(self, root: Path) -> Ground:
        settings = settings_for(root / "home")
        postgres = self._stack.enter_context(running_postgres())
        self._stack.callback(lambda: EmbeddedServer(settings).stop())
        ground = Ground(settings, root / "ground", lambda: postgres.url, postgres)
        self._stack.callback(ground.close)
        return ground

    def _catalogs(self, root: Path) -> lost_answers.Bench:
        postgres = self._stack.enter_context(running_postgres())
        opened = self._stack.enter_context(open_catalogs(postgres.url, root / "servers"))
        return lost_answers.Bench(opened, root)


if __name__ == "__main__":
    main()
