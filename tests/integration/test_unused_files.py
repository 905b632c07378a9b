"""Data files that a killed Spark driver left behind are found, and removed on demand.

The command looks at every table of the catalog, so these tests have a catalog of their own.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from autoloader_dagster.errors import FolderShared, UsageError
from autoloader_dagster.iceberg.table_folders import CatalogFolders, TableFolders, overlap
from autoloader_dagster.iceberg.unused_files import refuse_shared_folder
from autoloader_dagster.loading.progress import no_progress
from autoloader_dagster.loading.recovery.unused_files import find_unused_files
from autoloader_dagster.settings import Settings
from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.spark.session import connect
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.moments import dying_at
from tests.fixtures.project import Project
from tests.fixtures.spark import cheap_conf, settings_for

_DAY = 86_400
_CLI = "autoloader_dagster.cli.app"


@pytest.fixture(scope="module")
def spark_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A server of their own, for its catalog."""
    root = tmp_path_factory.mktemp("unused")
    settings = settings_for(root / "home", AUTOLOADER_SPARK_CONF=str(cheap_conf(root)))
    server = EmbeddedServer(settings)
    with connect(settings):
        yield settings
    server.stop()


@pytest.fixture(autouse=True)
def _no_tables_of_other_tests(spark_settings: Settings) -> None:
    with closing(sqlite3.connect(spark_settings.catalog_db, timeout=30)) as catalog, catalog:
        catalog.execute("delete from iceberg_tables")


def _sql(project: Project, *statements: str) -> None:
    with connect(project.settings) as spark:
        for statement in statements:
            spark.sql(statement).collect()


def _made_old(folder: Path) -> set[Path]:
    """All files of a folder, whose last change is long ago now."""
    then = time.time() - 9 * _DAY
    files = {each for each in folder.rglob("*") if each.is_file()}
    for each in files:
        os.utime(each, (then, then))
    return files


def _refused(project: Project, other: str) -> None:
    """``orders`` is refused because of this table, also with --yes, and nothing is gone."""
    files = _made_old(Path(project.settings.warehouse))
    done = project.run(_CLI, "unused", "orders", "--yes", check=False)
    assert done.returncode == 1
    assert f"cannot look for unused files of lake.{project.namespace}.orders" in done.stderr
    assert other in done.stderr
    assert "removed;" not in done.stdout
    assert {each for each in Path(project.settings.warehouse).rglob("*") if each.is_file()} == files


def _made(project: Project) -> str:
    """The table of the spec ``orders``, with a row."""
    project.write_spec("orders")
    table = f"lake.{project.namespace}.orders"
    _sql(
        project,
        f"create namespace lake.{project.namespace}",
        f"create table {table} using iceberg as select 1 as id",
    )
    return table


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


def test_a_table_whose_namespace_is_in_the_folder_of_the_table(project: Project) -> None:
    table = _made(project)
    other = f"{table}.daily.deep.rows"
    _sql(
        project,
        f"create namespace {table}.daily.deep",
        f"create table {other} as select 7 as id",
    )
    _refused(project, other)
    _sql(project, f"select * from {other}", f"drop table {other}")
    assert "unused file" in project.run(_CLI, "unused", "orders").stdout


def test_a_renamed_table_whose_folder_is_the_new_one_s(project: Project) -> None:
    table = _made(project)
    _sql(
        project,
        f"alter table {table} rename to {project.namespace}.orders_old",
        f"create table {table} using iceberg as select 2 as id",
    )
    _refused(project, f"{table}_old")
    for options in ((), ("--yes",)):
        done = project.run(_CLI, "unused", *options, "--json", check=False)
        assert done.returncode == 1
        assert [each["table"] for each in json.loads(done.stdout)["refused"]] == [table]


@pytest.mark.parametrize("where", ["location", "write.data.path", "write.metadata.path", "view"])
def test_anything_else_with_files_in_the_folder(project: Project, where: str) -> None:
    table = _made(project)
    folder = f"{project.settings.warehouse}/{project.namespace}/orders/sub"
    other = f"lake.{project.namespace}_b.other"
    statement = f"create table {other} (id int) "
    if where == "location":
        statement += f"location 'file://{folder}'"
    elif where == "view":
        other = f"{table}.v"
        statement = f"create view {other} as select 1 as id"
    else:
        statement += f"tblproperties ('{where}' = '{folder}')"
    namespace = other.rpartition(".")[0]
    _sql(project, f"create namespace if not exists {namespace}", statement)
    _refused(project, other)


def test_a_table_whose_folder_is_around_the_table_s(project: Project) -> None:
    _made(project)
    around = f"lake.{project.namespace}.around"
    folder = f"{project.settings.warehouse}/{project.namespace}"
    _sql(project, f"create table {around} (id int) location '{folder}'")
    _refused(project, around)


def test_a_table_that_cannot_be_read_may_have_its_files_anywhere(project: Project) -> None:
    _made(project)
    other = f"lake.{project.namespace}.`we ird`"
    _sql(project, f"create table {other} (id int)")
    for each in Path(project.settings.warehouse).rglob("we ird/metadata/*.json"):
        each.unlink()
    _refused(project, f"lake.{project.namespace}.we ird may have files in its folder")


def test_a_table_whose_own_folder_nobody_knows_is_refused() -> None:
    class Unknown(CatalogFolders):
        def __init__(self) -> None: ...

        def of(self, table: str) -> TableFolders:
            return TableFolders(table, unknown=f"the catalog does not say where {table} is")

    with pytest.raises(FolderShared, match=r"the catalog does not say where lake\.a\.b is"):
        refuse_shared_folder(Unknown(), "lake.a.b")


def test_other_tables_of_the_command_are_looked_at(project: Project) -> None:
    table = _made(project)
    project.write_spec("bills")
    _sql(
        project,
        f"create table lake.{project.namespace}.bills using iceberg as select 1 as id",
        f"create namespace {table}",
        f"create table {table}.x (id int)",
        f"create view lake.{project.namespace}.v as select 1 as one",
    )
    done = project.run(_CLI, "unused", "--yes", check=False)
    assert done.returncode == 1
    assert f"lake.{project.namespace}.bills: no unused files" in done.stdout
    assert f"{table}.x has files in" in done.stderr


def test_a_catalog_of_folders_and_spark_s_own(lake: Lake) -> None:
    """The first shows no namespace whose folder is a table's, and the other has none in others."""
    with connect(lake.settings) as spark:
        spark.conf.set("spark.sql.catalog.pond", "org.apache.iceberg.spark.SparkCatalog")
        spark.conf.set("spark.sql.catalog.pond.type", "hadoop")
        spark.conf.set("spark.sql.catalog.pond.warehouse", str(lake.root / "pond"))
        for table in ("shop.orders", "shop.bills", "shop.orders.daily"):
            spark.sql(f"create table pond.{table} (id int)").collect()
        with pytest.raises(FolderShared, match=r"and pond\.shop\.orders\.daily has files in"):
            find_unused_files(spark, lake.store, "pond.shop.orders", timedelta(days=3))
        found = find_unused_files(spark, lake.store, "pond.shop.bills", timedelta(days=3))
        assert found.files == ()
        own = f"spark_catalog.default.{lake.namespace}"
        spark.sql(f"create table {own} (id int) using parquet").collect()
        assert [
            each for each in CatalogFolders(spark, no_progress).others(own) if each.unknown
        ] == []
        spark.sql(f"drop table {own}").collect()


def test_which_folders_are_one_another_s() -> None:
    for one, other in (
        ("/a/b", "file:///a/b/"),
        ("file:/a/b", "/a//b/c"),
        ("s3://lake/a", "s3a://lake/a/b"),
        ("hdfs://name:8020/a", "/a/b"),
        ("hdfs:///a", "hdfs://name:8020/a"),
        ("/a/../b", "/b/c"),
        ("/", "/a"),
    ):
        assert overlap(one, other), (one, other)
        assert overlap(other, one), (one, other)
    for one, other in (
        ("/a/orders", "/a/orders_old"),
        ("s3://lake/a", "s3://pond/a"),
        ("s3://lake/a", "gs://lake/a"),
        ("/a/b", "/a/c"),
    ):
        assert not overlap(one, other), (one, other)
        assert not overlap(other, one), (one, other)
