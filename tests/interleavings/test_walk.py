"""A bounded walk through the orders of concurrent work; ``script/soak --interleavings`` goes on."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_order_of_concurrent_work_loses_or_doubles_a_row() -> None:
    # In a process of its own, because it forks, and other tests have threads.
    walk = [sys.executable, "-m", "tests.interleavings.soak", "--seed", "10", "--lines", "1"]
    done = subprocess.run(
        [*walk, "--steps", "6000"],
        cwd=ROOT, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "orders in" in done.stdout
