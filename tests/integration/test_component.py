"""A Dagster project of somebody's own mounts a folder of specs as a component."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from autoloader_dagster.component import IngestionSpecsComponent
from autoloader_dagster.errors import SpecError

_SPEC = """
source: {type: local, url: ../../../landing}
format: {type: csv}
table: {name: lake.shop.orders}
trigger: {on_arrival: {every: 60s}, schedule: hourly}
"""


@pytest.fixture
def defs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as ``create-dagster`` lays it out, with the component and one spec in it."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.dg]\ndirectory_type = 'project'\n[tool.dg.project]\nroot_module = 'warehouse'\n"
    )
    folder = tmp_path / "warehouse" / "defs"
    component = folder / "files"
    (component / "ingestion_specs").mkdir(parents=True)
    (component / "ingestion_specs" / "orders.yaml").write_text(_SPEC)
    (component / "defs.yaml").write_text(
        yaml.safe_dump({"type": "autoloader_dagster.IngestionSpecsComponent"})
    )
    (tmp_path / "warehouse" / "__init__.py").touch()
    (folder / "__init__.py").touch()
    (folder / "own.py").write_text(
        "import dagster as dg\n\n\n"
        "@dg.asset(deps=[['shop', 'orders']])\ndef report() -> None: ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [each for each in sys.modules if each.split(".")[0] == "warehouse"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def test_a_project_mounts_the_specs_beside_its_own_assets(defs_folder: Path) -> None:
    definitions = dg.load_from_defs_folder(path_within_project=defs_folder)
    repository = definitions.get_repository_def()
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert {"shop/orders", "source_files/default/orders", "report"} <= keys
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "orders_on_arrival_files",
        "autoloader_lost_runs_files",
    }
    assert [schedule.name for schedule in repository.schedule_defs] == ["orders_schedule_files"]


def test_a_project_mounts_several_folders_of_specs(defs_folder: Path) -> None:
    more = defs_folder / "more"
    (more / "ingestion_specs").mkdir(parents=True)
    spec = _SPEC.replace("orders", "customers")
    (more / "ingestion_specs" / "customers.yaml").write_text(spec)
    component = (defs_folder / "files" / "defs.yaml").read_text()
    (more / "defs.yaml").write_text(component + "attributes: {name: second}\n")
    # A host has what it likes under Dagster's own key.
    (defs_folder / "resources.py").write_text(
        "import dagster as dg\n\n\n"
        "@dg.definitions\ndef resources():\n"
        "    return dg.Definitions(resources={'io_manager': dg.FilesystemIOManager()})\n"
    )
    repository = dg.load_from_defs_folder(path_within_project=defs_folder).get_repository_def()
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert {"shop/orders", "shop/customers", "report"} <= keys
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "orders_on_arrival_files", "autoloader_lost_runs_files",
        "customers_on_arrival_second", "autoloader_lost_runs_second",
    }  # fmt: skip
    jobs = {job.name for job in repository.get_all_jobs()}
    for name in ("undo", "retry", "dismiss", "reload", "reconcile"):
        assert {f"autoloader_{name}_files", f"autoloader_{name}_second"} <= jobs


def test_a_folder_that_is_not_there_is_an_error_that_names_it(defs_folder: Path) -> None:
    (defs_folder / "files" / "defs.yaml").write_text(
        yaml.safe_dump(
            {
                "type": "autoloader_dagster.IngestionSpecsComponent",
                "attributes": {"specs_dir": "nowhere"},
            }
        )
    )
    # Dagster says which component it was, and has the reason as the cause.
    with pytest.raises(Exception, match=r"IngestionSpecsComponent\) \(error\)") as caught:
        dg.load_from_defs_folder(path_within_project=defs_folder).get_repository_def()
    assert isinstance(caught.value.__cause__, SpecError)
    assert "files/nowhere" in str(caught.value.__cause__)


def test_the_component_is_described(defs_folder: Path) -> None:
    assert "specs_dir" in str(IngestionSpecsComponent.get_model_cls().model_json_schema())


def test_dagster_itself_validates_such_a_project(defs_folder: Path) -> None:
    root = defs_folder.parents[1]
    (root / "warehouse" / "definitions.py").write_text(
        "from pathlib import Path\n\nimport dagster as dg\n\n"
        "defs = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "warehouse.definitions"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
