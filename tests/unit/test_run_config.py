"""Run config is a stranger's text: it names no variable and no server of the worker."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from autoloader_dagster.definitions import load_definitions
from autoloader_dagster.orchestration.launch_job import op_name
from tests.fixtures.spark import settings_for

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

_CANARY = "canary-of-the-environment"
# Dagster's config types that read a variable when they are given {env: NAME}.
_READ_VARIABLES = {"StringSourceType", "IntSourceType", "BoolSourceType"}


@pytest.fixture
def jobs(tmp_path: Path) -> dict[str, dg.JobDefinition]:
    for name in ("orders", "sales"):
        text = {
            "source": {"type": "local", "url": "/in"},
            "format": {"type": "csv"},
            "table": {"name": f"lake.shop.{name}"},
            "partition": {"by": "none"},
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(text))
    definitions = load_definitions(replace(settings_for(tmp_path / "home"), specs_dir=tmp_path))
    implicit = definitions.resolve_implicit_global_asset_job_def()
    names = ("undo", "retry", "dismiss", "reload", "reconcile")
    found = [definitions.resolve_job_def(f"autoloader_{name}") for name in names]
    return {job.name: job for job in (implicit, *found)}


def test_no_config_of_a_run_reads_a_variable(jobs: dict[str, dg.JobDefinition]) -> None:
    reading = [
        (name, each.given_name or type(each).__name__)
        for name, job in jobs.items()
        for each in job.run_config_schema.run_config_schema_type.type_iterator()
        if type(each).__name__ in _READ_VARIABLES
    ]
    assert reading == []


@pytest.mark.parametrize(
    ("job", "key", "value"),
    [
        ("autoloader_undo", "ingestion", {"env": "CANARY"}),
        ("autoloader_undo", "batch_id", {"env": "CANARY"}),
        ("autoloader_undo", "dry_run", {"env": "CANARY"}),
        ("autoloader_retry", "files", [{"env": "CANARY"}]),
        ("autoloader_dismiss", "files", [{"env": "CANARY"}]),
        ("autoloader_reload", "partitions", [{"env": "CANARY"}]),
        ("autoloader_reconcile", "ingestion", {"env": "CANARY"}),
    ],
)
def test_a_variable_in_the_config_of_a_job_is_refused_and_not_shown(
    jobs: dict[str, dg.JobDefinition],
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    key: str,
    value: Any,
) -> None:
    monkeypatch.setenv("CANARY", _CANARY)
    config = {"ops": {op_name(job): {"config": {"ingestion": "orders", key: value}}}}
    with pytest.raises(dg.DagsterInvalidConfigError) as refused:
        dg.validate_run_config(jobs[job], config)
    assert _CANARY not in str(refused.value)
    plain = {"ops": {op_name(job): {"config": {"ingestion": "orders"}}}}
    dg.validate_run_config(jobs[job], plain)


@pytest.mark.parametrize(
    ("resource", "key"), [("processed_files", "database_url"), ("spark_connect", "remote")]
)
def test_a_run_cannot_choose_the_database_or_the_spark_server(
    jobs: dict[str, dg.JobDefinition], resource: str, key: str
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match=key):
        dg.validate_run_config(
            jobs["__ASSET_JOB"], {"resources": {resource: {"config": {key: "somewhere://else"}}}}
        )
    dg.validate_run_config(jobs["__ASSET_JOB"], {})
