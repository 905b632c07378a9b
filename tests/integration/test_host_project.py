"""The worked example of a foreign Dagster project, and the example of the library's ``run``."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from autoloader_dagster.settings import Settings
from tests.fixtures.project import ROOT
from tests.unit.test_library import python_blocks, run_example

_EXAMPLE = ROOT / "examples" / "host_project"
_SECONDS = 300

# An asset that comes after the load, in a process of its own, while the run goes on.
_LOOK = """
import json
from pathlib import Path
import dagster as dg
from autoloader_dagster.orchestration.runs.lost import Ours, fail_lost_runs
from autoloader_dagster.settings import load_settings

@dg.asset(op_tags={"dagster/priority": "-1"})
def look(context: dg.AssetExecutionContext) -> None:
    looked = fail_lost_runs(context.instance, load_settings(), Ours())
    Path("looked.json").write_text(json.dumps(context.run_id in looked.lost))
"""
# What the daemon of the project does: it sees that the table has new rows, and asks for the report.
_WORK = """
import subprocess
import sys
import dagster as dg
from warehouse.definitions import defs

with dg.DagsterInstance.get() as instance:
    before = dg.evaluate_automation_conditions(defs, instance)
    subprocess.run([sys.executable, "-m", "dagster", *sys.argv[1:]], check=True)
    after = dg.evaluate_automation_conditions(defs, instance, cursor=before.cursor)
    assert (before.total_requested, after.total_requested) == (0, 1)
    assert after.get_num_requested(dg.AssetKey("revenue")) == 1
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey("revenue")]
    ).success
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A copy of the example in a foreign folder, with tables of its own."""
    folder = tmp_path / "host"
    shutil.copytree(_EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    namespace = f"example_{secrets.token_hex(6)}"
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".py", ".yaml"):
            text = path.read_text("utf-8")
            path.write_text(text.replace("example_shop", namespace), "utf-8")
    (folder / "namespace").write_text(namespace)
    return folder


def test_a_foreign_project_loads_files_and_its_own_asset_sees_the_rows(
    host: Path, spark_settings: Settings, tmp_path: Path
) -> None:
    namespace = (host / "namespace").read_text()
    (host / "warehouse" / "defs" / "look.py").write_text(_LOOK)
    project = host / "warehouse" / "defs" / "project.py"
    project.write_text(project.read_text().replace('"max_concurrent": 2', '"max_concurrent": 1'))
    dagster_home = tmp_path / "dagster"
    dagster_home.mkdir()
    shutil.copy(host / "dagster.yaml", dagster_home)
    environ = {
        **os.environ,
        "AUTOLOADER_HOME": str(spark_settings.home),
        "AUTOLOADER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "WEATHER_STATE_URL": f"sqlite:///{tmp_path / 'weather.db'}",
        "DAGSTER_HOME": str(dagster_home),
    }
    environ.pop("SPARK_REMOTE", None)
    load = ["asset", "materialize", "-m", "warehouse.definitions", "--partition", "2026-11-20"]
    done = subprocess.run(
        [sys.executable, "-c", _WORK, *load, "--select", f"raw/{namespace}/orders,look"],
        cwd=host, env=environ, capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CodeReference" not in done.stderr, "Dagster warns of what it has in beta"
    assert "backfill_policy" not in done.stderr

    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        made = instance.get_latest_materialization_event(dg.AssetKey("revenue"))
        assert made is not None
        assert made.asset_materialization is not None
        values = {name: each.value for name, each in made.asset_materialization.metadata.items()}
        assert values == {"orders": 2, "revenue": 30.5, "currency": "EUR"}
        table = dg.AssetKey(["raw", namespace, "orders"])
        assert instance.get_materialized_partitions(table) == {"2026-11-20"}
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
    # Each step had a process of its own, and that of the load had ended before the run.
    assert json.loads((host / "looked.json").read_text()) is False


def test_the_examples_of_run_are_true(
    spark_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOLOADER_HOME", str(spark_settings.home))
    monkeypatch.setenv("AUTOLOADER_DATABASE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    assert run_example("run", tmp_path, f"example_{secrets.token_hex(6)}") == 0
    # The page's program, for which nothing waits now.
    exec(python_blocks("docs/library.md")[1], {})
    printed = capsys.readouterr().out.splitlines()[-2:]
    assert printed[0] == "SUCCESS 0 0"
    assert "'SUCCESS'" in printed[1]
