"""Data files that a killed Spark driver left behind are found, and removed on demand."""

import json
import os
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from autoloader_dagster.errors import UsageError
from autoloader_dagster.loading.recovery.unused_files import find_unused_files
from autoloader_dagster.spark.session import connect
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.moments import dying_at
from tests.fixtures.project import Project

_DAY = 86_400
_CLI = "autoloader_dagster.cli.app"


def _left_behind(warehouse: str, namespace: str, name: str, days: float) -> Path:
    """A data file of a write that never came to its commit."""
    path = Path(warehouse) / namespace / "orders" / "data" / name
    path.write_bytes(b"no snapshot names it")
    then = time.time() - days * _DAY
    os.utime(path, (then, then))
    return path


def test_old_files_that_no_snapshot_names_are_removed_and_no_others(project: Project) -> None:
    project.write_spec("orders")
    write_ids(project.landing("orders"), "a.csv", 1, 2)
    project.run(_CLI, "run", "orders")
    old = _left_behind(project.settings.warehouse, project.namespace, "old.parquet", 5)
    young = _left_behind(project.settings.warehouse, project.namespace, "young.parquet", 2)

    (told,) = json.loads(project.run(_CLI, "unused", "orders", "--json").stdout)["tables"]
    assert told["dry_run"] is True
    assert [Path(each).name for each in told["files"]] == ["old.parquet"]
    shown = project.run(_CLI, "unused", "orders").stdout
    assert "1 unused file written" in shown
    assert "--yes removes them" in shown
    assert old.exists()

    removed = project.run(_CLI, "unused", "orders", "--yes").stdout
    assert "; removed" in removed
    assert not old.exists()
    assert young.exists()
    assert project.ids("orders") == [1, 2]
    too_young = project.run(_CLI, "unused", "orders", "--days", "0.5", check=False)
    assert too_young.returncode == 2
    assert "no unused files" in project.run(_CLI, "unused").stdout


def test_a_table_that_is_not_there_yet_is_told(project: Project) -> None:
    project.write_spec("orders")
    project.landing("orders")
    assert "does not exist yet" in project.run(_CLI, "unused").stdout


def test_files_since_the_oldest_load_under_way_are_left_alone(lake: Lake) -> None:
    ingestion = lake.ingestion("orders")
    write_ids(lake.folder(), "a.csv", 1)
    lake.load(ingestion)
    path = _left_behind(lake.settings.warehouse, lake.namespace, "its.parquet", 4)
    write_ids(lake.folder(), "b.csv", 2)
    with dying_at("claimed"):
        lake.load(ingestion)
    table = f"lake.{lake.namespace}.orders"
    with connect(lake.settings) as spark:
        found = find_unused_files(spark, lake.store, table, timedelta(days=3))
        assert [Path(each).name for each in found.files or ()] == [path.name]
        with pytest.raises(UsageError, match="may belong to a write that is under way"):
            find_unused_files(spark, lake.store, table, timedelta(hours=20))

        with closing(sqlite3.connect(lake.root / "state.db")) as state, state:
            state.execute(
                "update batches set started_at = datetime(started_at, '-5 days') "
                "where status = 'CLAIMED'"
            )
        found = find_unused_files(spark, lake.store, table, timedelta(days=3), lambda _: True)
        assert found.files == ()
        assert path.exists()
