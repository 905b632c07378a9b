"""Gzipped JSON documents of an audit trail: this loader's whole load against Spark's own ways.

.venv/bin/python benchmarks/audit_trails.py [--files 2000] [--records 53] [--days 20] [--rounds 3]
"""

import argparse
from pathlib import Path

from benchmarks.comparison import Figure, Result, Work, take_turns
from benchmarks.sample_files import make_trails
from benchmarks.spark_peers import EVENTS, append_all, spark_defaults, stream
from benchmarks.workbench import workbench

LOADER = "this loader, list to record"
STREAMING = "Structured Streaming availableNow"
STREAMING_TUNED = "the same with our server's settings"
BARE = "bare typed read + append, our settings"
SPEC = {
    "format": {"type": "json", "options": {"record_path": "Records"}},
    "partition": {"by": "path", "pattern": "day={yyyy}-{MM}-{dd}/*.json.gz"},
}


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--records", type=int, default=53)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    from autoloader_dagster.spark.session import connect

    with workbench() as bench:
        files = make_trails(bench.root / "in", options.files, options.records, options.days)
        seed = make_trails(bench.root / "seed", 1, 10)
        with connect(bench.settings) as spark:

            def streaming(name: str, turn: int) -> float:
                folder, checkpoint = files.folder, bench.root / f"{name}_{turn}"
                return stream(spark, f"{name}_{turn}", folder, files.rows, checkpoint, EVENTS)

            def streaming_as_is(turn: int) -> float:
                with spark_defaults(spark):
                    return streaming("stream", turn)

            seconds = take_turns(
                {
                    LOADER: lambda turn: bench.load(f"loader_{turn}", files, seed, **SPEC),
                    STREAMING: streaming_as_is,
                    STREAMING_TUNED: lambda turn: streaming("tuned", turn),
                    BARE: lambda turn: append_all(
                        spark, f"bare_{turn}", files.paths, files.rows, kind=EVENTS
                    ),
                },
                options.rounds,
                warm_ups=1,
            )
    result = Result(
        "audit_trails",
        {name: getattr(options, name) for name in ("files", "records", "days", "rounds")},
        Work(len(files.paths), files.rows, files.bytes),
        seconds,
    )
    ratio = result.times_as_fast
    result.figures = [
        Figure("loader / Structured Streaming", ratio(LOADER, STREAMING), "x", at_least=2),
        Figure("loader / streaming with our settings", ratio(LOADER, STREAMING_TUNED), "x"),
        Figure("loader / bare typed read + append", ratio(LOADER, BARE), "x", at_least=0.8),
    ]
    result.notes = [
        "Megabytes are those of the JSON; the files are gzipped.",
        "The others read with the columns and types that the loader infers, and lose what does not "
        "fit; the loader keeps it in _rescued.",
    ]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
