"""Many small files: this loader's whole load against Spark's own ways.

.venv/bin/python benchmarks/small_files.py [--files 2000] [--kb 12] [--days 20] [--rounds 3]
"""

import argparse
from pathlib import Path

from benchmarks.comparison import Figure, Result, Work, take_turns
from benchmarks.sample_files import make_files
from benchmarks.spark_peers import append_all, append_each, spark_defaults, stream
from benchmarks.workbench import workbench

LOADER = "this loader, list to record"
STREAMING = "Structured Streaming availableNow"
STREAMING_TUNED = "the same with our server's settings"
LOOP = "one append a file (scaled)"
BARE = "bare read + append, our settings"
LOOP_SAMPLE = 40


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--kb", type=int, default=12)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    from autoloader_dagster.spark.session import connect

    with workbench() as bench:
        files = make_files(bench.root / "in", options.files, options.kb * 1000, options.days)
        seed = make_files(bench.root / "seed", 1, 1000)
        step = max(len(files.paths) // LOOP_SAMPLE, 1)
        sample = files.paths[::step][:LOOP_SAMPLE]
        with connect(bench.settings) as spark:

            def streaming(turn: int) -> float:
                with spark_defaults(spark):
                    return stream(
                        spark, f"stream_{turn}", files.folder, files.rows, bench.root / f"a{turn}"
                    )

            def streaming_tuned(turn: int) -> float:
                return stream(
                    spark, f"tuned_{turn}", files.folder, files.rows, bench.root / f"b{turn}"
                )

            def loop(turn: int) -> float:
                with spark_defaults(spark):
                    took = append_each(spark, f"loop_{turn}", sample)
                return took * len(files.paths) / len(sample)

            seconds = take_turns(
                {
                    LOADER: lambda turn: bench.load(f"loader_{turn}", files, seed),
                    STREAMING: streaming,
                    STREAMING_TUNED: streaming_tuned,
                    LOOP: loop,
                    BARE: lambda turn: append_all(spark, f"bare_{turn}", files.paths, files.rows),
                },
                options.rounds,
                # Java compiles what runs often; after two rounds it has.
                warm_ups=2,
                # Forty appends warm themselves up.
                only_once=[LOOP],
            )
    result = Result(
        "small_files",
        {"files": options.files, "kb": options.kb, "days": options.days, "rounds": options.rounds},
        Work(len(files.paths), files.rows, files.bytes),
        seconds,
    )
    ratio = result.times_as_fast
    result.figures = [
        Figure("loader / Structured Streaming", ratio(LOADER, STREAMING), "x", at_least=4),
        Figure("loader / streaming with our settings", ratio(LOADER, STREAMING_TUNED), "x"),
        Figure("loader / one append a file", ratio(LOADER, LOOP), "x", at_least=50),
        Figure("loader / bare read + append", ratio(LOADER, BARE), "x"),
    ]
    result.notes = [
        f"One append a file was done for {len(sample)} files and scaled to {len(files.paths)}; the "
        "table's growing metadata would make the rest slower still.",
        "Structured Streaming and the loop run with Spark's default settings, as a job of one's "
        "own would; the loader's server sets fewer shuffle partitions, larger splits of small "
        "files and listing on the driver, and the second streaming row has these too.",
        "The loader's time holds the listing, the state, the look into every file, typing "
        "with _rescued, audit and publishing; the others only read and append. All tables are made "
        "before.",
    ]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
