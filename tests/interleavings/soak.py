"""Walks scenarios for some minutes, and prints one table of what was walked and found.

``script/soak --interleavings --minutes 30 --seed 7``. First every scenario is gone through with few
switches between its actors, to the end; then some are drawn by the seed and walked from anywhere.
"""

import argparse
import itertools
import multiprocessing
import os
import platform
import random
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.interleavings.explore import Bounds, Explorer, Walk
from tests.interleavings.scenarios import Scenario
from tests.interleavings.schedule import Stage, shrink
from tests.interleavings.world import POLICIES, open_world

# Who is walked beside whom, where that can matter, and what there was before.
_WORKERS = ("load", "undo", "reload", "reconcile", "retry")
_EXPIRED = ("load!", "undo!", "reload!", "reconcile!")
_BY_HAND = ("change", "expire", "roll back", "remove")
_LOADED = ("loaded", "loaded, one new", "loaded, changed", "two loaded")


def pairs() -> Iterator[Scenario]:
    """Two actors at once."""
    for policy in POLICIES:
        for first, second in (
            *itertools.combinations_with_replacement(_WORKERS, 2),
            *itertools.product(_WORKERS[:4], _EXPIRED),
            *itertools.product(_WORKERS[:4], _BY_HAND),
        ):
            for before in _sensible({first, second}):
                yield Scenario(policy, before, (first, second))


def triples() -> Iterator[Scenario]:
    """Three actors at once."""
    for policy in POLICIES:
        for first, second, third in (
            *itertools.product(_WORKERS[:4], _BY_HAND, (*_WORKERS, *_EXPIRED)),
            *itertools.product(_WORKERS[:4], _WORKERS, _EXPIRED),
        ):
            for before in _sensible({first, second, third}):
                yield Scenario(policy, before, (first, second, third))


def _sensible(kinds: set[str]) -> Sequence[str]:
    """Where these have something to do."""
    amends = any(kind.startswith(("undo", "reload")) for kind in kinds)
    loads = any(kind.startswith("load") for kind in kinds)
    found = list(_LOADED) if amends or not loads else ["new", "two new", *_LOADED[1:3]]
    if "retry" in kinds:
        found = ["undone", "loaded, changed"]
    if kinds <= {"load", "load!", "change", "remove", "reconcile", "reconcile!"}:
        found = ["new", "two new", "loaded, changed", "loaded, one new"]
    return found


@dataclass(frozen=True)
class Task:
    """One walk to be done."""

    scenario: Scenario
    bounds: Bounds
    seed: int | None


def tasks(seed: int, only: str = "", kind: str = "all") -> Iterator[Task]:
    """All walks: what can be gone through to the end, then what the seed draws.

    Args:
        seed: Shuffles the scenarios, and draws.
        only: Scenarios whose text this pattern is found in.
        kind: ``all``, ``drawn`` for only what the seed draws, or ``free`` for pairs of actors that
            switch as often as they can.
    """
    chance = random.Random(seed)
    small = [s for s in pairs() if re.search(only, str(s))]
    large = [s for s in triples() if re.search(only, str(s))]
    chance.shuffle(small)
    chance.shuffle(large)
    if kind == "free":
        for kills, faults in ((0, 0), (1, 0), (0, 1)):
            yield from (Task(each, Bounds(kills, faults, None, 240), None) for each in small)
    if kind == "all":
        for bounds in (Bounds(0, 0, 1, 60), Bounds(1, 0, 1, 60), Bounds(0, 1, 1, 60)):
            yield from (Task(each, bounds, None) for each in small)
        yield from (Task(each, Bounds(0, 0, None, 60), None) for each in small)
        yield from (Task(each, Bounds(0, 0, 1, 60), None) for each in large)
        for bounds in (Bounds(0, 0, 2, 120), Bounds(1, 1, 2, 120)):
            yield from (Task(each, bounds, None) for each in small)
    while small or large:
        scenario = chance.choice(small + large)
        bounds = Bounds(
            chance.choice((0, 1, 2)), chance.choice((0, 1)), chance.choice((3, 5, None))
        )
        bounds = Bounds(bounds.kills, bounds.faults, bounds.switches, 30)
        yield Task(scenario, bounds, chance.randrange(10**9))


def _line(number: int, asked: argparse.Namespace, until: float, results: Any) -> None:
    """Do every so manieth task until the time is over or so many steps are done."""
    try:
        _walk_all(number, asked, until, results)
    finally:
        results.put(None)


def _walk_all(number: int, asked: argparse.Namespace, until: float, results: Any) -> None:
    steps, every = asked.steps, tasks(asked.seed, asked.only, asked.walks)
    with open_world() as world, tempfile.TemporaryDirectory() as folder:
        explorer, stage = Explorer(world, Path(folder)), Stage(world)
        for task in itertools.islice(every, number, None, asked.lines):
            if time.time() > until or steps <= 0:
                break
            walk = explorer.walk(task.scenario, task.bounds, task.seed)
            steps -= walk.steps
            found = {}
            for schedule, wrong in walk.found:
                if wrong not in found:
                    found[wrong] = shrink(stage, task.scenario, schedule)
            results.put((task, walk, found))


def main() -> None:
    """Walk, print the table, and exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="script/soak --interleavings", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--steps", type=int, default=10**12, help="of each process, at most")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--lines", type=int, default=os.cpu_count(), help="processes at once")
    parser.add_argument("--only", default="", help="scenarios whose text matches this")
    parser.add_argument(
        "--walks",
        choices=["all", "drawn", "free"],
        default="all",
        help="drawn: only what the seed draws; free: pairs that switch as often as they can",
    )
    parser.add_argument("--markdown", type=Path, help="a file for the table")
    asked = parser.parse_args()
    began, wrong, walks = time.time(), 0, []
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    until = began + asked.minutes * 60
    working = [
        context.Process(target=_line, args=(n, asked, until, results)) for n in range(asked.lines)
    ]
    for process in working:
        process.start()
    living = len(working)
    while living:
        answer = results.get()
        if answer is None:
            living -= 1
            continue
        task, walk, found = answer
        walks.append(walk)
        wrong += len(found)
        for what, schedule in found.items():
            print(f"{task.scenario} | {schedule}\n    " + "\n    ".join(what), flush=True)
        if len(walks) % 5 == 0:
            print(_sum(walks, began), flush=True)
    for process in working:
        process.join()
        wrong += process.exitcode != 0
    table = _table(walks, began, asked.seed)
    print(f"\n{table}")
    if asked.markdown:
        asked.markdown.write_text(table, encoding="utf-8")
    sys.exit(1 if wrong else 0)


def _sum(walks: Sequence[Walk], began: float) -> str:
    minutes = (time.time() - began) / 60
    orders = sum(walk.orders for walk in walks)
    steps = sum(walk.steps for walk in walks)
    whole = sum(walk.whole for walk in walks)
    return (
        f"{minutes:5.1f} min  {len(walks)} walks, {whole} of them whole; {orders:,.0f} orders in "
        f"{steps:,} steps ({orders / minutes:,.0f} orders a minute)"
    )


def _table(walks: Sequence[Walk], began: float, seed: int) -> str:
    groups: dict[str, list[Walk]] = defaultdict(list)
    for walk in walks:
        groups[" + ".join(walk.scenario.actors)].append(walk)
    lines = [
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {(time.time() - began) / 60:.0f} minutes, seed "
        f"{seed}; {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        "",
        "| at once | walks | whole | orders | states | steps | wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    for who, group in sorted(groups.items()):
        cells: list[object] = [
            who,
            len(group),
            sum(walk.whole for walk in group),
            f"{sum(walk.orders for walk in group):,.0f}",
            f"{sum(walk.states for walk in group):,}",
            f"{sum(walk.steps for walk in group):,}",
            sum(len(walk.found) for walk in group),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, "", _sum(walks, began)]) + "\n"


if __name__ == "__main__":
    main()
