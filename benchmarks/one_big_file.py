"""One big file: this loader's whole load against Spark's bare typed read + append.

    .venv/bin/python benchmarks/one_big_file.py [--mb 1000] [--kind csv|json|parquet] [--rounds 3]

With another kind than CSV the file has the rows of a CSV of that size, as JSON lines or Parquet.

The loader runs in a process of its own, so that its memory can be told.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from autoloader_dagster.loading.lakehouse import Frames, SparkLakehouse
from benchmarks.comparison import Figure, Result, Work, take_turns
from benchmarks.memory import peak_bytes
from benchmarks.sample_files import KINDS, Files, converted, make_files
from benchmarks.spark_peers import append_all, orders_as
from benchmarks.workbench import Workbench, open_workbench, workbench

LOADER = "this loader, list to record"
BARE = "bare typed read + append"
_FAST_ENOUGH = {"csv": 0.75, "json": 0.75, "parquet": 0.85}


class AsOnCluster(SparkLakehouse):
    """Has large files checked by Spark, as on a cluster."""

    def frames(self, session: Any, spec: Any, options: dict[str, str]) -> Frames:
        """Reads the files of a spec."""
        frames = super().frames(session, spec, options)
        vars(frames)["is_distributed"] = lambda: True
        return frames


def orders(folder: Path, size: int, kind: str) -> Files:
    """One file with the orders of a CSV of about so many bytes."""
    files = make_files(folder / "csv", 1, size)
    return files if kind == "csv" else converted(files, folder / kind, kind)


def load_here(
    root: Path, name: str, folder: Path, rows: int, kind: str, as_on_cluster: bool
) -> None:
    """Load in this process, after a small load that makes the table; print what it took."""
    tiny = orders(root / "tiny" / name, 2000, kind)
    bench = open_workbench(root)
    if as_on_cluster:
        bench = replace(bench, lakehouse=AsOnCluster())
    parts = {
        "format": {"type": kind},
        "partition": {"by": "path", "pattern": "day={yyyy}-{MM}-{dd}/*"},
    }
    seconds = bench.load(name, Files(folder, (), rows, 0), seed=tiny, **parts)
    print(json.dumps(asdict(Loaded(seconds, peak_bytes(), time.process_time()))))


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load took.

    Attributes:
        seconds: From list to record.
        peak_bytes: Memory of the process.
        cpu_seconds: Time of the processor that the process took, with its start.
    """

    seconds: float
    peak_bytes: int
    cpu_seconds: float


def load_in_process(
    bench: Workbench, name: str, files: Files, kind: str = "csv", as_on_cluster: bool = False
) -> Loaded:
    """Load in a new process."""
    options = ["--as-on-cluster"] if as_on_cluster else []
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.one_big_file",
            "--load",
            bench.root,
            name,
            files.folder,
            str(files.rows),
            "--kind",
            kind,
            *options,
        ],
        env=bench.environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=1800,
    )
    return Loaded(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--kind", choices=KINDS, default="csv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--load", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--as-on-cluster", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        root, name, folder, rows = options.load
        load_here(Path(root), name, Path(folder), int(rows), options.kind, options.as_on_cluster)
        return

    from autoloader_dagster.spark.session import connect

    peaks: list[int] = []
    with workbench() as bench:
        files = orders(bench.root / "big", options.mb * 1_000_000, options.kind)
        warm = orders(bench.root / "warm", min(options.mb, 100) * 1_000_000, options.kind)
        with connect(bench.settings) as spark:

            def warm_or_big(turn: int) -> Files:
                return files if turn else warm

            def loader(turn: int) -> float:
                load = load_in_process(bench, f"loader_{turn}", warm_or_big(turn), options.kind)
                peaks.append(load.peak_bytes)
                return load.seconds

            def bare(turn: int) -> float:
                chosen = warm_or_big(turn)
                return append_all(
                    spark,
                    f"bare_{turn}",
                    chosen.paths,
                    chosen.rows,
                    lineage=False,
                    kind=orders_as(options.kind),
                )

            seconds = take_turns({LOADER: loader, BARE: bare}, options.rounds)
    result = Result(
        "one_big_file",
        {"mb": options.mb, "kind": options.kind, "rounds": options.rounds},
        Work(1, files.rows, files.bytes),
        seconds,
    )
    result.figures = [
        Figure(
            "loader / bare",
            result.times_as_fast(LOADER, BARE),
            "x",
            at_least=_FAST_ENOUGH[options.kind],
        ),
        Figure("peak memory of the Python side", max(peaks) / 1e6, "MB", at_most=400),
    ]
    result.notes = [
        f"Bare: spark.read.schema(typed).{options.kind}, appended to an unpartitioned Iceberg "
        "table without lineage columns. What does not fit its type is lost there without a word.",
        f"The warm-up loads {warm.bytes / 1e6:,.0f} MB.",
    ]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
