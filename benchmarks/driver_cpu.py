"""What the process of a run costs for one file, and for one of eight times its size.

    .venv/bin/python benchmarks/driver_cpu.py [--mb 1000] [--times 8]

Each file is loaded once, by a process of its own; its processor time does not depend on what else
the machine does. Spark checks the lines of the files, as it does on a cluster; where Spark has one
machine, the process reads them itself, which takes less time there.
"""

import argparse
from pathlib import Path

from benchmarks.comparison import Figure, Result, Work
from benchmarks.one_big_file import Loaded, load_in_process
from benchmarks.sample_files import make_files
from benchmarks.workbench import workbench


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--times", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = {1: f"{options.mb:,} MB", options.times: f"{options.mb * options.times:,} MB"}
    loaded: dict[int, Loaded] = {}
    with workbench() as bench:
        for times, name in names.items():
            files = make_files(bench.root / name, 1, options.mb * times * 1_000_000)
            loaded[times] = load_in_process(bench, f"times_{times}", files, as_on_cluster=True)
            for path in files.paths:
                path.unlink()
    one, larger = loaded[1], loaded[options.times]
    result = Result(
        "driver_cpu",
        {"mb": options.mb, "times": options.times},
        Work(1, 0, options.mb * 1_000_000),
        {names[times]: [load.cpu_seconds] for times, load in loaded.items()},
    )
    ratio = larger.cpu_seconds / one.cpu_seconds
    result.figures = [
        Figure(f"processor time for {options.times} times the bytes", ratio, "x", at_most=1.2),
        Figure("peak memory of the Python side", larger.peak_bytes / 1e6, "MB", at_most=400),
    ]
    result.notes = [
        "Seconds of the processor, the start of Python included. The whole loads took "
        f"{one.seconds:.0f} s and {larger.seconds:.0f} s.",
    ]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
