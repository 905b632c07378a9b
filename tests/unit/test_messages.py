"""Messages that name the cause and the fix, where a server or a table shows only a symptom."""

import gzip
import json as jsonlib
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from pyspark.errors import PySparkException

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.errors import SparkError, SpecError, TableUnavailable
from autoloader_dagster.formats.csv.delimiter import other_delimiter
from autoloader_dagster.formats.frame import Readable
from autoloader_dagster.formats.json.values import as_text
from autoloader_dagster.formats.look import Bad, look_at
from autoloader_dagster.formats.row_numbers import row_of
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.iceberg.table import IcebergTable
from autoloader_dagster.loading.batch.bad_rows import bad_row, name_bad_rows
from autoloader_dagster.loading.partition_columns import check_partition_by
from autoloader_dagster.loading.recovery.advice import advice
from autoloader_dagster.spark.catalogs import shown_address
from autoloader_dagster.spark.errors import advice as advice_on
from autoloader_dagster.spark.errors import first_sentence, is_environment, known, short
from autoloader_dagster.specs.format import Format
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.state.failures import explain
from autoloader_dagster.state.records import Difference
from tests.integration.cli_steps import Project
from tests.unit.look_steps import csv, folder, json, listed, look_at_bytes

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
    ("message", "kept", "sentence"),
    [
        (
            "(org.apache.iceberg.jdbc.UncheckedSQLException) Failed to get table lake.a.b.\n\n"
            "JVM stacktrace:\n\tat x\n"
            "Caused by: org.postgresql.util.PSQLException: An I/O error occurred while sending to "
            "the backend.\n"
            "Caused by: java.net.SocketException: Broken pipe",
            "(org.apache.iceberg.jdbc.UncheckedSQLException) Failed to get table lake.a.b: An I/O "
            "error occurred while sending to the backend: Broken pipe",
            "Failed to get table lake.a.b: An I/O error occurred while sending to the backend: "
            "Broken pipe",
        ),
        (
            "[INTERNAL_ERROR] The phase planning failed. SQLSTATE: XX000\n"
            "Caused by: java.io.IOException: Cannot write the log:\n"
            "Caused by: java.io.IOException: The disk is full.",
            "[INTERNAL_ERROR] The phase planning failed. SQLSTATE: XX000: Cannot write the log: "
            "The disk is full",
            "[INTERNAL_ERROR] The phase planning failed: Cannot write the log: The disk is full",
        ),
        ("Broken pipe.\nCaused by: java.io.IOException: Broken pipe", "Broken pipe", "Broken pipe"),
        ("no rows left;", "no rows left", "no rows left"),
        ("...", "...", "..."),
    ],
)  # fmt: skip
def test_the_causes_of_a_server_are_parted_by_one_colon(
    message: str, kept: str, sentence: str
) -> None:
    assert short(Exception(message)) == kept
    assert first_sentence(Exception(message)) == sentence


def test_a_full_disk_of_spark_is_told_once_with_where_to_make_room() -> None:
    error = Exception(
        "(java.io.IOException) No space left on device\n\nJVM stacktrace:\n"
        "\tat java.io.X(X:1)\nCaused by: java.io.IOException: No space left on device"
    )
    assert short(error) == "(java.io.IOException) No space left on device"
    assert "Make room where the warehouse is" in advice_on(error)
    assert "Make room" not in advice_on(Exception("another error"))


def test_a_python_worker_that_was_killed_is_no_fault_of_the_files() -> None:
    # What Spark says if one is killed while it takes JSON lines apart.
    error = Exception(
        "Job aborted due to stage failure: Task 0 in stage 11.0 failed 1 times, most recent "
        "failure: Lost task 0.0 in stage 11.0 (TID 12) (localhost executor driver): "
        "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)."
    )
    assert is_environment(error)
    assert "spark.executor.memoryOverhead" in advice_on(error)


@pytest.mark.parametrize(
    ("partition", "command"),
    [
        (None, "autoloader reload orders"),
        ("2026-01-02", "autoloader reload orders --partition 2026-01-02"),
        ("$(a) b", "autoloader reload orders --partition '$(a) b'"),
    ],
)
def test_a_file_with_too_few_rows_is_loaded_again_by_a_command_that_can_be_copied(
    partition: str | None, command: str
) -> None:
    batch = BatchId("20260102T000000Z-abcdef")
    changed = datetime(2026, 1, 2, tzinfo=timezone.utc)
    found = Difference("fewer", "/in/a.csv", changed, batch, partition, 1, 0, 2, 7, "SUCCESS")
    assert advice(found, "orders") == (
        f"batch {batch} loaded 2 rows, and the table has 1 of them; load it again: {command}"
    )


_OUT_OF_REACH = """(org.apache.iceberg.exceptions.RESTException) Error occurred while processing GET request

JVM stacktrace:
org.apache.iceberg.exceptions.RESTException
\tat org.apache.iceberg.rest.HTTPClient.execute(HTTPClient.java:361)
Caused by: org.apache.hc.client5.http.HttpHostConnectException: Connect to http://127.0.0.1:9 failed: Connection refused
Caused by: java.net.ConnectException: Connection refused
"""  # noqa: E501


# How the errors of a catalog in a database begin.
_JDBC = "(org.apache.iceberg.jdbc.UncheckedSQLException)"


def test_an_error_of_a_catalog_is_told_by_its_causes() -> None:
    def fail(_statement: str) -> None:
        raise PySparkException(_OUT_OF_REACH)

    settings = {"spark.sql.catalog.lake.uri": "http://me:a/b@c@127.0.0.1:9/api?token=t"}
    conf = SimpleNamespace(set=lambda *_: None, get=settings.get)
    session = SimpleNamespace(conf=conf, sql=fail)
    table = IcebergTable(session, "lake.shop.orders")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TableUnavailable) as caught:
        table.query("read the columns of", "describe lake.shop.orders")
    assert caught.value.what == (
        "the catalog 'lake' at http://127.0.0.1:9/api cannot be reached, so Spark cannot read the "
        "columns of table lake.shop.orders: Error occurred while processing GET request: "
        "Connect to http://127.0.0.1:9 failed: Connection refused"
    )


@pytest.mark.parametrize(
    ("message", "kind", "told"),
    [
        (_OUT_OF_REACH, TableUnavailable, "a catalog of the Spark server cannot be reached: Error"),
        ("(org.apache.iceberg.exceptions.NotAuthorizedException) Not authorized: boom\n\n"
         "JVM stacktrace:\nat x", TableUnavailable,
         "a catalog of the Spark server refuses access: Not authorized: boom"),
        ("(org.apache.iceberg.exceptions.ServiceUnavailableException) Service unavailable: <h1>",
         TableUnavailable,
         "a catalog of the Spark server reports an error: Service unavailable: <h1>"),
        (f"{_JDBC} Unknown failure\nCaused by: org.sqlite.SQLiteException: "
         "[SQLITE_FULL] Insertion failed because database is full (database or disk is full)",
         TableUnavailable,
         "a catalog of the Spark server has no room left: Unknown failure: [SQLITE_FULL]"),
        (f"{_JDBC} Unknown failure\nCaused by: org.sqlite.SQLiteException: [SQLITE_READONLY] "
         "Attempt to write a readonly database (attempt to write a readonly database)",
         TableUnavailable, "a catalog of the Spark server cannot be written: Unknown failure: "),
        (f"{_JDBC} Failed to get table shop.orders from catalog lake\nCaused by: "
         "org.sqlite.SQLiteException: [SQLITE_CORRUPT] The database disk image is malformed "
         "(database disk image is malformed)",
         TableUnavailable, "a catalog of the Spark server is damaged: Failed to get table"),
        (f"{_JDBC} Unknown failure\nCaused by: org.sqlite.SQLiteException: [SQLITE_BUSY] The "
         "database file is locked (database is locked)",
         TableUnavailable, "a catalog of the Spark server is locked: Unknown failure: "),
        (f"{_JDBC} Failed to connect\nCaused by: org.postgresql.util.PSQLException: FATAL: "
         'password authentication failed for user "lake"',
         TableUnavailable, "a catalog of the Spark server refuses access: Failed to connect"),
        ("(java.io.IOException) No space left on device\n\nJVM stacktrace:\n\tat java.io.X(X:1)",
         TableUnavailable, "Spark failed: No space left on device"),
        ("[INTERNAL_ERROR] The Spark SQL phase planning failed. SQLSTATE: XX000\n\n"
         "JVM stacktrace:\n\tat org.apache.x", SparkError,
         "Spark failed: [INTERNAL_ERROR] The Spark SQL phase planning failed"),
        ("(java.lang.NullPointerException) \n\tat org.apache.x", SparkError,
         "Spark failed: (java.lang.NullPointerException)"),
    ],
)  # fmt: skip
def test_any_error_of_spark_is_told_in_a_sentence_without_javas_stack(
    message: str, kind: type[Exception], told: str
) -> None:
    found = known(PySparkException(message))
    assert type(found) is kind
    assert found is not None
    assert found.what.startswith(told)
    assert "\n" not in str(found.what)
    assert known(ValueError("our own")) is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (
            "jdbc:postgresql://127.0.0.1:9/cat?user=a&password=b",
            "jdbc:postgresql://127.0.0.1:9/cat",
        ),
        ("jdbc:oracle:thin:scott/tiger@//db:1521/x", "jdbc:oracle://db:1521/x"),
        ("jdbc:sqlserver://db:1433;password=p", "jdbc:sqlserver://db:1433"),
        ("jdbc:postgresql://me:a\nb@db:1/x", "jdbc:postgresql://db:1/x"),
        ("jdbc:postgresql://me:1/a@b@db:1/x", "jdbc:postgresql://db:1/x"),
        ("thrift://metastore:9083", "thrift://metastore:9083"),
        ("https://u:p;w@h/x", "https://"),
        ("jdbc:mysql://root:s3cr?etpass@db/x", "jdbc:mysql://"),
        ("jdbc:oracle:thin:scott/tig?er@h", "jdbc:oracle:"),
        ("", ""),
    ],
)
def test_the_address_of_a_catalog_is_shown_without_secrets(address: str, shown: str) -> None:
    assert shown_address(address) == shown


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


_LARGE = 60_000


@pytest.mark.parametrize(
    ("format", "name", "text", "rescued", "found"),
    [
        # The value is in another column before, and a line break in a quoted value makes no row.
        (csv(), "a.csv", 'id,m,n\n1,x,1\n2,"a\nb",2\n' + "3,c,3\n" * _LARGE + "4,d,x\n5,e,x\n",
         '{"n":"x"}', f"row {_LARGE + 3:,}: n is 'x'"),
        (csv(), "a.csv", "id,n\n\n" + "1,2\n" * _LARGE + "2,1,x\n", '{"_row":"2,1,x"}',
         f"row {_LARGE + 1:,}: it has not the cells of the header: '2,1,x'"),
        (csv(), "a.csv.gz", "id,n\n" + "1,2\n" * _LARGE + '2," x "\n', '{"n":"x"}',
         f"row {_LARGE + 1:,}: n is 'x'"),
        (csv(header=False), "a.csv", "1,2\n" * _LARGE + "2,x\n", '{"column_2":"x"}',
         f"row {_LARGE + 1:,}: column_2 is 'x'"),
        (csv(encoding="utf-16"), "a.csv", "id,n\n" + "1,2\n" * _LARGE + "2,ü\n", '{"n":"ü"}',
         f"row {_LARGE + 1:,}: n is 'ü'"),
        (csv(), "a.csv", "id,n\n" + "1,2\n" * _LARGE, '{"n":"x"}', "one of them: n is 'x'"),
        (json(), "a.json", '{"n": 1, "m": "x"}\n\n' + '{"n": 1}\n' * _LARGE + '{"n": "x"}\n',
         '{"n":"x"}', f"line {_LARGE + 3:,}: n is 'x'"),
        (json(), "a.json", '{"n": 1}\n' * _LARGE + '{"n": {"a":  1}}\n', '{"n":{"a":1}}',
         f"line {_LARGE + 1:,}: n is '{{\"a\": 1}}'"),
        (json(), "a.json", '{"n": 1}\n' * _LARGE + 'no json\n{"n": 2}\n', '{"_row":"no json"}',
         f"line {_LARGE + 1:,}: it is 'no json'"),
    ],
)  # fmt: skip
def test_the_number_of_a_bad_row_is_looked_up_in_the_head_of_a_larger_file(
    tmp_path: Path, format: Format, name: str, text: str, rescued: str, found: str
) -> None:
    project = Project(tmp_path, tmp_path / "home")
    project.spec("orders", format=format.model_dump(mode="json", exclude_unset=True))
    (loaded,) = load_specs(project.specs).specs
    encoding = getattr(format.options, "encoding", "utf-8")
    data = text.encode(encoding)
    data = gzip.compress(data, 1) if name.endswith(".gz") else data
    look = look_at_bytes(tmp_path, data, format, name)
    source = folder(tmp_path / "one")
    assert bad_row(loaded.spec, look, [rescued], source) == found
    assert bad_row(loaded.spec, look, [rescued], None) == f"one of them{found[found.index(':') :]}"
    # No more than the head is read, and a file that has changed since tells nothing.
    (cell,) = ((k, as_text(v)) for k, v in jsonlib.loads(rescued).items())
    assert row_of(source, look, format, [cell], limit=100_000) is None
    (tmp_path / "one" / name).write_bytes(b"id\n")
    assert row_of(source, look, format, [cell]) is None


def test_the_head_of_one_file_is_read_for_the_number_of_a_bad_row(tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path / "home")
    project.spec("orders")
    (loaded,) = load_specs(project.specs).specs
    for name in ("a", "b"):
        (project.folder() / f"{name}.csv").write_text("id,n\n" + "1,2\n" * _LARGE + "2,x\n")
    source = folder(project.folder())
    readable = [
        Readable(look, SourceFile(look.ref.path, look.ref.modified_at, None, look.ref.path))
        for look in look_at(source, listed(source), csv())
    ]
    paths = [item.file.path for item in readable]
    named = name_bad_rows(
        loaded.spec,
        dict.fromkeys(paths, Bad("BadRows", "has 1 bad rows")),
        readable,
        lambda some: [(item.file.path, '{"n":"x"}') for item in some],
        source,
    )
    assert [named[path].message for path in paths] == [
        f"has 1 bad rows; row {_LARGE + 1:,}: n is 'x'",
        "has 1 bad rows; one of them: n is 'x'",
    ]


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
    for good in ("_partition_key", "days(ID)", "bucket(16, id)", "truncate(4, name)", "years(id)"):
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
    assert "1 spec is good, 1 fault" in done.out
    # What a server elsewhere has is not known here.
    assert project.run("validate", SPARK_REMOTE="sc://127.0.0.1:1").code == 0


@pytest.mark.parametrize(
    ("code", "meaning", "hint"),
    [
        ("57P05", "has ended a connection that waited", "idle_session_timeout"),
        ("57014", "has canceled a statement of this process", "statement_timeout"),
        ("25P04", "has ended a transaction of this process", "transaction_timeout"),
        ("57P01", "was shut down", "Start the database"),
    ],
)
def test_what_ended_a_step_in_the_database_is_told(code: str, meaning: str, hint: str) -> None:
    error = psycopg.errors.lookup(code)
    told = str(explain(error("driver's words"), "db:5432/state", None))
    assert f"The state database db:5432/state {meaning}" in told
    assert hint in told
    assert "driver's words" in told
