"""Run config is a stranger's text: it names no variable and no server of the worker."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.storage.tags import TagType, get_tag_type
from dagster._utils.tags import is_valid_tag_key

from autoloader_dagster.build import build_definitions, load_definitions
from autoloader_dagster.orchestration.runs import tags as runs
from autoloader_dagster.orchestration.runs.run_job import op_name
from autoloader_dagster.specs.loader import load_specs
from tests.fixtures.spark import settings_for

_CANARY = "canary-of-the-environment"
# Dagster's config types that read a variable when they are given {env: NAME}.
_READ_VARIABLES = {"StringSourceType", "IntSourceType", "BoolSourceType"}


def _write(folder: Path, name: str, **parts: Any) -> None:
    text = {
        "source": {"type": "local", "url": "/in"},
        "format": {"type": "csv"},
        "table": {"name": f"lake.shop.{name}"},
        "partition": {"by": "none"},
        **parts,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(text))


@pytest.fixture
def jobs(tmp_path: Path) -> dict[str, dg.JobDefinition]:
    for name in ("orders", "sales"):
        _write(tmp_path, name)
    _write(tmp_path, "odd", nonsense=1)
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


def test_a_mounted_spec_uses_no_folder_that_a_run_could_choose(tmp_path: Path) -> None:
    """Dagster's default I/O manager takes ``base_dir: {env: NAME}`` from any run."""
    _write(tmp_path, "orders")
    definitions = build_definitions(load_specs(tmp_path), name="mount")
    implicit = definitions.resolve_implicit_global_asset_job_def()
    names = ("undo", "retry", "dismiss", "reload", "reconcile")
    found = [definitions.resolve_job_def(f"autoloader_{name}_mount") for name in names]
    for job in (implicit, *found):
        assert set(job.get_required_resource_defs()) == {
            "spark_connect_mount", "processed_files_mount", "run_watch_mount",
            "no_io_manager_mount",
        }  # fmt: skip


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


def test_the_launchpad_offers_the_specs_and_asks_for_nothing_else(
    jobs: dict[str, dg.JobDefinition],
) -> None:
    for name, job in jobs.items():
        root = job.run_config_schema.run_config_schema_type
        required = {key for key, field in root.fields.items() if field.is_required}
        if name == "__ASSET_JOB":
            assert required == set()
            continue
        assert required == {"ops"}, name
        op = root.fields["ops"].config_type.fields[op_name(name)]
        fields = op.config_type.fields["config"].config_type.fields
        assert {key for key, field in fields.items() if field.is_required} == {"ingestion"}, name
        choices = {each.config_value for each in fields["ingestion"].config_type.enum_values}
        # Both of them by name; 'odd' has one of its own, and a broken one says what is wrong.
        assert choices == {
            "orders", "sales", "default/orders", "default/sales", "default/odd", "odd"
        }  # fmt: skip
        for key, field in fields.items():
            if field.default_provided and isinstance(field.default_value, bool):
                assert field.config_type.kind.name == "SCALAR", f"{key} is a boolean and no null"


def test_many_specs_are_typed_in_and_not_chosen(tmp_path: Path) -> None:
    for number in range(60):
        _write(tmp_path, f"s{number}")
    job = load_definitions(replace(settings_for(tmp_path / "home"), specs_dir=tmp_path))
    undo = job.resolve_job_def("autoloader_undo")
    plain = {"ops": {"autoloader_undo_op": {"config": {"ingestion": "anything"}}}}
    dg.validate_run_config(undo, plain)


def test_people_see_ingestion_and_tenant_as_tags_of_a_run() -> None:
    """Dagster's pages hide what begins with '.dagster/'."""
    hidden = {runs.PENDING_TAG, runs.PENDING_OF_TAG, runs.LISTED_TAG, runs.LISTS_TAG}
    tags = {*hidden, *runs.tags_of("acme/orders")}
    shown = {"autoloader/ingestion", "autoloader/tenant"}
    assert {tag for tag in tags if get_tag_type(tag) is not TagType.HIDDEN} == shown
    assert all(is_valid_tag_key(tag) for tag in tags)
    assert runs.tags_of("acme/orders")["autoloader/tenant"] == "acme"
    assert runs.tags_of("default/orders") == {"autoloader/ingestion": "default/orders"}


def test_the_limit_of_a_tenants_runs_in_the_docs_is_one_that_dagster_takes(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tenants.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```yaml\n(# dagster.yaml\n.*?)```", page, re.DOTALL)
    (tmp_path / "dagster.yaml").write_text(snippet)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        (limit,) = instance.get_concurrency_config().run_queue_config.tag_concurrency_limits
    assert limit == {
        "key": runs.TENANT_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 2,
    }  # fmt: skip


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
