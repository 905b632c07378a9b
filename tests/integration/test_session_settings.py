"""Whatever settings a Spark server has, a session has ours: the same rows, and no substitution."""

import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.errors import SparkSetupError
from autoloader_dagster.settings import Settings
from autoloader_dagster.spark.client import release_when_done, share_class_loader
from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.spark.session import connect
from autoloader_dagster.spark.session_conf import SESSION_CONF, settle
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.lake import Lake
from tests.fixtures.spark import cheap_server, settings_for

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession as ConnectSession

# A server of somebody else, with everything that could change a value, and little memory.
_HOSTILE = {
    "spark.driver.memory": "1g",
    "spark.sql.session.timeZone": "Asia/Kolkata",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.caseSensitive": "true",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.parser.escapedStringLiterals": "true",
    "spark.sql.parser.quotedRegexColumnNames": "true",
    "spark.sql.legacy.timeParserPolicy": "LEGACY",
    "spark.sql.legacy.sizeOfNull": "false",
    "spark.sql.legacy.json.allowEmptyString.enabled": "true",
    "spark.sql.legacy.castComplexTypesToString.enabled": "true",
    "spark.sql.mapKeyDedupPolicy": "LAST_WIN",
    "spark.sql.storeAssignmentPolicy": "LEGACY",
    "spark.sql.jsonGenerator.ignoreNullFields": "false",
    "spark.sql.json.enableExactStringParsing": "false",
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.files.ignoreCorruptFiles": "true",
    "spark.sql.files.ignoreMissingFiles": "true",
    "spark.sql.sources.useV1SourceList": "",
    "spark.sql.parquet.binaryAsString": "true",
    "spark.sql.parquet.int96TimestampConversion": "true",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "false",
    "spark.sql.parquet.int96RebaseModeInRead": "LEGACY",
    "spark.sql.parquet.datetimeRebaseModeInRead": "LEGACY",
    "spark.sql.variant.allowDuplicateKeys": "true",
    "spark.wap.branch": "elsewhere",
    "spark.sql.catalog.down": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.down.type": "jdbc",
    "spark.sql.catalog.down.uri": "jdbc:sqlite:/no/folder/c.db?user=ice&password=Canarybase64+/x",
    "spark.sql.catalog.down.warehouse": "/no/folder",
}
_MOMENT = datetime(2024, 3, 10, 2, 30, tzinfo=timezone.utc)


def _load_all(lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    """A file of each format with values that hang on settings; the rows without the batch's id."""
    folder = lake.folder("c")
    (folder / "${spark.app.name}.csv").write_text(
        'Id,at,day,amount,flag,${spark.master},"a\\d\'b"\n'
        "1,2024-03-10 02:30:00,2024-03-10,1.50,true,x\\d,y\n"
        "2,1500-01-01 00:00:00,0001-01-01,x,yes,'\"\"',\\'\n",
        encoding="utf-8",
    )
    (lake.folder("j") / "a.json").write_text(
        '{"id":1,"at":"2024-03-10T02:30:00","${env:HOME}":"v","n":{"a":null,"b":[1,{"c":2}]}}\n'
        '{"id":2,"at":"","n":{"b":"2024-03-10 02:30:00"},"e":1.10}\n'
        '{"id":3,"id":4}\n',
    )
    parquet = pa.table(
        {
            "Id": pa.array([1, 2]),
            "at": pa.array([_MOMENT, datetime(1500, 1, 1, tzinfo=timezone.utc)]),
            "bare": pa.array([datetime(2024, 3, 10, 2, 30), None]),
            "raw": pa.array([b"\x00\xff", b"a"]),
            "nano": pa.array([1_700_000_000_000_000_000, 1], pa.timestamp("ns", "UTC")),
        }
    )
    pq.write_table(parquet, lake.folder("p") / "a.parquet")
    pq.write_table(
        pa.table({"id": [1], "at": [_MOMENT]}),
        lake.folder("o") / "int96.parquet",
        use_deprecated_int96_timestamps=True,
    )
    rows = {}
    for name, kind in (("c", "csv"), ("j", "json"), ("p", "parquet"), ("o", "parquet")):
        ingestion = lake.ingestion(
            name,
            source={"type": "local", "url": str(lake.folder(name))},
            format={"type": kind},
        )
        lake.load(ingestion)
        assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}
        table = lake.table(name).drop_columns(["_batch_id", "_source_modified_at"])
        found = [tuple(str(value) for value in row.values()) for row in table.to_pylist()]
        rows[name] = [tuple(table.column_names), *map(str, table.schema.types), *sorted(found)]
    return rows


def test_a_servers_own_settings_change_no_value(lake: Lake, tmp_path: Path) -> None:
    expected = _load_all(lake)
    conf = tmp_path / "hostile.conf"
    conf.write_text(
        "".join(f"{key}={value}\n" for key, value in (cheap_server() | _HOSTILE).items())
    )
    settings = settings_for(tmp_path / "home", AUTOLOADER_SPARK_CONF=str(conf))
    (tmp_path / "other").mkdir()
    store = ProcessedFiles(f"sqlite:///{tmp_path / 'other' / 'state.db'}")
    store.upgrade()
    hostile = Lake(settings, store, tmp_path, lake.namespace)
    try:
        assert _load_all(hostile) == expected
        with connect(settings) as spark:
            assert spark.conf.get("spark.wap.branch", "none") == "none"
            assert spark.conf.get("spark.sql.legacy.sizeOfNull") == "true"
        _no_password_is_shown(settings, tmp_path, "Canarybase64+/x")
    finally:
        store.close()
        EmbeddedServer(settings).stop()
    header, *_ = expected["c"]
    assert "spark_master" in header


def _no_password_is_shown(settings: Settings, folder: Path, password: str) -> None:
    """Ask the server for a catalog that is down, as a process that knows none of its settings."""
    address = EmbeddedServer(settings).ensure()
    remote = f"sc://localhost:{address.port}/;token={address.token}"
    told = subprocess.run(
        [sys.executable, "-m", "autoloader_dagster.cli.app", "query", "select * from down.a.b"],
        env={**os.environ, "AUTOLOADER_HOME": str(folder / "else"), "SPARK_REMOTE": remote},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "jdbc:sqlite:/no/folder/c.db?user=ice&password=***" in told.stderr, told.stderr
    assert password not in told.stderr + told.stdout
    log = settings.spark_dir / "logs" / "server.log"
    assert log.stat().st_mode & 0o777 == 0o600


def test_variables_of_the_server_are_never_put_into_sql(lake: Lake) -> None:
    with connect(lake.settings) as spark:
        for name in ("env:SPARK_CONNECT_AUTHENTICATE_TOKEN", "spark.app.name", "system:user.home"):
            (row,) = spark.sql(f"select '${{{name}}}' as a").collect()
            assert row["a"] == f"${{{name}}}"


def test_a_server_that_does_not_take_our_settings_is_refused(lake: Lake) -> None:
    with connect(lake.settings) as spark:
        # A setting of the whole server, which no session can change.
        conf = {**SESSION_CONF, "spark.sql.globalTempDatabase": "elsewhere"}
        with pytest.raises(SparkSetupError, match=r"the server does not take.*elsewhere"):
            settle(spark, "the server", conf)


def test_sessions_share_what_the_server_has_compiled(lake: Lake) -> None:
    # Only a session that was copied from another one has this setting; each has it for itself.
    with connect(lake.settings) as spark, connect(lake.settings) as another:
        name = "spark.sql.artifact.isolation.alwaysApplyClassloader"
        assert {each.conf.get(name) for each in (spark, another)} == {"false"}
        spark.conf.set("spark.sql.shuffle.partitions", "7")
        spark.createDataFrame([(1,)], ["id"]).createOrReplaceTempView("mine")
        assert another.conf.get("spark.sql.shuffle.partitions") != "7"
        assert not another.catalog.tableExists("mine")


def test_plans_do_not_name_lines_of_our_files(lake: Lake) -> None:
    from pyspark.sql import functions as F

    with connect(lake.settings) as spark:
        frame = spark.range(1).select(F.col("id").cast("string").alias("name"))
        plan = frame._plan.to_proto(cast("ConnectSession", spark).client).SerializeToString()
    assert b"name" in plan
    assert b".py" not in plan


def test_a_session_that_a_server_does_not_copy_is_used_as_it_is(lake: Lake) -> None:
    with connect(lake.settings) as spark:
        # It is there already, so the server refuses to make it by copying another one.
        share_class_loader(cast("ConnectSession", spark))
        assert spark.range(3).count() == 3


def test_the_answers_of_a_call_are_released_by_one_call(lake: Lake) -> None:
    from pyspark.sql.connect.client.reattach import ExecutePlanResponseReattachableIterator

    with connect(lake.settings) as spark:
        session = cast("ConnectSession", spark)
        stub, sent = session.client._stub, list[Any]()
        release = stub.ReleaseExecute

        def release_and_count(request: Any, **options: Any) -> Any:
            sent.append(request)
            return release(request, **options)

        stub.ReleaseExecute = release_and_count
        release_when_done(session)
        assert spark.range(3).count() == 3
        # Ends when all of them are sent.
        ExecutePlanResponseReattachableIterator.shutdown()
    assert ["release_all" if r.HasField("release_all") else "release_until" for r in sent] == [
        "release_all"
    ]
