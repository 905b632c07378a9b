"""Sizes, durations, days, time zones, cron strings; and that Dagster takes what we take."""

from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest
from pydantic import TypeAdapter, ValidationError

from autoloader_dagster.specs.cron import check_cron
from autoloader_dagster.specs.sql_types import check_sql_type
from autoloader_dagster.specs.values import (
    ByteSize,
    Character,
    Day,
    Duration,
    Text,
    Timezone,
    check_owner,
    check_partition_by,
    check_tag,
)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (ByteSize, 7, 7),
        (ByteSize, "10 GiB", 10 * 2**30),
        (ByteSize, "10GiB", 10 * 2**30),
        (ByteSize, "1.5 kb", 1500),
        (ByteSize, "500 MB", 500_000_000),
        (ByteSize, "2 TiB", 2 * 2**40),
        (ByteSize, "3 b", 3),
        (Duration, 90, timedelta(seconds=90)),
        (Duration, "1.5m", timedelta(seconds=90)),
        (Duration, "30s", timedelta(seconds=30)),
        (Duration, "2 h", timedelta(hours=2)),
        (Duration, "1d", timedelta(days=1)),
        (Day, "2020-02-29", date(2020, 2, 29)),
        (Timezone, "UTC", "UTC"),
        (Timezone, "America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        (Character, "\\t", "\t"),
        (Character, "\t", "\t"),
        (Character, 1, "1"),
        (Character, "", ""),
        (Text, -999, "-999"),
        (Text, True, "true"),
        (Text, 1.5, "1.5"),
    ],
)
def test_a_value_that_is_right(kind: Any, text: Any, value: object) -> None:
    assert TypeAdapter(kind).validate_python(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ByteSize, "10"),
        (ByteSize, "10 GB/s"),
        (ByteSize, "-1 GB"),
        (ByteSize, "0 GB"),
        (ByteSize, "9" * 400 + " GB"),
        (ByteSize, True),
        (ByteSize, None),
        (Duration, "60"),
        (Duration, "1 week"),
        (Duration, "-5s"),
        (Duration, "999999999d"),
        (Duration, float("nan")),
        (Duration, float("inf")),
        (Duration, -5),
        (Duration, True),
        (Day, "2020-02-30"),
        (Day, "22.1.2020"),
        (Day, 20200122),
        (Day, "2020-01-22T00:00:00"),
        (Timezone, ""),
        (Timezone, "Mars/Olympus"),
        (Timezone, "../UTC"),
        (Timezone, "/etc/localtime"),
        (Timezone, "Europe"),
        (Timezone, "UTC\0"),
        (Character, "ab"),
        (Character, "\n"),
        (Text, None),
        (Text, ["a"]),
    ],
)
def test_a_value_that_is_wrong(kind: Any, text: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)


CRON = [
    "0 * * * *",
    "0 0 * * 1",
    "15 */6 * * *",
    "0-30/5 9-17 1,15 jan-mar MON-FRI",
    "59 23 31 12 7",
    "0 0 29 2 *",
    "0 0 30 * *",
    "5/15 * * * *",
    "0 0 31 1,2 *",
]


@pytest.mark.parametrize("cron", CRON)
def test_dagster_takes_every_cron_string_that_we_take(cron: str) -> None:
    check_cron(cron)
    job = dg.define_asset_job("load")
    assert dg.ScheduleDefinition(job=job, cron_schedule=cron).cron_schedule == cron


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("every day", "is not hourly, daily, weekly or a cron string of five fields"),
        ("0 0 * * * *", "is not hourly, daily, weekly or a cron string of five fields"),
        ("60 * * * *", "'60' is no minute from 0 to 59"),
        ("* 24 * * *", "'24' is no hour from 0 to 23"),
        ("* * 0 * *", "'0' is no day of the month from 1 to 31"),
        ("* * * 13 *", "'13' is no month from 1 to 12"),
        ("* * * foo *", "'foo' is no month from 1 to 12"),
        ("* * * * 8", "'8' is no day of the week from 0 to 7"),
        ("30-10 * * * *", "the range '30-10' runs backwards"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("1,,2 * * * *", "'' is no minute"),
        ("*-5 * * * *", "'*-5' is no minute"),
        ("0 0 L * *", "'L' is no day of the month from 1 to 31"),
        ("0 0 30 2 *", "names a day that its months never have"),
        ("0 0 31 apr,jun *", "names a day that its months never have"),
    ],
)
def test_a_cron_string_that_is_wrong_says_where(cron: str, why: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the words are compared below)
        check_cron(cron)
    assert str(error.value).endswith(why)
    assert f"'{cron}'" in str(error.value)


@pytest.mark.parametrize("owner", ["team:data", "team:Big Data-1", "a.b+c@example.co.uk"])
def test_dagster_takes_every_owner_that_we_take(owner: str) -> None:
    check_owner(owner)
    assert dg.AssetSpec("a", owners=[owner]).owners == [owner]


@pytest.mark.parametrize("owner", ["", "team:", "joe", "joe@host", "a b@example.com"])
def test_an_owner_that_is_wrong(owner: str) -> None:
    with pytest.raises(ValueError, match="neither an e-mail address nor 'team:name'"):
        check_owner(owner)


@pytest.mark.parametrize(
    ("key", "value"), [("a", ""), ("my.org/a-b_c", "v1.0"), ("a" * 63, "b" * 63)]
)
def test_dagster_takes_every_tag_that_we_take(key: str, value: str) -> None:
    check_tag(key, value)
    assert dg.AssetSpec("a", tags={key: value}).tags == {key: value}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", ""),
        ("a b", ""),
        ("a" * 64, ""),
        ("a/b/c", ""),
        ("dagster/x", ""),
        ("a", "b c"),
        ("a", "b" * 64),
    ],
)
def test_a_tag_that_is_wrong(key: str, value: str) -> None:
    with pytest.raises(ValueError, match="letters, digits and _"):
        check_tag(key, value)


@pytest.mark.parametrize(
    "sql_type",
    ["string", "DECIMAL(18, 2)", "timestamp_ntz", "array<struct<a: int>>", "map<string,int>"],
)
def test_a_type_that_spark_knows(sql_type: str) -> None:
    check_sql_type(sql_type)


@pytest.mark.parametrize("sql_type", ["", "text", "varchar2(10)", "datetime", "<int>"])
def test_a_type_that_spark_does_not_know(sql_type: str) -> None:
    with pytest.raises(ValueError, match="is not a Spark SQL type"):
        check_sql_type(sql_type)


@pytest.mark.parametrize(
    "entry", ["_partition_key", "days(ts)", "year(ts)", "bucket(16, id)", "truncate(4,name)"]
)
def test_a_partition_field_that_iceberg_knows(entry: str) -> None:
    check_partition_by([entry])


@pytest.mark.parametrize(
    "entry", ["", "a.b", "bucket(id)", "bucket(0, id)", "days(ts), x", "a) using csv", "void(a)"]
)
def test_a_partition_field_that_is_wrong(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a column nor a transform"):
        check_partition_by([entry])
