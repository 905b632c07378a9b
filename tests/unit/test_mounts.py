"""A project mounts folders of specs beside its own assets, executor and resources."""

import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.api import create_execution_plan
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster_shared.serdes import serialize_value
from sqlalchemy import text

from autoloader_dagster.build import build_definitions
from autoloader_dagster.errors import UsageError
from autoloader_dagster.orchestration.partitions import partitions_definition
from autoloader_dagster.orchestration.resources import SparkConnectResource
from autoloader_dagster.specs.dagster_names import Mount
from autoloader_dagster.specs.loader import load_specs
from tests.unit.test_library import write_spec

_HOST_RESOURCES = {
    "spark_connect": "a Spark of the project",
    "processed_files": "files of the project",
    "no_io_manager": "none of the project",
    "io_manager": dg.FilesystemIOManager(),
}


@dg.asset(deps=[["a", "shop", "orders"]], required_resource_keys={"spark_connect"})
def report(context: dg.AssetExecutionContext) -> None:
    context.add_output_metadata({"spark": context.resources.spark_connect})


def _host(*mounts: dg.Definitions, **more: Any) -> dg.Definitions:
    own = dg.Definitions(assets=[report], resources=_HOST_RESOURCES, **more)
    return dg.Definitions.merge(own, *mounts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_spec(
        tmp_path, "orders", tags={"of_spec": "yes"}, partition={"by": "path", "pattern": "{k}.csv"}
    )
    (tmp_path / "odd.yaml").write_text("nonsense: 1\n")
    return tmp_path


def test_one_folder_is_mounted_twice_beside_resources_of_the_same_names(folder: Path) -> None:
    specs = load_specs(folder)
    host = _host(
        *(
            build_definitions(specs, name=name, key_prefix=[name], database_url=f"sqlite:///{name}")
            for name in ("a", "b")
        )
    )
    dg.Definitions.validate_loadable(host)
    repository = host.get_repository_def()
    assert {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()} == {
        "report",
        *(
            f"{name}/{key}"
            for name in ("a", "b")
            for key in (
                "shop/orders",
                f"source_{name}/default/orders",
                f"broken_specs_{name}/default/odd.yaml",
            )
        ),
    }  # fmt: skip
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "orders_on_arrival_a", "orders_on_arrival_b",
        "autoloader_lost_runs_a", "autoloader_lost_runs_b",
    }  # fmt: skip
    for sensor in repository.sensor_defs:
        if sensor.name.startswith("orders"):
            mount = sensor.name[-1]
            assert sensor.required_resource_keys == {
                f"spark_connect_{mount}", f"processed_files_{mount}"
            }  # fmt: skip
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "orders_schedule_a", "orders_schedule_b"
    }  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:
        # The project's own resource is its own still.
        done = host.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey("report")]
        )
    (made,) = done.asset_materializations_for_node("report")
    assert made.metadata["spark"].value == "a Spark of the project"


@pytest.mark.parametrize("trigger", ["orders_on_arrival_a", "orders_schedule_a"])
def test_a_run_that_a_trigger_made_and_never_queued_is_failed(
    folder: Path, tmp_path: Path, trigger: str
) -> None:
    """The daemon was killed between the two; the tick sees the run, and asks for no other."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    host = _host(build_definitions(load_specs(folder), name="a"))
    job = host.get_repository_def().get_job(f"__anonymous_asset_job_{trigger}")
    origin = RemoteJobOrigin(
        RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("code.example", 4000), "repository"),
        job.name,
    )
    sensor = host.get_repository_def().get_sensor_def("autoloader_lost_runs_a")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = instance.create_run_for_job(job, remote_job_origin=origin)
        assert run.asset_selection is None
        context = dg.build_sensor_context(instance, definitions=host)
        sensor.evaluate_tick(context)
        assert [each.status.value for each in instance.get_runs()] == ["NOT_STARTED"]
        assert isinstance(instance.run_storage, SqlRunStorage)
        with instance.run_storage.connect() as connection:
            connection.execute(text("UPDATE runs SET create_timestamp = '2026-01-01 00:00:00'"))
        told = sensor.evaluate_tick(context).skip_message
        assert [each.status.value for each in instance.get_runs()] == ["FAILURE"]
    assert told == f"failed {run.run_id}, which have no worker; 0 runs are alive"


def test_the_names_in_partitions_runs_and_ticks_have_the_prefix(folder: Path) -> None:
    loaded = load_specs(folder).mounted(Mount("a", ("raw", "eu"))).get("orders")
    assert loaded.names.unique == "raw/eu/shop/orders"
    assert loaded.names.pool == "table_lake.shop.orders"
    definition = partitions_definition(loaded)
    assert isinstance(definition, dg.DynamicPartitionsDefinition)
    assert definition.name == "raw/eu/shop/orders"


def test_group_and_tags_are_those_of_the_mount_and_the_spec_comes_first(folder: Path) -> None:
    definitions = build_definitions(
        load_specs(folder), name="a", group_name="landing", tags={"of_spec": "no", "team": "data"}
    )
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    tags = {
        key: {name: spec.tags.get(name) for name in ("of_spec", "team")}
        for key, spec in specs.items()
    }
    assert tags["shop/orders"] == {"of_spec": "yes", "team": "data"}
    assert tags["source_a/default/orders"] == {"of_spec": "no", "team": "data"}
    groups = {key: spec.group_name for key, spec in specs.items()}
    assert groups == {
        "shop/orders": "landing",
        "source_a/default/orders": "landing",
        "broken_specs_a/default/odd.yaml": "broken_specs",
    }


def test_a_mount_leaves_the_executor_to_the_project_and_its_jobs_need_no_process(
    folder: Path,
) -> None:
    mounts = [build_definitions(load_specs(folder), name="a", key_prefix=["a"])]
    host = _host(*mounts, executor=dg.multiprocess_executor)
    repository = host.get_repository_def()
    of_assets = repository.get_job("__ASSET_JOB")
    assert of_assets.executor_def.name == "multiprocess"
    # Dagster refuses outputs that only one process could read.
    create_execution_plan(of_assets)
    ours = [job for job in repository.get_all_jobs() if job.name.startswith("autoloader_")]
    assert len(ours) == 5
    assert {job.executor_def.name for job in ours} == {"in_process"}


def test_an_asset_that_takes_the_rows_from_memory_is_told_to_read_the_table(folder: Path) -> None:
    @dg.asset(ins={"orders": dg.AssetIn(["shop", "orders"])})
    def takes(orders: object) -> None: ...

    mount = build_definitions(load_specs(folder), name="a")
    host = dg.Definitions.merge(mount, dg.Definitions(assets=[takes]))
    with dg.DagsterInstance.ephemeral() as instance:
        failed = host.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[takes.key],
            partition_key=None,
            raise_on_error=False,
        )
    (failure,) = failed.get_step_failure_events()
    assert "shop/orders hands nothing on" in str(failure.step_failure_data.error)
    assert "Name it in 'deps'" in str(failure.step_failure_data.error)


def test_a_mount_s_server_and_database_are_its_own_and_are_shown_nowhere(folder: Path) -> None:
    definitions = build_definitions(
        load_specs(folder),
        name="a",
        spark_remote="sc://spark.example:15002/;token=canary-one",
        database_url="postgresql+psycopg://me:canary-two@db.example/state",
    )
    with warnings.catch_warnings():
        # It reads deprecated properties of its own schedules.
        warnings.simplefilter("ignore", DeprecationWarning)
        seen = serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    assert "canary" not in seen
    assert "spark.example" not in seen
    with dg.build_resources(definitions.resources or {}) as resources:
        spark = resources.spark_connect_a
        assert isinstance(spark, SparkConnectResource)
        assert spark.is_running(), "a server at an address is never started"
        assert "db.example" in resources.processed_files_a.database_url


@pytest.mark.parametrize(
    ("attributes", "what"),
    [
        ({"name": "a b"}, "name is 'a b'"),
        ({"key_prefix": ["raw", "e/u"]}, "key_prefix is 'e/u'"),
        ({"group_name": "a-b"}, "group_name is 'a-b'"),
        ({"spark_remote": "http://spark"}, "not a Spark Connect address"),
    ],
)
def test_what_dagster_does_not_take_is_refused(
    folder: Path, attributes: dict[str, Any], what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        build_definitions(load_specs(folder), **attributes)


def test_a_prefix_of_one_word_is_one_part_of_the_keys(folder: Path) -> None:
    definitions = build_definitions(load_specs(folder), name="a", key_prefix="raw")
    keys = {key.to_user_string() for key in definitions.resolve_all_asset_keys()}
    assert keys >= {"raw/shop/orders", "raw/source_a/default/orders"}


def test_a_table_that_has_the_key_of_a_mount_s_files_is_broken_alone(folder: Path) -> None:
    write_spec(folder, "clash", table={"name": "lake.source_a.default.orders"})
    definitions = build_definitions(load_specs(folder), name="a")
    dg.Definitions.validate_loadable(definitions)
    keys = {key.to_user_string() for key in definitions.resolve_all_asset_keys()}
    assert {"shop/orders", "broken_specs_a/default/clash.yaml"} <= keys
