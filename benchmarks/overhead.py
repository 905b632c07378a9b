"""What a run costs beyond the work: one small new file through Dagster, everything warm.

    .venv/bin/python benchmarks/overhead.py [--rounds 5]

``dagster asset materialize`` of one new file is held against the same command on an asset that does
nothing, plus a bare Spark append of that file.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.comparison import Figure, Result, Work, take_turns
from benchmarks.sample_files import FIRST_DAY, make_files
from benchmarks.spark_peers import append_each, make_table
from benchmarks.workbench import NAMESPACE, Workbench, workbench

OURS = "dagster asset materialize, our asset"
EMPTY = "dagster asset materialize, an empty asset"
BARE = "bare Spark append, session open"
BY_HAND = "dagster asset materialize, an asset that appends"
_KEY = NAMESPACE.removeprefix("lake.")
_PEERS = """
from pathlib import Path
import dagster as dg

@dg.asset
def empty():
    pass

@dg.asset
def by_hand():
    from autoloader_dagster.settings import load_settings
    from autoloader_dagster.spark.session import connect
    from benchmarks.spark_peers import orders_with_lineage
    with connect(load_settings()) as spark:
        (path,) = Path({folder!r}).glob("*.csv")
        orders_with_lineage(spark, [path]).writeTo({table!r}).append()

defs = dg.Definitions([empty, by_hand], executor=dg.in_process_executor)
"""


def materialize(bench: Workbench, *arguments: str) -> float:
    """Run the command; the seconds from its start to its end."""
    command = [str(Path(sys.executable).with_name("dagster")), "asset", "materialize", *arguments]
    began = time.perf_counter()
    done = subprocess.run(
        command,
        env=bench.environment,
        cwd=bench.root,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return took


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    from autoloader_dagster.spark.session import connect

    with workbench() as bench:
        config = (Path(__file__).parent.parent / "dagster.yaml").read_text(encoding="utf-8")
        (bench.settings.dagster_home / "dagster.yaml").write_text(config, encoding="utf-8")
        landing = bench.root / "in"
        bench.write_spec("orders", landing)
        files = make_files(bench.root / "one", 1, 12_000)
        with connect(bench.settings) as spark:
            table = make_table(spark, "by_hand")
            peers = bench.root / "peers.py"
            folder = files.paths[0].parent
            peers.write_text(_PEERS.format(folder=str(folder), table=table), encoding="utf-8")
            day = f"{FIRST_DAY:%Y-%m-%d}"

            def ours(turn: int) -> float:
                new = landing / f"day={day}" / f"orders_{turn}.csv"
                new.parent.mkdir(parents=True, exist_ok=True)
                new.write_bytes(files.paths[0].read_bytes())
                return materialize(
                    bench, "-m", "autoloader_dagster.definitions",
                    "--select", f"{_KEY}/orders", "--partition", day,
                )  # fmt: skip

            seconds = take_turns(
                {
                    OURS: ours,
                    EMPTY: lambda _: materialize(bench, "-f", str(peers), "--select", "empty"),
                    BARE: lambda turn: append_each(spark, f"bare_{turn}", files.paths),
                    BY_HAND: lambda _: materialize(bench, "-f", str(peers), "--select", "by_hand"),
                },
                options.rounds,
                warm_ups=2,
            )
            loaded = spark.sql(f"select count(*) from {NAMESPACE}.orders").collect()[0][0]
    if loaded != (options.rounds + 2) * files.rows:
        raise RuntimeError(f"the table has {loaded} rows")
    result = Result(
        "overhead", {"rounds": options.rounds}, Work(1, files.rows, files.bytes), seconds
    )
    times = [
        mine / (empty + bare)
        for mine, empty, bare in zip(seconds[OURS], seconds[EMPTY], seconds[BARE], strict=True)
    ]
    result.figures = [
        Figure("ours / (empty run + bare append)", median(times), "x", at_most=1.5),
        Figure("ours / an asset that appends", 1 / result.times_as_fast(OURS, BY_HAND), "x"),
    ]
    result.notes = [
        "Each command is a process of its own, with the project's dagster.yaml; the Spark server "
        "is warm. The bare append runs in this process, in a session that is open already.",
        "'An asset that appends' connects to the server and appends the same file without state, "
        "checks or types: what is written by hand today.",
    ]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
