"""Runs that are launched by GraphQL, as Dagster's pages do: jobs beside the assets, and their end.

One Dagster serves all of these tests, because it takes longer to start than they do.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autoloader_dagster.loading.changes.undo import undo
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.settings import Settings
from autoloader_dagster.sources.registry import open_source
from autoloader_dagster.spark.session import connect
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.graphql_texts import REPOSITORY
from tests.fixtures.project import Project, WebServer, served_project, wait_for
from tests.integration.project_steps import assert_right, write_rows

_LAUNCH = """mutation L($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } } ... on PythonError { message } } }"""
_LAUNCH_AGAIN = """mutation A($p: ReexecutionParams!) {
    launchPipelineReexecution(reexecutionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_RUN = """query R($id: ID!) { runOrError(runId: $id) { ... on Run { status
    eventConnection(limit: 500) { events { __typename ... on MessageEvent { message }
    ... on ExecutionStepOutputEvent { metadataEntries { label } }
    ... on ExecutionStepFailureEvent { failureMetadata { description } } } } } } }"""
_EVENTS = """query O($k: AssetKeyInput!) { assetOrError(assetKey: $k) { ... on Asset {
    assetMaterializations(limit: 2) { runId partition metadataEntries { label
    ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text } } } } } }"""
_CONFIG = """query C($s: PipelineSelector!) { runConfigSchemaOrError(selector: $s) {
    ... on RunConfigSchema { allConfigTypes { ... on CompositeConfigType { fields {
    name description } } } } } }"""
_TERMINATE = """mutation T($id: String!) { terminateRun(runId: $id) { __typename } }"""
_ENDS = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass
class Served:
    """A project and its Dagster.

    Attributes:
        project: With the specs ``orders`` and ``daily``.
        server: Its web server.
        gate: Without this file every run waits between its write and its audit.
    """

    project: Project
    server: WebServer
    gate: Path

    def launch(self, selector: dict[str, Any], config: dict[str, Any]) -> str:
        """Launch a run, and return its id."""
        params = {"selector": selector, "mode": "default", "runConfigData": config}
        got = self.server.ask(_LAUNCH, p=params)["launchPipelineExecution"]
        assert got["__typename"] == "LaunchRunSuccess", got
        return got["run"]["runId"]

    def end_of(self, run_id: str) -> dict[str, Any]:
        """Wait for the end of a run, and return what is shown of it."""

        def ended() -> dict[str, Any]:
            run = self.server.ask(_RUN, id=run_id)["runOrError"]
            return run if run["status"] in _ENDS else {}

        return wait_for(ended, 90, "the end of the run") | {"run_id": run_id}


@pytest.fixture(scope="module")
def served(spark_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    project = served_project(spark_settings, tmp_path_factory.mktemp("served"))
    gate = project.root / "gate"
    gate.touch()
    project.environ["AUTOLOADER_FAILPOINTS"] = f"written=pause:{gate}"
    for name in ("orders", "daily"):
        project.write_spec(name, partition={"by": "none"})
    with closing(ProcessedFiles(project.settings.database_url)) as store:
        store.upgrade()
    with project.dagster_dev() as server:
        yield Served(project, server, gate)


def test_a_run_that_is_terminated_gives_its_files_back(served: Served) -> None:
    project, server, gate = served.project, served.server, served.gate
    write_rows(project.landing("daily") / "a.csv", 1)
    daily = {
        **REPOSITORY,
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": [project.namespace, "daily"]}],
    }
    gate.unlink()
    try:
        run_id = served.launch(daily, {})
        wait_for(Path(f"{gate}.reached").exists, 120, "the run to reach the point")
        answer = server.ask(_TERMINATE, id=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess"
        assert served.end_of(run_id)["status"] == "CANCELED"
    finally:
        gate.touch()
    with closing(ProcessedFiles(project.settings.database_url)) as store:
        (batch,) = store.batches.latest("default/daily")
    assert batch.status == "RELEASED"
    assert served.end_of(served.launch(daily, {}))["status"] == "SUCCESS"
    assert project.untrue("daily") == []
    assert_right(project, project.settings.database_url, "daily", ["daily"])


def test_undo_is_a_job_for_the_launchpad_and_graphql(served: Served) -> None:
    project, server = served.project, served.server
    (project.landing("orders") / "a.csv").write_text("id\n1\n2\n")
    (project.landing("orders") / "c.csv").write_text("id\n9\n")
    assert project.run("autoloader_dagster.cli.app", "run", "orders").returncode == 0
    selector = {**REPOSITORY, "pipelineName": "autoloader_undo"}
    schema = server.ask(_CONFIG, s=selector)["runConfigSchemaOrError"]["allConfigTypes"]
    fields = {f["name"]: f["description"] for each in schema for f in each.get("fields", [])}
    for name in ("ingestion", "files", "batch_id", "accept_differences", "dry_run"):
        assert fields[name], f"{name} is described"

    def launch(config: dict[str, Any]) -> dict[str, Any]:
        return served.end_of(
            served.launch(selector, {"ops": {"autoloader_undo_op": {"config": config}}})
        )

    def launch_again(run_id: str) -> dict[str, Any]:
        params = {"parentRunId": run_id, "strategy": "ALL_STEPS"}
        got = server.ask(_LAUNCH_AGAIN, p=params)["launchPipelineReexecution"]
        assert got["__typename"] == "LaunchRunSuccess", got
        return served.end_of(got["run"]["runId"])

    dry = launch({"ingestion": "orders", "files": ["a.csv"]})
    assert dry["status"] == "SUCCESS"
    assert '"autoloader/rows_taken_out"' in json.dumps(dry)
    assert project.ids("orders") == [1, 2, 9]
    wrong = launch({"ingestion": "orders", "files": ["b.csv"], "dry_run": False})
    assert wrong["status"] == "FAILURE"
    assert "knows no file b.csv" in json.dumps(wrong)
    # As if it had failed after it had published: then there is nothing left to do.
    with _ingestion(project.settings, "orders") as ingestion:
        undo(ingestion, ["c.csv"], run_id=wrong["run_id"])
    again = launch_again(wrong["run_id"])
    assert again["status"] == "SUCCESS"
    assert f"run {wrong['run_id']}, which this one tries again" in json.dumps(again)
    assert '"autoloader/done_by_run"' in json.dumps(again)
    assert project.ids("orders") == [1, 2]
    done = launch({"ingestion": "orders", "files": ["a.csv"], "dry_run": False})
    assert done["status"] == "SUCCESS"
    assert project.ids("orders") == []
    key = {"path": [project.namespace, "orders"]}
    shown, late = server.ask(_EVENTS, k=key)["assetOrError"]["assetMaterializations"]
    assert late["runId"] == again["run_id"]
    assert shown["runId"] == done["run_id"]
    entries = {e["label"]: e.get("intValue", e.get("text")) for e in shown["metadataEntries"]}
    assert (entries["autoloader/rows_taken_out"], entries["dagster/row_count"]) == (2, 0)
    # A run that did its work is to do it again, and there is nothing to do it on.
    assert launch_again(done["run_id"])["status"] == "FAILURE"


@contextmanager
def _ingestion(settings: Settings, name: str) -> Iterator[Ingestion]:
    loaded = load_specs(settings.specs_dir).get(name)
    source = open_source(loaded.spec, None)
    with closing(ProcessedFiles(settings.database_url)) as store:
        yield Ingestion(loaded, source, store, lambda: connect(settings), settings.staging_dir)
