"""``query`` only reads, unless it is asked to write."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoloader_dagster.cli.query import run_sql
from autoloader_dagster.errors import TableError, UsageError
from autoloader_dagster.spark.session import connect
from tests.fixtures.lake import Lake, write_ids

READING = (
    "select id from {t} order by id",
    "SELECT id FROM {t} ORDER BY id; ",
    "-- a comment\nwith a as (select id from {t}) select id from a order by id -- end",
    "from {t} |> select id |> order by id",
    "table {t}",
    "show tables in {n}",
    "describe table {t}",
    "show create table {t}",
    "explain delete from {t}",
)
WRITING = (
    "drop table {t}",
    "/* select */ delete from {t} where id = 1",
    "with a as (select 1 as id) insert into {t} (id) select id from a",
    "from {t} insert into {t} select *",
    "update {t} set id = 7",
    "merge into {t} a using {t} b on a.id = b.id when matched then delete",
    "alter table {t} add column x int",
    "create table {t}_2 using iceberg as select 1 as a",
    "create or replace temp view v as select 1 as a",
    "call lake.system.expire_snapshots(table => '{t}')",
    "truncate table {t}",
    "set spark.sql.variable.substitute=true",
    "begin delete from {t}; end",
    "select 1) a; drop table {t}; select * from (select 1",
)


def test_only_statements_that_read_are_run(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1, 2)
    lake.load(lake.ingestion("t"))
    names = {"n": f"lake.{lake.namespace}", "t": f"lake.{lake.namespace}.t"}
    with connect(lake.settings) as spark:
        for sql in READING:
            columns, rows = run_sql(spark, sql.format(**names), 100, lake.settings)
            found = list(rows)
            assert found, sql
            if columns == ["id"]:
                assert found == [(1,), (2,)], sql
        for sql in WRITING:
            with pytest.raises(UsageError):
                run_sql(spark, sql.format(**names), 100, lake.settings)
        for sql in ("use lake", "clear cache", "reset", "select * from {t}_3"):
            with pytest.raises((UsageError, TableError)):
                run_sql(spark, sql.format(**names), 100, lake.settings)
        assert lake.ids("t") == {1: 1, 2: 1}
        _, tables = run_sql(spark, "show tables in {n}".format(**names), 9, lake.settings)
        assert list(tables) == [(lake.namespace, "t", False)]

        delete = "delete from {t} where id = 1".format(**names)
        run_sql(spark, delete, 100, lake.settings, write=True)
        assert lake.ids("t") == {2: 1}


def test_an_unknown_table_is_answered_with_some_tables_however_many_there_are(
    lake: Lake, tmp_path: Path
) -> None:
    settings = replace(lake.settings, specs_dir=tmp_path)
    with connect(lake.settings) as spark:
        for number in range(11):
            spark.sql(f"create namespace lake.`{lake.namespace}-{number}`")
            spark.sql(f"create table lake.`{lake.namespace}-{number}`.t (id int) using iceberg")
        with pytest.raises(TableError, match="TABLE_OR_VIEW_NOT_FOUND") as caught:
            run_sql(spark, "select * from lake.no.such", 100, settings)
    assert caught.value.hint.startswith("Some of the tables: lake.")
    assert caught.value.hint.endswith("'show tables in NAMESPACE' lists more.")
    assert caught.value.hint.count("lake.") <= 20
