"""``query`` only reads, unless it is asked to write."""

import time
from dataclasses import replace
from datetime import date, datetime
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
    "explain select id from {t}",
    "/* a /* b */ ; */ (select id from {t}) order by id",
    "desc query select id from {t}",
    "select 'reflect(' as a, \"java_method(\" as b from {t} -- try_reflect(",
    "select /*+ coalesce(1) */ id from {t} order by id; -- end",
    "select transform(array(1), x -> x + 1)",
    "select * from values (1) a(x) join values (1) b(x) using (x)",
    "select 1 as reflect",
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
    "execute immediate 'delete from {t}'",
    "/* a */ ((EXECUTE\tIMMEDIATE 'delete from {t}'))",
    "explain execute immediate 'delete from {t}'",
    "explain extended /* a */ (execute immediate 'delete from {t}')",
    "explain explain execute immediate 'delete from {t}'",
    "/* a /*+ b */ execute immediate 'delete from {t}' /* */ */ select 1",
    "-- select \\\n 1 \n execute immediate 'delete from {t}'",
    "explain delete from {t}",
    "describe execute immediate 'delete from {t}'",
    "declare v = 1",
    "cache table {t}",
    "add jar '/tmp/no.jar'",
    "refresh table {t}",
)
# What runs something else than SQL on the server, which would end here.
PROGRAMS = (
    "select reflect('java.lang.System', 'exit', 3)",
    "select 1 where system.builtin.`Java_Method` /* a */ ('java.lang.System', 'exit', 3) is null",
    "show tables in {n} like try_reflect('java.lang.System', 'exit', 3)",
    "explain select reflect('java.lang.System', 'exit', 3) from values (1)",
    "select identifier('ref' || 'lect')('java.lang.System', 'exit', 3)",
    "select 'a\\'', reflect('java.lang.System', 'exit', 3), '\\''",
    "select r'\\', reflect('java.lang.System', 'exit', 3), r'\\'",
    "select transform(id) using 'touch {f}' as (a string) from {t}",
    "map id using 'touch {f}' as (a string) from {t}",
)
# A statement, and what the error says of the place in it.
PLACES = (
    ("select 1; drop table x", "(line 1, pos 10)"),
    ("select nope", "line 1 pos 7"),
    ("-- a\n select nope", "line 2 pos 8"),
    ("  select 1 +", "(line 1, pos 12)"),
    ("show tables in x y z", "(line 1, pos 17)"),
)


def test_only_statements_that_read_are_run(lake: Lake, tmp_path: Path) -> None:
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
        touched = tmp_path / "touched"
        for sql in PROGRAMS:
            with pytest.raises(UsageError, match="on the Spark server"):
                run_sql(spark, sql.format(**names, f=touched), 100, lake.settings)
        assert not touched.exists()
        for sql in ("use lake", "clear cache", "reset", "select * from {t}_3"):
            with pytest.raises((UsageError, TableError)):
                run_sql(spark, sql.format(**names), 100, lake.settings)
        assert lake.ids("t") == {1: 1, 2: 1}
        _, tables = run_sql(spark, "show tables in {n}".format(**names), 9, lake.settings)
        assert list(tables) == [(lake.namespace, "t", False)]

        delete = "delete from {t} where id = 1".format(**names)
        run_sql(spark, delete, 100, lake.settings, write=True)
        assert lake.ids("t") == {2: 1}


def test_errors_have_places_of_the_statement_that_was_given(lake: Lake) -> None:
    with connect(lake.settings) as spark:
        for sql, place in PLACES:
            with pytest.raises(UsageError) as caught:
                list(run_sql(spark, sql, 100, lake.settings)[1])
            assert caught.value.what.endswith(place), caught.value.what
        for write in (False, True):
            for sql in ("", " ;\n; ", "-- a", "/* a */ ;"):
                with pytest.raises(UsageError, match="the statement is empty"):
                    run_sql(spark, sql, 100, lake.settings, write=write)
        for sql in ("select 'a", 'select "a', "select `a", "select 1 /* a /* b */"):
            with pytest.raises(UsageError, match="is not closed"):
                run_sql(spark, sql, 100, lake.settings)


# What Python cannot hold, and what is shown for it.
BEYOND = (
    ("date'12000-01-01'", "+12000-01-01"),
    ("date'-0044-03-15'", "-0044-03-15"),
    ("timestamp'12000-01-01 00:00:00'", "+12000-01-01 00:00:00"),
    ("timestamp_ntz'-0044-03-15 00:00:00.5'", "-0044-03-15 00:00:00.5"),
    ("interval 1 month", "INTERVAL '1' MONTH"),
    ("map(array(1, null), 2)", {(1, None): 2}),
    ("map(named_struct('a', array(1)), date'12000-01-01')", {((1,),): "+12000-01-01"}),
    ("array(date'12000-01-01', date'2024-01-01', null)", ["+12000-01-01", date(2024, 1, 1), None]),
    (
        "named_struct('a.b', interval 1 year, 'a.b', named_struct('c', 1), 'd', map(1, 'x'))",
        ("INTERVAL '1' YEAR", (1,), {1: "x"}),
    ),
    ("cast(null as map<array<int>, date>)", None),
    ("cast(null as struct<a: date>)", None),
)
# What Python can hold, which is shown as ever.
USUAL = """
    select date'0001-01-01' a, date'9999-12-31' b, timestamp_ntz'0001-01-01 00:00:00' c,
        timestamp_ntz'9999-12-31 23:59:59.999999' d, timestamp'2024-06-01 12:00:00.123' e,
        timestamp'0001-01-02 00:00:00' f, timestamp'9999-12-30 23:59:59.999999' g,
        interval 1 day h, x'00ff' i, map(x'00', date'2024-01-01') j, parse_json('{"a": 1}') k,
        named_struct('x y', timestamp'2024-06-01 12:00:00', 'z', array(struct(1 as q))) l,
        map('a', array(date'2024-01-01', null)) m, cast(null as date) n, null o, 1.50 p,
        map(named_struct('x', 1), 2) r, array(map('a', named_struct('b', date'2024-01-01'))) s
    union all select null, null, null, null, null, null, null, null, null, null, null, null, null,
        null, null, null, null, null
"""


def test_a_value_that_python_cannot_hold_is_shown_as_spark_writes_it(lake: Lake) -> None:
    sql = f"select {', '.join(each for each, _ in BEYOND)}, 1 as a, 2 as a"
    with connect(lake.settings) as spark:
        _, rows = run_sql(spark, sql, 100, lake.settings)
        assert list(rows) == [(*(value for _, value in BEYOND), 1, 2)]


def test_other_values_are_shown_as_ever_in_each_time_zone(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = "select timestamp'0001-01-01 00:00:00', timestamp'9999-12-31 23:59:59.999999'"
    shown = dict[str, tuple[object, ...]]()
    with connect(lake.settings) as spark:
        for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
            with monkeypatch.context() as patched:
                patched.setenv("TZ", zone)
                time.tzset()
                _, rows = run_sql(spark, USUAL, None, lake.settings)
                expected = list(spark.sql(USUAL).toLocalIterator())
                assert [repr(row) for row in rows] == [repr(tuple(row)) for row in expected]
                shown[zone] = next(run_sql(spark, ends, None, lake.settings)[1])
            time.tzset()
    first, last = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
    assert shown["UTC"] == (first, last)
    assert shown["Asia/Tokyo"][1] == "9999-12-31 23:59:59.999999"
    assert shown["America/New_York"][0] == "0001-01-01 00:00:00"


def test_a_struct_with_two_fields_of_one_name_is_refused_where_it_becomes_json(lake: Lake) -> None:
    struct = "named_struct('a', 1, 'a', 2)"
    with connect(lake.settings) as spark:
        for sql in (struct, f"array({struct})", f"map({struct}, 1)", f"struct({struct} as b)"):
            assert list(run_sql(spark, f"select {sql} as s", 9, lake.settings)[1])
            with pytest.raises(UsageError, match="2 fields in column 's' of the result are named"):
                run_sql(spark, f"select {sql} as s", 9, lake.settings, as_objects=True)


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
