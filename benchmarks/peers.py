"""The same small files by this loader and by what people use today, as CSV, JSON lines and Parquet.

    .venv/bin/python benchmarks/peers.py [--files 2000] [--kb 12] [--days 20] [--rounds 3]
        [--dlt PYTHON]

``--dlt`` is a Python that has dlt, in an environment of its own, because dlt is no part of this
project: ``pip install 'dlt[filesystem,pyiceberg]'``.
"""

import argparse
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from benchmarks.comparison import Figure, Result, Work, take_turns
from benchmarks.sample_files import KINDS, Files, converted, make_files
from benchmarks.spark_peers import orders_as, spark_defaults, stream
from benchmarks.workbench import check_rows, workbench

LOADER, STREAMING = "this loader", "Structured Streaming"
BY_HAND, DLT = "pyiceberg by hand, CSV", "dlt, CSV"


def append_by_hand(files: Files, root: Path) -> float:
    """Read all CSVs by pyarrow and append them by pyiceberg in one commit."""
    from pyiceberg.catalog.sql import SqlCatalog

    root.mkdir()
    catalog = SqlCatalog("hand", uri=f"sqlite:///{root}/catalog.db", warehouse=root.as_uri())
    catalog.create_namespace("bench")

    def read(path: Path) -> pa.Table:
        table = csv.read_csv(path)
        table = table.set_column(6, "note", table["note"].cast(pa.string()))
        return table.append_column("_source_file", pa.array([str(path)] * table.num_rows))

    orders = catalog.create_table("bench.orders", read(files.paths[0]).schema)
    began = time.perf_counter()
    orders.append(pa.concat_tables(read(path) for path in files.paths))
    took = time.perf_counter() - began
    check_rows(BY_HAND, orders.scan().count(), files.rows)
    return took


def load_by_dlt(python: Path, files: Files, root: Path) -> float:
    """Load by dlt in a process of its own; the seconds without its start."""
    script = Path(__file__).with_name("dlt_peer.py")
    done = subprocess.run(
        [python, script, files.folder, root],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=1800,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    check_rows(DLT, told["rows"], files.rows)
    return told["seconds"]


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--kb", type=int, default=12)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dlt", type=Path, metavar="PYTHON")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    from autoloader_dagster.spark.session import connect

    ways: dict[str, Callable[[int], float]] = {}
    with workbench() as bench:
        orders = make_files(bench.root / "csv", options.files, options.kb * 1000, options.days)
        one = make_files(bench.root / "seed_csv", 1, 1000)
        with connect(bench.settings) as spark:

            def add(kind: str) -> None:
                files, seed = orders, one
                if kind != "csv":
                    files = converted(orders, bench.root / kind, kind)
                    seed = converted(one, bench.root / f"seed_{kind}", kind)
                parts = {
                    "format": {"type": kind},
                    "partition": {"by": "path", "pattern": "day={yyyy}-{MM}-{dd}/*"},
                }

                def streaming(turn: int) -> float:
                    place, name = bench.root / f"at_{kind}_{turn}", f"stream_{kind}_{turn}"
                    with spark_defaults(spark):
                        return stream(spark, name, files.folder, files.rows, place, orders_as(kind))

                ways[f"{LOADER}, {kind}"] = lambda turn: bench.load(
                    f"{kind}_{turn}", files, seed, **parts
                )
                ways[f"{STREAMING}, {kind}"] = streaming

            def in_folder(turn: int, run: Callable[[Path], float]) -> float:
                folder = bench.root / f"peer_{turn}"
                try:
                    return run(folder)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)

            for kind in KINDS:
                add(kind)
            ways[BY_HAND] = lambda turn: in_folder(turn, lambda at: append_by_hand(orders, at))
            if options.dlt:
                python = options.dlt.absolute()
                ways[DLT] = lambda turn: in_folder(turn, lambda at: load_by_dlt(python, orders, at))
            seconds = take_turns(ways, options.rounds, only_once=[DLT])
    result = Result(
        "peers",
        {name: getattr(options, name) for name in ("files", "kb", "days", "rounds")},
        Work(options.files, orders.rows, orders.bytes),
        seconds,
    )
    result.figures = [
        Figure(
            f"{kind}: loader / streaming",
            result.times_as_fast(f"{LOADER}, {kind}", f"{STREAMING}, {kind}"),
            "x",
            at_least=4 if kind == "csv" else None,
        )
        for kind in KINDS
    ]
    of_csv = f"{LOADER}, csv"
    result.figures.append(
        Figure("csv: loader / pyiceberg by hand", result.times_as_fast(of_csv, BY_HAND), "x")
    )
    if options.dlt:
        ratio = result.times_as_fast(of_csv, DLT)
        result.figures.append(Figure("csv: loader / dlt", ratio, "x", at_least=5))
    result.notes = [
        "Streaming runs with Spark's default settings. pyiceberg by hand and dlt read with "
        "pyarrow in one process; they write one file without partitions, keep what a file says as "
        "its types, and know no quarantine. Of the peers, streaming and dlt know which files they "
        "have loaded; by hand nothing does.",
    ]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
