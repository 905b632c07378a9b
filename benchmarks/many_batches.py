"""One more small file for a table of many batches, and for a table of ten.

    .venv/bin/python benchmarks/many_batches.py [--batches 1000] [--rounds 11]

Both tables and their states grow by one batch a round, in turns.
"""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path

from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.load import load
from benchmarks.comparison import Figure, Result, Work, take_turns
from benchmarks.workbench import Workbench, check_rows, workbench

FEW = 10


class Growing:
    """A table that gets one file of one row with each load.

    Args:
        bench: Where it is.
        name: Of the table and its folder.
        stack: Closes its state.
    """

    def __init__(self, bench: Workbench, name: str, stack: ExitStack) -> None:
        self._folder = bench.root / name
        self._folder.mkdir()
        self._loads = 0
        self._ingestion: Ingestion = stack.enter_context(
            bench.ingestion(
                name,
                self._folder,
                database_url=f"sqlite:///{bench.root / name}.db",
                partition={"by": "none"},
            )
        )

    def load(self) -> float:
        """Load one more file; the seconds from list to record."""
        self._loads += 1
        (self._folder / f"{self._loads:06}.csv").write_text(f"id,note\n{self._loads},some text\n")
        began = time.perf_counter()
        discover(self._ingestion)
        outcomes = list(load(self._ingestion, None, f"run-{self._loads}"))
        took = time.perf_counter() - began
        check_rows(self._ingestion.id, sum(outcome.rows for outcome in outcomes), 1)
        return took


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    many_name, few_name = f"after {options.batches:,} batches", f"after {FEW} batches"
    with workbench() as bench, ExitStack() as stack:
        many, few = Growing(bench, "many", stack), Growing(bench, "few", stack)
        for _ in range(options.batches):
            many.load()
        for _ in range(FEW):
            few.load()
        seconds = take_turns(
            {many_name: lambda turn: many.load(), few_name: lambda turn: few.load()},
            options.rounds,
        )
    result = Result(
        "many_batches",
        {"batches": options.batches, "rounds": options.rounds},
        Work(1, 1, 0),
        seconds,
    )
    ratio = 1 / result.times_as_fast(many_name, few_name)
    result.figures = [Figure("many batches / few batches", ratio, "x", at_most=1.1)]
    result.notes = ["The listing of the folder is part of both: it has as many files as batches."]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
