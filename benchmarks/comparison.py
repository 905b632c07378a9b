"""Times several ways of doing the same work in turn, and shows how they compare.

A machine is never equally fast for a whole minute. So the ways take turns (A B C A B C), a ratio is
taken within each round, and what is shown is the median of these ratios.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("autoloader_dagster", "dagster", "pyspark")

# Does the work once and gives the seconds that count; the number tells one round from another.
Contestant = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Work:
    """What every contestant does.

    Attributes:
        files: Files to read; 0 where it makes no sense to count them.
        rows: Rows in them.
        bytes: Their size.
    """

    files: int = 0
    rows: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with the target it is held against.

    Attributes:
        name: What it is.
        value: The number.
        unit: Its unit, or 'x' for a ratio.
        at_least: The target, if more is better.
        at_most: The target, if less is better.
    """

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.at_least is not None:
            return self.value >= self.at_least
        if self.at_most is not None:
            return self.value <= self.at_most
        return None

    @property
    def target(self) -> str:
        """The target in words."""
        if self.at_least is not None:
            return f">= {self.at_least:g} {self.unit}"
        return f"<= {self.at_most:g} {self.unit}" if self.at_most is not None else ""


@dataclass
class Result:
    """The outcome of one benchmark.

    Attributes:
        benchmark: Its name.
        options: What it was run with.
        work: What each contestant did.
        seconds: Seconds of each round, by contestant.
        figures: The numbers to look at.
        notes: What a reader must know to read them rightly.
    """

    benchmark: str
    options: dict[str, Any]
    work: Work = Work()
    seconds: dict[str, list[float]] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def times_as_fast(self, name: str, other: str) -> float:
        """How many times as fast ``name`` is as ``other``: the median over the rounds."""
        return median(
            theirs / ours
            for ours, theirs in zip(self.seconds[name], self.seconds[other], strict=True)
        )

    def save(self, path: Path | None) -> Path:
        """Write it as JSON, by default into the results folder beside this file."""
        path = path or RESULTS / f"{self.benchmark}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        told = asdict(self)
        told["figures"] = [{**asdict(figure), "reached": figure.reached} for figure in self.figures]
        told["machine"] = {
            "cpus": os.cpu_count(),
            "load_average": os.getloadavg(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        }
        told["finished_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        return path

    def show(self) -> None:
        """Print it for people."""
        console = Console(width=130, soft_wrap=True)
        if self.seconds:
            console.print(self._rates())
        table = Table("figure", "measured", "target", "reached", title=self.benchmark)
        said = {True: "yes", False: "NO", None: ""}
        for figure in self.figures:
            table.add_row(
                figure.name,
                f"{figure.value:,.2f} {figure.unit}",
                figure.target,
                said[figure.reached],
            )
        console.print(table)
        for note in self.notes:
            console.print(f"- {note}", highlight=False)

    def _rates(self) -> Table:
        table = Table("way", "median s", "fastest", "slowest", title=f"{self.benchmark}: seconds")
        rates = [
            (unit, amount)
            for unit, amount in (
                ("files/s", self.work.files),
                ("rows/s", self.work.rows),
                ("MB/s", self.work.bytes / 1e6),
            )
            if amount
        ]
        for unit, _ in rates:
            table.add_column(unit, justify="right")
        for name, seconds in self.seconds.items():
            middle = median(seconds)
            table.add_row(
                name,
                f"{middle:.2f}",
                f"{min(seconds):.2f}",
                f"{max(seconds):.2f}",
                *(f"{amount / middle:,.1f}" for _, amount in rates),
            )
        return table


def take_turns(
    contestants: Mapping[str, Contestant],
    rounds: int,
    warm_ups: int = 1,
    only_once: Sequence[str] = (),
) -> dict[str, list[float]]:
    """Run every contestant in each round.

    Args:
        contestants: By name, in the order of their turns.
        rounds: Rounds that count.
        warm_ups: Rounds before these that do not count.
        only_once: Contestants that need no warm-up.

    Returns:
        The seconds of each round, by contestant.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    progress = Console(stderr=True)
    for turn in range(-warm_ups, rounds):
        for name, run in contestants.items():
            if turn < 0 and name in only_once:
                continue
            took = run(turn + warm_ups)
            if turn >= 0:
                seconds[name].append(took)
            which = "warm-up" if turn < 0 else f"round {turn + 1} of {rounds}"
            progress.print(f"{which}: {name}: {took:.2f} s", highlight=False)
    return seconds
