"""Breaks loads at random for some minutes and prints one table: what was lost, doubled, unsettled.

``script/soak --minutes 30 --seed 7``. Each line of work has servers of its own and takes one series
of cases after the other; a series is made again from its fault, its database and its seed.
"""

import argparse
import os
import platform
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from autoloader_dagster.spark.server import EmbeddedServer
from tests.faults import (
    bad_databases,
    changing_files,
    clocks,
    crowds,
    daemon,
    killed,
    random_kills,
    zombies,
)
from tests.faults.checker import Verdict
from tests.faults.ground import DATABASES, Case, Ground, Outcome, series
from tests.faults.servers import own_postgres
from tests.fixtures.spark import settings_for

WORDS = {
    "F1": "worker killed (SIGKILL) at a named point",
    "F2": "worker, Spark and PostgreSQL killed at random",
    "F2 daemon": "Dagster's daemon, code server, run worker killed",
    "F3": "8 workers at once, one spec or two on one table",
    "F5": "worker stopped past its lease, resumed later",
    "F6": "files changed, cut, grown, deleted meanwhile",
    "F7": "PostgreSQL down, SQLite locked",
    "F10": "5 % of database calls fail",
    "F11": "clock off by a day; files from 1970, 2100, late",
}


@dataclass(frozen=True)
class Plan:
    """How a fault becomes a series.

    Attributes:
        case: What is done.
        variants: Of which each series has some.
        length: How many in a series.
        weight: How often it is chosen, in cases.
        databases: On which it makes sense.
        alone: It kills servers, so it needs a ground where nobody else is.
        spec: More of the spec.
    """

    case: Case
    variants: Sequence[str]
    length: int
    weight: float
    databases: Sequence[str] = DATABASES
    alone: bool = False
    spec: dict[str, Any] = field(default_factory=dict)


PLANS = {
    "F1": Plan(killed.kill_at, killed.POINTS, len(killed.POINTS), 40),
    "F1 ": Plan(killed.kill_undo_at, killed.UNDO_POINTS, len(killed.UNDO_POINTS), 8),
    "F2": Plan(
        random_kills.kill_at_random, [""], 12, 60, alone=True, spec={"batch": {"max_files": 3}}
    ),
    "F2 daemon": Plan(daemon.kill_daemon, [""], 3, 9),
    "F3": Plan(
        lambda ground, site, variant, seed: crowds.crowd(ground, site.kind, 8, 200, int(variant)),
        ["1", "2"], 1, 2,
    ),
    "F5": Plan(zombies.wake_a_zombie, zombies.POINTS, len(zombies.POINTS), 10),
    "F6": Plan(changing_files.change_between, changing_files.MOMENTS, 15, 25),
    "F7": Plan(
        bad_databases.down_at, ["looked", "published", "claimed"], 4, 6, ("postgresql",), True
    ),
    "F7 ": Plan(bad_databases.locked_for_a_while, [""], 4, 4, ("sqlite",)),
    "F10": Plan(bad_databases.failing_calls, [""], 6, 6, ("postgresql",)),
    "F11": Plan(clocks.wrong_clock, clocks.CLOCKS, 6, 6, spec={"partition": {"by": "none"}}),
}  # fmt: skip


def main() -> None:
    """Soak, print the table, and exit with 1 if anything was wrong."""
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
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def run(self, lines: int) -> None:
        """Work on all lines until the time is over."""
        shared = {n: p for n, p in self._plans.items() if not p.alone}
        alone = {n: p for n, p in self._plans.items() if p.alone}
        work: list[Callable[[], None]] = []
        if alone:
            work.append(lambda: self._on_a_ground([(0, alone)]))
        rest = max(1, lines - len(work))
        if shared:
            work.append(lambda: self._on_a_ground([(n + 1, shared) for n in range(rest)]))
        with ThreadPoolExecutor(len(work)) as threads:
            for done in [threads.submit(each) for each in work]:
                done.result()

    def repeat(self, fault: str, database: str, seed: int) -> None:
        """One series again."""
        plan = next(p for n, p in PLANS.items() if n.strip() == fault and database in p.databases)
        with ExitStack() as stack:
            self._series(self._ground(stack), fault, plan, database, seed)

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

    def _on_a_ground(self, lines: Sequence[tuple[int, dict[str, Plan]]]) -> None:
        with ExitStack() as stack:
            ground = self._ground(stack)
            with ThreadPoolExecutor(len(lines)) as threads:
                for done in [threads.submit(self._line, ground, *line) for line in lines]:
                    done.result()

    @staticmethod
    def _ground(stack: ExitStack) -> Ground:
        root = Path(tempfile.mkdtemp(prefix="autoloader-soak-"))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        settings = settings_for(root / "home")
        postgres = stack.enter_context(own_postgres())
        stack.callback(lambda: EmbeddedServer(settings).stop())
        ground = Ground(settings, root / "ground", lambda: postgres.url, postgres)
        stack.callback(ground.close)
        return ground

    def _line(self, ground: Ground, line: int, plans: dict[str, Plan]) -> None:
        rng = random.Random(f"{self._seed}/{line}")
        done = dict.fromkeys(plans, 0.0)
        while (time.monotonic() - self._began) / 60 < self._minutes:
            # What is furthest behind its share comes next.
            fault = min(plans, key=lambda name: (done[name] / plans[name].weight, name))
            done[fault] += plans[fault].length
            database = rng.choice(plans[fault].databases)
            self._series(ground, fault.strip(), plans[fault], database, rng.randrange(10**6))

    def _series(self, ground: Ground, fault: str, plan: Plan, database: str, seed: int) -> None:
        rng = random.Random(seed)
        variants = [rng.choice(plan.variants) for _ in range(plan.length)]
        if plan.length == len(plan.variants):
            variants = rng.sample(plan.variants, plan.length)
        try:
            outcomes = series(ground, database, plan.case, variants, seed, **plan.spec)
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


if __name__ == "__main__":
    main()
