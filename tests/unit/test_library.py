"""The package as a library: nothing happens at import, and what it offers is as promised."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import dagster as dg
import yaml

from autoloader_dagster.build import build_definitions, load_definitions
from autoloader_dagster.settings import load_settings
from autoloader_dagster.specs.loader import load_specs

_IMPORTED = """
import sys, warnings
import dagster
filters = list(warnings.filters)
import autoloader_dagster.component, autoloader_dagster.build
from autoloader_dagster import failpoints
assert warnings.filters == filters, warnings.filters
assert "autoloader_dagster.definitions" not in sys.modules
failpoints.reach("claimed")
"""


def write_spec(folder: Path, name: str, **parts: object) -> None:
    """Write a spec with a sensor, a schedule and partitions."""
    text = {
        "source": {"type": "local", "url": "/in"},
        "format": {"type": "csv"},
        "table": {"name": f"lake.shop.{name}"},
        "trigger": {"on_arrival": {"every": "60s"}, "schedule": "hourly"},
        **parts,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(text))


def test_an_import_loads_no_specs_and_filters_no_warnings_and_arms_nothing(tmp_path: Path) -> None:
    """The folder of specs is broken: loading it would log its faults."""
    (tmp_path / "broken.yaml").write_text("nonsense: 1\n")
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED],
        env={
            **os.environ,
            "AUTOLOADER_SPECS_DIR": str(tmp_path),
            "AUTOLOADER_FAILPOINTS": "claimed=raise",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_building_definitions_warns_of_nothing_and_changes_no_filter(tmp_path: Path) -> None:
    write_spec(tmp_path, "orders")
    (tmp_path / "broken.yaml").write_text("nonsense: 1\n")
    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        definitions = build_definitions(load_specs(tmp_path), name="shop")
        dg.Definitions.validate_loadable(definitions)
    assert [str(each.message) for each in warned] == []
    assert warnings.filters == filters


def test_the_own_code_location_without_a_folder_of_specs_is_empty(tmp_path: Path) -> None:
    settings = load_settings({"AUTOLOADER_SPECS_DIR": str(tmp_path / "none")})
    assert list(load_definitions(settings).resolve_all_asset_keys()) == []
