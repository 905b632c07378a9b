"""How long Dagster waits for the definitions of many specs, beyond its own import.

.venv/bin/python benchmarks/definitions_load.py [--specs 100] [--rounds 5]
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.comparison import Figure, Result, take_turns
from benchmarks.workbench import Workbench, workbench

OURS = "import autoloader_dagster.definitions"
DAGSTER = "import dagster"
_TIMED = """
import time
began = time.perf_counter()
import dagster
if {ours}:
    # Dagster builds the repository from the definitions as it loads them.
    import autoloader_dagster.definitions as module
    found = len(module.defs.get_repository_def().assets_defs_by_key)
    assert found >= {specs}, found
print(time.perf_counter() - began)
"""


def seconds_of(bench: Workbench, ours: bool, specs: int) -> float:
    """Import in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", _TIMED.format(ours=ours, specs=specs)],
        env=bench.environment,
        cwd=bench.root,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--specs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with workbench() as bench:
        for number in range(options.specs):
            bench.write_spec(
                f"orders_{number:03d}",
                bench.root / "in" / str(number),
                description="Orders of one shop.",
                owners=["team:orders"],
                tags={"domain": "sales"},
                trigger={"on_arrival": {"every": "60s"}, "schedule": "hourly"},
            )
        seconds = take_turns(
            {
                DAGSTER: lambda _: seconds_of(bench, ours=False, specs=0),
                OURS: lambda _: seconds_of(bench, ours=True, specs=options.specs),
            },
            options.rounds,
        )
    result = Result(
        "definitions_load",
        {"specs": options.specs, "rounds": options.rounds},
        seconds=seconds,
    )
    beyond = median(
        ours - alone for ours, alone in zip(seconds[OURS], seconds[DAGSTER], strict=True)
    )
    result.figures = [
        Figure(f"{options.specs} specs, beyond import dagster", beyond, "s", at_most=2)
    ]
    result.notes = [
        "Each spec has a sensor and a schedule; Dagster's own check of the definitions is included."
    ]
    result.show()
    print(f"saved as {result.save(options.json)}")


if __name__ == "__main__":
    main()
