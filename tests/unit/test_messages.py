"""Messages that name the cause and the fix, where a server or a table shows only a symptom."""

from pathlib import Path

import pytest

from autoloader_dagster.errors import SpecError
from autoloader_dagster.inspection.csv_delimiter import other_delimiter
from autoloader_dagster.loading.bad_rows import bad_row
from autoloader_dagster.loading.isolate import short
from autoloader_dagster.loading.partition_columns import check_partition_by
from autoloader_dagster.specs.loader import load_specs
from tests.integration.cli_steps import Project
from tests.unit.look_steps import csv, look_at_bytes

_DAMAGED = """[FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:///in/a.parquet.  SQLSTATE: KD001

JVM stacktrace:
org.apache.spark.SparkException
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.cannotReadFilesError(QueryExecutionErrors.scala:904)
Caused by: java.lang.RuntimeException: java.io.IOException: could not read page in col [id] int64 id
\tat org.apache.spark.Reader.visit(Reader.java:324)
Caused by: java.io.IOException: could not read page in col [id] int64 id
Caused by: java.io.IOException: FAILED_TO_UNCOMPRESS(5)
"""  # noqa: E501


def test_an_error_while_reading_a_file_is_told_by_its_causes() -> None:
    assert short(Exception(_DAMAGED)) == (
        "Spark cannot read the file: could not read page in col [id] int64 id: "
        "FAILED_TO_UNCOMPRESS(5)"
    )
    assert short(Exception("no rows left\n\tat x")) == "no rows left"
    assert short(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("id;name\n1;a\n2;b\n", "';'"),
        ("id\tname\n1\ta\n", r"'\t'"),
        ("id|name\n1|a\n", "'|'"),
        ("name\na;b\nc;d\n", None),
        ("a;b\nc\n", None),
        ("id,name;x\n1,a;b\n", None),
        ("id;name\n", None),
    ],
)
def test_a_delimiter_that_is_plainly_another_one_is_named(
    tmp_path: Path, text: str, found: str | None
) -> None:
    assert other_delimiter(look_at_bytes(tmp_path, text.encode(), csv()), ",") == found


@pytest.mark.parametrize(
    ("text", "rescued", "found"),
    [
        ("id,n\n1,1\n2,x\n3,y\n", ['{"n":"y"}', '{"n":"x"}'], "row 2: n is 'x'"),
        ("id,n\nx,1\n2,x\n", ['{"n":"x"}'], "row 2: n is 'x'"),
        ("id,n\n1,1\n2,1,x\n", ['{"_row":"2,1,x"}'],
         "row 2: it has not the cells of the header: '2,1,x'"),
        ('id,n\n1,"a\nb"\n2," x "\n', ['{"n":"x","m":null}'], "row 2: n is 'x'"),
        ("id,n\n1,1\n", ['{"n":{"a":1}}'], """one of them: n is '{"a": 1}'"""),
        ("id,n\n1,1\n", ['{"n":"' + "x" * 99 + '"}'], f"one of them: n is '{'x' * 60}…'"),
        ("id,n\n1,1\n", ["no json", "[]", "{}"], None),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_with_number_column_and_value(
    tmp_path: Path, text: str, rescued: list[str], found: str | None
) -> None:
    project = Project(tmp_path, tmp_path / "home")
    project.spec("orders")
    (loaded,) = load_specs(project.specs).specs
    look = look_at_bytes(tmp_path, text.encode(), csv())
    assert bad_row(loaded.spec, look, rescued) == found


def test_an_unknown_partition_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path / "home")
    project.spec("orders", table={"name": "lake.a.b", "partition_by": ["days(evnt_time)"]})
    (loaded,) = load_specs(project.specs).specs
    check_partition_by(loaded.spec, ["EVNT_TIME", "id"])
    with pytest.raises(SpecError) as caught:
        check_partition_by(loaded.spec, ["id", "event_time"])
    assert "names the column 'evnt_time'" in caught.value.what
    assert "did you mean 'event_time'?" in caught.value.what
    assert "the columns are id, event_time, " in caught.value.hint
    for good in ("_partition_key", "bucket(16, id)", "truncate(4, name)", "years(id)"):
        table = loaded.spec.table.model_copy(update={"partition_by": (good,)})
        check_partition_by(loaded.spec.model_copy(update={"table": table}), ["id", "name"])


def test_validate_names_an_unknown_catalog_and_those_there_are(tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path / "home")
    project.spec("good")
    project.spec("bad", table={"name": "lak.shop.orders"})
    done = project.run("validate")
    assert done.code == 1
    assert "bad.yaml:7  table.name: 'lak.shop.orders' is in catalog 'lak', which" in done.err
    assert "the catalogs are lake; did you mean 'lake'?" in done.err
    assert "1 specs are good, 1 faults" in done.out
    # What a server elsewhere has is not known here.
    assert project.run("validate", SPARK_REMOTE="sc://127.0.0.1:1").code == 0
