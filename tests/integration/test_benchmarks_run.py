"""Every benchmark runs, with as little as it takes; nothing is timed here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("definitions_load", ["--specs", "3"]),
        ("listing", ["--files", "20"]),
    ],
)
def test_benchmark_prints_its_figures_and_writes_them(
    name: str, options: list[str], tmp_path: Path
) -> None:
    result = tmp_path / "result.json"

    done = subprocess.run(
        [
            sys.executable, _BENCHMARKS / f"{name}.py", *options,
            "--rounds", "1", "--json", result,
        ],
        cwd=tmp_path, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    told = json.loads(result.read_text())
    assert told["benchmark"] == name
    for figure in told["figures"]:
        assert figure["name"] in done.stdout
