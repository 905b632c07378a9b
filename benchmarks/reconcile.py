"""Reconcile 100,000 files: seconds and memory of comparing source, state and table, and rebuilding.

    .venv/bin/python benchmarks/reconcile.py [--files 100000] [--rounds 3]

The table is made by one Spark job from the names and times of real files, ten rows each.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.comparison import Figure, Result, Work, take_turns
from benchmarks.listing import make_empty_days
from benchmarks.memory import peak_bytes
from benchmarks.workbench import NAMESPACE, Workbench, open_workbench, workbench

_ROWS_A_FILE = 10
_BATCH_FILES = 10_000


def reconcile_here(root: Path, folder: Path, database_url: str, apply: bool) -> None:
    """Reconcile in this process; print what it came to."""
    from autoloader_dagster.loading.recovery.reconcile import reconcile

    bench = open_workbench(root)
    with bench.ingestion("reconcile", folder, database_url) as ingestion:
        began = time.perf_counter()
        found = reconcile(ingestion, apply=apply)
        seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak_bytes": peak_bytes(),
                "agrees": found.agrees,
                "found": dict(found.found),
                "files_in_table": found.files_in_table,
            }
        )
    )


def _in_process(bench: Workbench, *arguments: object) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--reconcile", bench.root, *map(str, arguments)],
        env=bench.environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=1800,
    )
    return json.loads(done.stdout.splitlines()[-1])


def make_table(bench: Workbench, folder: Path) -> None:
    """Make the table that loading the folder would have made."""
    from autoloader_dagster.iceberg.columns import Column
    from autoloader_dagster.iceberg.table import IcebergTable
    from autoloader_dagster.spark.session import connect

    listing = bench.root / "listing.csv"
    with listing.open("w") as out:
        for number, path in enumerate(sorted(folder.rglob("*.csv"))):
            micros = path.stat().st_mtime_ns // 1000
            batch = f"20260101T000000Z-{number // _BATCH_FILES:06x}"
            out.write(f"{path},{micros},{path.parent.name.removeprefix('day=')},{batch}\n")
    name = f"{NAMESPACE}.reconcile"
    with connect(bench.settings) as spark:
        table = IcebergTable(spark, name)
        table.create([Column("id", "bigint", "")], ["_partition_key"], {}, "")
        rows = spark.read.csv(f"file://{listing}", schema="f string, m bigint, k string, b string")
        rows.createOrReplaceTempView("listed")
        spark.sql(
            f"insert into {name} select explode(sequence(1L, {_ROWS_A_FILE}L)), null, f, "
            "timestamp_micros(m), k, b from listed"
        )


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--reconcile", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reconcile:
        root, folder, database_url, apply = options.reconcile
        reconcile_here(Path(root), Path(folder), database_url, apply == "True")
        return

    began = datetime.now(timezone.utc)
    peak = 0.0
    with workbench() as bench:
        folder = bench.root / "in"
        make_empty_days(folder, options.files)
        make_table(bench, folder)
        rebuilt = _in_process(bench, folder, bench.settings.database_url, True)
        if rebuilt["found"] != {"unrecorded": options.files} or not rebuilt["agrees"]:
            raise RuntimeError(f"the state was not rebuilt: {rebuilt}")

        def compare(_turn: int) -> float:
            nonlocal peak
            told = _in_process(bench, folder, bench.settings.database_url, False)
            if not told["agrees"] or told["files_in_table"] != options.files:
                raise RuntimeError(f"{told} is not {options.files} files that agree")
            peak = max(peak, told["peak_bytes"])
            return told["seconds"]

        seconds = take_turns({"compare": compare}, options.rounds)
    result = Result(
        "reconcile",
        {"files": options.files, "rounds": options.rounds},
        Work(files=options.files),
        seconds,
    )
    result.figures += [
        Figure("compare: slowest round", max(seconds["compare"]), "s", at_most=60),
        Figure("compare: peak memory", peak / 1e6, "MB", at_most=400),
        Figure("rebuild a deleted state", rebuilt["seconds"], "s", at_most=60),
        Figure("rebuild: peak memory", rebuilt["peak_bytes"] / 1e6, "MB", at_most=400),
    ]
    result.notes = [f"SQLite; each round is a process of its own; begun {began:%Y-%m-%d %H:%M}."]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
