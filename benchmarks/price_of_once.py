"""What loading exactly once costs: branch, chain check, second look and publishing.

    .venv/bin/python benchmarks/price_of_once.py [--mb 0.012] [--rounds 5]

The loader's whole load of one new file is held against the same steps without these: the same
listing, claim, look and frame, appended straight to main, and recorded.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from autoloader_dagster.formats.base import Readable
from autoloader_dagster.formats.frame import batch_frame
from autoloader_dagster.formats.look import look_at
from autoloader_dagster.iceberg.append import append_counted
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.iceberg.rows import rows_by_file
from autoloader_dagster.iceberg.table import IcebergTable
from autoloader_dagster.loading.batch.files import Members
from autoloader_dagster.loading.batch.lease import LEASE
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.load import load
from autoloader_dagster.state.records import Claim, LoadedFile
from benchmarks.comparison import Figure, Result, Work, take_turns
from benchmarks.sample_files import Files, make_files
from benchmarks.workbench import Workbench, check_rows, workbench

ONCE = "this loader"
STRAIGHT = "the same read, appended straight to main"


def load_once(ingestion: Ingestion, files: Files, turn: int) -> float:
    """The loader's way; the seconds."""
    began = time.perf_counter()
    discover(ingestion)
    (outcome,) = load(ingestion, None, f"run-{turn}")
    took = time.perf_counter() - began
    check_rows(ingestion.id, outcome.rows, files.rows)
    return took


def append_straight(ingestion: Ingestion, files: Files) -> float:
    """The same without branch, chain check, second look and publishing; the seconds."""
    began = time.perf_counter()
    discover(ingestion)
    with ingestion.connect() as session:
        wanted = Claim(
            ingestion.id, ingestion.loaded.tenant, ingestion.spec.table.name, None,
            max_files=1, max_bytes=1 << 40, retries=0, owner="bench", run_id="straight",
            lease=LEASE,
        )  # fmt: skip
        batch = ingestion.store.claims.claim(wanted)
        if batch is None:
            raise RuntimeError("nothing was claimed")
        members = Members(ingestion, batch)
        (look,) = look_at(ingestion.source, members.refs(), ingestion.spec.format)
        (file,) = batch.files
        readable = [
            Readable(
                look,
                SourceFile(
                    look.ref.path, look.ref.modified_at, file.partition_key,
                    ingestion.source.spark_path(look.ref),
                ),
            )
        ]  # fmt: skip
        table = IcebergTable(session, ingestion.spec.table.name)
        frame = batch_frame(session, ingestion.spec, readable, {}, table.columns(), batch.batch_id)
        append_counted(table, frame, "main", batch.batch_id, [readable[0].file], by_key=True)
        head = table.history().heads["main"]
        ingestion.store.batch_files.record(
            batch.batch_id, head, [LoadedFile(file.id, files.rows, 0)], seconds=0.0
        )
    took = time.perf_counter() - began
    with ingestion.connect() as session:
        counted = rows_by_file(IcebergTable(session, table.name), "main", batch.batch_id)
    check_rows(ingestion.id, sum(counted.values()), files.rows)
    return took


@contextmanager
def dropped(bench: Workbench, files: Files, name: str, turn: int) -> Iterator[Ingestion]:
    """Put the file into the landing folder under a new name, and have who will see it."""
    day = files.paths[0].parent.name
    landing = bench.root / name / day
    landing.mkdir(parents=True, exist_ok=True)
    (landing / f"{turn}.csv").hardlink_to(files.paths[0])
    with bench.ingestion(name, bench.root / name) as ingestion:
        yield ingestion


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=float, default=0.012)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    from autoloader_dagster.spark.session import connect

    with workbench() as bench:
        files = make_files(bench.root / "in", 1, round(options.mb * 1_000_000))
        tiny = make_files(bench.root / "tiny", 1, 2000)
        with connect(bench.settings):

            def once(turn: int, table: str = "once", chosen: Files = files) -> float:
                with dropped(bench, chosen, table, turn) as ingestion:
                    return load_once(ingestion, chosen, turn)

            def straight(turn: int) -> float:
                with dropped(bench, files, "straight", turn) as ingestion:
                    return append_straight(ingestion, files)

            for table in ("once", "straight"):
                once(-1, table, tiny)
            seconds = take_turns({ONCE: once, STRAIGHT: straight}, options.rounds)
    result = Result(
        "price_of_once",
        {"mb": options.mb, "rounds": options.rounds},
        Work(1, files.rows, files.bytes),
        seconds,
    )
    both = list(zip(seconds[ONCE], seconds[STRAIGHT], strict=True))
    price = median(once - straight for once, straight in both)
    share = median(once / straight - 1 for once, straight in both)
    big = options.mb >= 1000
    result.figures = [
        Figure("price of loading once", price, "s", at_most=None if big else 0.8),
        Figure("the same as a share", 100 * share, "%", at_most=3 if big else None),
    ]
    result.notes = [
        "Both list, claim, look, read, type, write and record alike. Only the loader makes and "
        "drops a branch, walks the table's history, looks at the file again and publishes.",
    ]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
