"""Drives the paths by which an error leaves the process: terminal, ticks, runs and GraphQL."""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_graphql.schema import create_schema

from autoloader_dagster.build import load_definitions
from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.settings import Settings
from tests.fixtures.graphql_texts import RUNS


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Have these variables in the block, and the old ones after it."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def write_specs(specs: Path, connection: dict[str, Any], url: str) -> None:
    """One spec, ``orders``, which reads from a store by one connection, ``landing``."""
    specs.mkdir(exist_ok=True)
    (specs / "_connections.yaml").write_text(
        yaml.safe_dump({"landing": {"type": "s3", **connection}}, allow_unicode=True)
    )
    spec = {
        "source": {"type": "s3", "url": url, "connection": "landing"},
        "format": {"type": "csv"},
        "table": {"name": "lake.shop.orders"},
        "trigger": {"on_arrival": {"every": "60s"}, "schedule": "daily"},
    }
    (specs / "orders.yaml").write_text(yaml.safe_dump(spec))


def ticks_and_runs(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """What the ticks of ``orders`` and a run of it leave in Dagster; each of them fails."""
    definitions = load_definitions(settings)
    resources = definitions.resources or {}
    shown: list[str] = []
    sensor = definitions.resolve_sensor_def("orders_on_arrival")
    schedule = definitions.resolve_schedule_def("orders_schedule")
    # Closed, or its resources' own instance is still the current one in a later test.
    with (
        dg.build_sensor_context(instance=instance, resources=resources) as at_sensor,
        dg.build_schedule_context(instance=instance, resources=resources) as at_schedule,
    ):
        for tick in (
            lambda: sensor.evaluate_tick(at_sensor),
            lambda: schedule.evaluate_tick(at_schedule),
        ):
            try:
                tick()
            except Exception as error:
                told = (type(error), error, error.__traceback__)
                shown.append(str(serializable_error_info_from_exc_info(told)))
    assert len(shown) == 2, "a tick did not fail"
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        run_id=str(uuid.uuid4()),
        partition_key="2026-01-01",
        raise_on_error=False,
    )
    run_locks.let_go(result.run_id)
    assert not result.success
    shown += [str(entry) for entry in instance.all_logs(result.run_id)]
    shown.append(graphql_runs(instance))
    instance.delete_run(result.run_id)
    return shown


def graphql_runs(instance: dg.DagsterInstance) -> str:
    """All that the GraphQL API tells of the runs of an instance."""
    with WorkspaceProcessContext(instance, InProcessTestWorkspaceLoadTarget([])) as workspace:
        answer = create_schema().execute(RUNS, context_value=workspace.create_request_context())
    assert answer.data, answer.errors
    return json.dumps(answer.data, ensure_ascii=False)
