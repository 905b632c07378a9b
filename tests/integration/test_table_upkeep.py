"""What a load keeps in order around the rows: metadata files, and the Spark server's health."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.errors.exceptions.connect import SparkConnectGrpcException

from autoloader_dagster import failpoints
from autoloader_dagster.errors import SparkBroken
from autoloader_dagster.iceberg.properties import METADATA_PROPERTIES
from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.spark.session import after_a_restart, connect, translate
from tests.fixtures.by_hand import sql
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.spark import cheap_conf, settings_for

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# On every system but macOS the class cannot be initialised, so the second use finds it unusable.
_USE = "select reflect('io.netty.channel.kqueue.Native', 'newKQueue')"


def _metadata_files(lake: Lake, name: str) -> int:
    folder = Path(lake.settings.warehouse) / lake.namespace / name / "metadata"
    return len(list(folder.glob("*.metadata.json")))


def test_old_metadata_files_are_deleted_also_in_tables_of_earlier_versions(lake: Lake) -> None:
    ingestion = lake.ingestion("kept")
    write_ids(lake.folder(), "1.csv", 1)
    lake.load(ingestion)
    names = ", ".join(f"'{name}'" for name in METADATA_PROPERTIES)
    sql(lake, f"alter table lake.{{ns}}.kept unset tblproperties ({names})")
    some = [f"alter table lake.{{ns}}.kept set tblproperties ('n' = '{n}')" for n in range(100)]
    sql(lake, *some)
    before = _metadata_files(lake, "kept")
    assert before > 100
    write_ids(lake.folder(), "2.csv", 2)
    lake.load(ingestion)
    # Those that the table had forgotten before stay; for each new one an old one goes.
    after = _metadata_files(lake, "kept")
    sql(lake, *some[:20])
    assert _metadata_files(lake, "kept") == after <= before + 1
    assert lake.ids("kept") == {1: 1, 2: 1}


def test_an_owner_who_keeps_metadata_files_keeps_them(lake: Lake) -> None:
    kept = {"write.metadata.delete-after-commit.enabled": "false"}
    table = {"name": f"lake.{lake.namespace}.mine", "properties": kept}
    ingestion = lake.ingestion("mine", table=table)
    for number in (1, 2):
        write_ids(lake.folder(), f"{number}.csv", number)
        lake.load(ingestion)
    assert ("write.metadata.delete-after-commit.enabled", "false") in _properties(lake, "mine")


def test_a_table_knows_its_ingestion_by_any_name(lake: Lake) -> None:
    # Spark hides the values of properties that look like an address or a secret.
    for name in ("hourly", "secret_token"):
        ingestion = lake.ingestion(name)
        for number in (1, 2):
            write_ids(lake.folder(), f"{number}.csv", number)
            lake.load(ingestion)
        assert lake.ids(name) == {1: 1, 2: 1}
        with connect(lake.settings) as spark:
            owner = ingestion.table(spark).owner()
        assert owner == f"default/{name}"


def _properties(lake: Lake, name: str) -> set[tuple[str, str]]:
    with connect(lake.settings) as spark:
        rows = spark.sql(f"show tblproperties lake.{lake.namespace}.{name}").collect()
    return {(row["key"], row["value"]) for row in rows}


@pytest.mark.skipif(sys.platform != "linux", reason="the class can be initialised elsewhere")
def test_a_load_restarts_a_broken_server_once_and_goes_on(lake: Lake, tmp_path: Path) -> None:
    conf = cheap_conf(tmp_path)
    own = replace(lake, settings=settings_for(tmp_path / "home", AUTOLOADER_SPARK_CONF=str(conf)))
    server = EmbeddedServer(own.settings)
    ingestion = own.ingestion("healed")
    write_ids(own.folder(), "1.csv", 1, 2)
    errors: list[SparkConnectGrpcException] = []
    try:
        first = server.ensure()

        def use_the_class() -> None:
            if not errors:
                with connect(own.settings) as spark:
                    errors.append(_second_failure(spark))
                raise errors[0]

        with failpoints.on("writing", use_the_class):
            outcomes = own.load(ingestion)
        assert [(o.rows, len(o.loaded)) for o in outcomes] == [(2, 1)]
        assert own.ids("healed") == {1: 1, 2: 1}
        second = server.status().address
        assert second is not None
        assert second.mark != first.mark
        # Only the one that was found broken is stopped.
        assert server.stop(only=first) is False
        # Found again after the restart, it is whatever raised it: a second one helps nobody.
        assert isinstance(translate(errors[0], "it"), SparkBroken)
        with after_a_restart():
            assert translate(errors[0], "it") is None
    finally:
        server.stop()


def _second_failure(spark: "SparkSession") -> SparkConnectGrpcException:
    """Of the first, the initialisation itself, the server says nothing."""
    for _ in range(2):
        with pytest.raises(SparkConnectGrpcException) as failed:
            spark.sql(_USE).collect()
    return failed.value


def test_a_class_that_a_task_cannot_use_is_the_servers_fault() -> None:
    task = (
        "Job aborted due to stage failure: Task 0 in stage 1.0 failed 1 times, most recent "
        "failure: Lost task 0.0 in stage 1.0 (TID 1) (10.0.0.7 executor 3): {}\n\tat org.a.B(C)"
    )
    lost = "java.lang.NoClassDefFoundError: Could not initialize class org.apache.iceberg.X"
    for message, broken in (
        (task.format(lost), True),
        (task.format("java.lang.ExceptionInInitializerError"), True),
        # A class that is missing stays missing, and the name of a file says nothing.
        (task.format("java.lang.NoClassDefFoundError: org/brotli/dec/BrotliInputStream"), False),
        (task.format(f"java.io.IOException: cannot read {lost}.parquet"), False),
    ):
        error = SparkConnectGrpcException(message)
        assert isinstance(translate(error, "it"), SparkBroken) is broken, message
