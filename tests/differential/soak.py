"""Loads generated files for some minutes and prints what differs from the oracle's word.

``script/soak --inputs --format csv --minutes 30 --seed 7``. Each group of files has a seed of its
own, which follows from the first one. What differs is made small and kept in ``finds``, where the
suite replays it. At the end a table says how much was loaded of each format.
"""

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.state.store import ProcessedFiles
from tests.differential import csv_cases, json_cases, parquet_cases
from tests.differential.harness import Bench, Group, keep
from tests.differential.oracles import ORACLES
from tests.fixtures.lake import Lake
from tests.fixtures.s3 import running_s3
from tests.fixtures.spark import settings_for
from tests.integration.s3_steps import keys_are


def _csv_group(seed: int, files: int) -> Group:
    # Spark opens every file of each fourth group, which takes longer.
    if seed % 4 == 3:
        return csv_cases.group(seed, files // 10, padded=True)
    return csv_cases.group(seed, files, typed=seed % 5 > 0)


def _json_group(seed: int, files: int) -> Group:
    # Large files take longer, so each third group has a few.
    return json_cases.group(seed, files, large=4 if seed % 3 == 0 else 0)


def _parquet_group(seed: int, files: int) -> Group:
    # Each layout is a reader of its own, which takes longer; each eighth group has many.
    if seed % 8 == 7:
        return parquet_cases.group(seed, max(files // 10, 1), layouts=100)
    return parquet_cases.group(seed, files, layouts=8)


# Seed and number of files -> a group.
GROUPS: dict[str, Callable[[int, int], Group]] = {
    "csv": _csv_group,
    "json": _json_group,
    "parquet": _parquet_group,
}


@dataclass
class Tally:
    """How much was loaded of a format, and how much of it differed."""

    files: int = 0
    loads: int = 0
    finds: int = 0


def main(arguments: list[str] | None = None) -> None:
    """Soak, and exit with 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="script/soak --inputs", description=__doc__)
    parser.add_argument("--format", choices=[*GROUPS, "all"], default="all")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--files", type=int, default=1000, help="files in a group")
    parser.add_argument("--source", choices=["local", "s3"], default="local")
    parser.add_argument("--home", type=Path, help="a folder whose Spark server is used and left")
    asked = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="autoloader-inputs-"))
    with ExitStack() as stack:
        settings = settings_for(asked.home or root / "home")
        if not asked.home:
            stack.callback(lambda: EmbeddedServer(settings).stop())
        store = ProcessedFiles(f"sqlite:///{root / 'state.db'}")
        stack.callback(store.close)
        store.upgrade()
        lake = Lake(settings, store, root, f"soak_{secrets.token_hex(4)}")
        bench = Bench(lake, ORACLES)
        if asked.source == "s3":
            keys_are(stack.enter_context(pytest.MonkeyPatch.context()), "tests", "tests")
            server = stack.enter_context(running_s3(root / "s3.log"))
            bench.bucket = server.fresh_bucket()
        tallies = _soak(bench, asked)
    print(_table(tallies, asked.source), flush=True)
    sys.exit(1 if any(tally.finds for tally in tallies.values()) else 0)


def _soak(bench: Bench, asked: argparse.Namespace) -> dict[str, Tally]:
    """Load a group of each format in turn until the time is over."""
    began, seed = time.monotonic(), asked.seed
    tallies = {name: Tally() for name in GROUPS if asked.format in (name, "all")}
    while (minutes := (time.monotonic() - began) / 60) < asked.minutes:
        for name, tally in tallies.items():
            files, loads = bench.files, bench.loads
            group = GROUPS[name](seed, asked.files)
            bench.json_apart = seed % 2 == 0
            # A part of a Parquet file is no Parquet file.
            for find in bench.finds([group], shrink=name != "parquet"):
                tally.finds += 1
                print(f"{find}\n  kept as {keep(find)}", flush=True)
            tally.files += bench.files - files
            tally.loads += bench.loads - loads
            print(
                f"{minutes:5.1f} min  {name} seed {seed}: {tally.files:,} files in "
                f"{tally.loads} loads, {tally.finds} finds",
                flush=True,
            )
        seed += 1
    return tallies


def _table(tallies: Mapping[str, Tally], source: str) -> str:
    lines = [f"{'format':8} {'source':6} {'files':>9} {'loads':>6} {'finds':>6}"]
    lines += [
        f"{name:8} {source:6} {tally.files:9,} {tally.loads:6,} {tally.finds:6,}"
        for name, tally in tallies.items()
    ]
    return "\n".join(lines)
