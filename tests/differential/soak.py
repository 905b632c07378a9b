"""Loads generated files for some minutes and prints what differs from the oracle's word.

``script/soak --inputs --format csv --minutes 30 --seed 7``. Each group of files has a seed of its
own, which follows from the first one. What differs is made small and kept in ``finds``.
"""

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from autoloader_dagster.processed_files.store import ProcessedFiles
from autoloader_dagster.spark.server import EmbeddedServer
from tests.differential import csv_cases
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


# Seed and number of files -> a group.
GROUPS: dict[str, Callable[[int, int], Group]] = {"csv": _csv_group}


def main(arguments: list[str] | None = None) -> None:
    """Soak, and exit with 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="script/soak --inputs", description=__doc__)
    parser.add_argument("--format", choices=sorted(GROUPS), default="csv")
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
        finds = _soak(bench, asked)
    sys.exit(1 if finds else 0)


def _soak(bench: Bench, asked: argparse.Namespace) -> int:
    began, finds, seed = time.monotonic(), 0, asked.seed
    while (minutes := (time.monotonic() - began) / 60) < asked.minutes:
        for find in bench.finds([GROUPS[asked.format](seed, asked.files)]):
            finds += 1
            print(f"{find}\n  kept as {keep(find)}", flush=True)
        print(
            f"{minutes:5.1f} min  {asked.format} seed {seed}: {bench.files:,} files in "
            f"{bench.loads} loads, {finds} finds",
            flush=True,
        )
        seed += 1
    return finds
