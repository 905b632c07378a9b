"""A listing of many files of which none is new: seconds and memory, on SQLite and PostgreSQL.

    .venv/bin/python benchmarks/listing.py [--files 100000] [--rounds 3]

This is what a sensor does at every tick.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from benchmarks.comparison import Figure, Result, Work, take_turns
from benchmarks.memory import peak_bytes
from benchmarks.workbench import Workbench, open_workbench, workbench

_FILES_A_FOLDER = 1000
# Long past, for a file of a day to come is held and looked at again each time.
FIRST_DAY = date(2000, 1, 1)


def make_empty_days(folder: Path, count: int) -> None:
    """Make files with next to nothing in them: only their names, times and sizes are looked at."""
    for number in range(count):
        day = folder / f"day={FIRST_DAY + timedelta(days=number // _FILES_A_FOLDER):%Y-%m-%d}"
        if number % _FILES_A_FOLDER == 0:
            day.mkdir(parents=True)
        (day / f"orders_{number:06d}.csv").write_bytes(b"id\n1\n")


def list_here(root: Path, folder: Path, database_url: str) -> None:
    """List and compare in this process; print what it came to."""
    from autoloader_dagster.loading.discover import discover

    bench = open_workbench(root)
    with bench.ingestion("listing", folder, database_url) as ingestion:
        began = time.perf_counter()
        found = discover(ingestion)
        seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak_bytes": peak_bytes(),
                "listed": found.listed,
                "unchanged": found.unchanged,
            }
        )
    )


def list_in_process(bench: Workbench, folder: Path, database_url: str) -> dict[str, float]:
    """List in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, "--list", bench.root, folder, database_url],
        env=bench.environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=1800,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--list", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        root, folder, database_url = options.list
        list_here(Path(root), Path(folder), database_url)
        return

    # The tests' server: a real one, from a package.
    from tests.fixtures.postgres import running_postgres

    peaks: dict[str, float] = {}
    first: dict[str, float] = {}
    with workbench() as bench:
        folder = bench.root / "in"
        make_empty_days(folder, options.files)
        with running_postgres() as postgres:
            urls = {"SQLite": bench.settings.database_url, "PostgreSQL": postgres.url}

            def listing(name: str, turn: int) -> float:
                told = list_in_process(bench, folder, urls[name])
                if turn == 0:
                    first[name] = told["seconds"]
                elif told["unchanged"] != options.files:
                    raise RuntimeError(f"{told} is not {options.files} unchanged files")
                peaks[name] = max(peaks.get(name, 0), told["peak_bytes"]) if turn else 0
                return told["seconds"]

            seconds = take_turns(
                {
                    "SQLite": lambda turn: listing("SQLite", turn),
                    "PostgreSQL": lambda turn: listing("PostgreSQL", turn),
                },
                options.rounds,
            )
    result = Result(
        "listing",
        {"files": options.files, "rounds": options.rounds},
        Work(files=options.files),
        seconds,
    )
    # 15 s for 100,000 files; the memory must not grow with their number.
    seconds_allowed = 15 * max(options.files / 100_000, 1)
    for name, took in seconds.items():
        result.figures += [
            Figure(f"{name}: slowest round", max(took), "s", at_most=seconds_allowed),
            Figure(f"{name}: peak memory", peaks[name] / 1e6, "MB", at_most=300),
            Figure(f"{name}: first listing, all new", first[name], "s"),
        ]
    result.notes = ["Each round is a process of its own; PostgreSQL is on this machine as well."]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
