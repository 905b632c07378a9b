"""A real daemon: files that are dropped are loaded with no hand on it, once, whatever is killed."""

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from autoloader_dagster.spark.server.address import ServerFolder
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.graphql_texts import REPOSITORY, graphql_texts
from tests.fixtures.project import Project, WebServer, wait_for
from tests.fixtures.s3 import S3Bucket

BACKFILL = """mutation B($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL_STATUS = """query S($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status } } }"""
LAUNCH = """mutation L($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
# Of each file that a killed run was loading.
_ROWS = 20_000
FAILURE = """query F($id: ID!) { runOrError(runId: $id) { ... on Run { status
    eventConnection(limit: 500) { events {
    ... on ExecutionStepFailureEvent { failureMetadata { description } } } } } } }"""


def test_the_daemon_loads_what_arrives_and_survives_a_killed_run(
    project: Project, s3_bucket: S3Bucket
) -> None:
    project.write_spec(
        "arriving",
        source={"type": "local", "url": str(project.landing("arriving")), "include": ["*.csv"]},
        partition={"by": "path", "pattern": "{yyyy}-{MM}-{dd}*.csv", "start": "2026-01-01"},
        trigger={"on_arrival": {"every": "5s"}},
    )
    project.write_spec("broken", table={"name": "nonsense"})
    project.write_spec(
        "bucket",
        source={"type": "s3", "url": f"s3://{s3_bucket.name}/in/", "connection": "landing"},
        trigger={"on_arrival": {"every": "5s"}},
    )
    # No bucket of this name: its ticks and its run fail.
    project.write_spec(
        "lost",
        source={"type": "s3", "url": "s3://no-such-bucket-there/in/", "connection": "landing"},
        trigger={"on_arrival": {"every": "5s"}},
    )
    canaries = {
        field: secrets.token_hex(10)
        for field in ("access_key_id", "secret_access_key", "session_token")
    }
    project.environ |= {f"LANDING_{field.upper()}": text for field, text in canaries.items()}
    project.write_connections(
        landing={
            "type": "s3",
            "endpoint_url": s3_bucket.server.endpoint,
            **{field: f"env:LANDING_{field.upper()}" for field in canaries},
        }
    )
    landing = project.landing("arriving")
    (landing / "2026-01-02.csv").write_text("id\n1\n2\n")
    (landing / "2026-01-05.csv").write_text("id\n5\n")

    with project.dagster_dev() as server:
        store = ProcessedFiles(project.settings.database_url)
        # The daemon does so too, on its first tick; whoever comes first.
        store.upgrade()
        wait_for(lambda: _all_loaded(store, 2), 120, "the first files")
        assert project.ids("arriving") == [1, 2, 5]
        shown = wait_for(
            lambda: len(found := server.materialized(project.namespace, "arriving")) == 2 and found,
            30,
            "the materializations",
        )
        assert set(shown) == {"2026-01-02", "2026-01-05"}, "a partition without files is not shown"
        assert shown["2026-01-02"]["dagster/partition_row_count"] == 2
        assert max(each["dagster/row_count"] for each in shown.values()) == 3
        assert shown["2026-01-05"]["autoloader/files"] == 1

        s3_bucket.put("in/first.csv", b"id\n1\n2\n")
        wait_for(lambda: _all_loaded(store, 1, "bucket"), 60, "the object in the bucket")
        assert project.ids("bucket") == [1, 2]

        # A run that is killed in the middle of its load.
        rows = "".join(f"{i}\n" for i in range(1000, 1000 + _ROWS))
        for day in range(10, 30):
            _drop(landing / f"2026-01-{day}.csv", f"id\n{rows}")
        run_id = wait_for(lambda: _loading(store), 60, "the run")
        os.kill(_worker_of(run_id), signal.SIGKILL)
        wait_for(lambda: _all_loaded(store, 22), 120, "the files of the killed run")
        assert project.table("arriving").num_rows == 3 + 20 * _ROWS
        batches = [b for b in store.batches.latest("default/arriving") if b.status == "RECORDED"]
        assert len({b.snapshot_id for b in batches}) == len(batches)

        # A backfill over a range with gaps ends well.
        started = server.ask(
            BACKFILL,
            p={
                "assetSelection": [{"path": [project.namespace, "arriving"]}],
                "partitionNames": [f"2026-01-0{day}" for day in range(1, 8)],
            },
        )["launchPartitionBackfill"]
        assert started["__typename"] == "LaunchBackfillSuccess", started
        status = wait_for(
            lambda: _backfill_status(server, started["backfillId"]), 150, "the backfill"
        )
        assert status == "COMPLETED_SUCCESS"
        assert project.table("arriving").num_rows == 3 + 20 * _ROWS
        wait_for(lambda: not project.untrue("arriving"), 60, lambda: project.untrue("arriving"))

        # The broken spec is shown, with its fault.
        nodes = server.ask("{ assetNodes { assetKey { path } description } }")["assetNodes"]
        (broken,) = [n for n in nodes if n["assetKey"]["path"][0] == "broken_specs"]
        assert "nonsense" in broken["description"]

        # A spec that is removed while Dagster runs; its code server still has it.
        (project.settings.specs_dir / "bucket.yaml").unlink()
        gone = _failure(server, _launch(server, project.namespace, "bucket"))
        assert "default/bucket: its spec is gone; its table" in gone
        assert "keeps 2 rows of 1 file" in gone

        # Nothing that the API tells holds a credential.
        assert "no-such-bucket-there" in _failure(
            server, _launch(server, project.namespace, "lost")
        )
        told = graphql_texts(server)
        assert "no-such-bucket-there" in told["runs"]
        assert "no-such-bucket-there" in told["ticks"]
        assert "2026-01-02.csv" in told["assets"]
        assert "spark_connect" in told["resources"]
        assert any(name.startswith("logs of ") for name in told)
        address = ServerFolder(project.settings.spark_dir).read_address()
        assert address is not None
        canaries["token of the Spark server"] = address.token
        assert _seen(canaries, told) == []
        store.close()
    said = (project.root / "dagster-dev.log").read_text()
    assert "bucket_on_arrival" in said
    assert _seen(canaries, {"the log": said}) == []


def _launch(server: WebServer, *key: str) -> str:
    params = {
        "selector": {
            **REPOSITORY,
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": key}],
        },
        "mode": "default",
    }
    launched = server.ask(LAUNCH, p=params)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def _failure(server: WebServer, run_id: str) -> str:
    """Wait for the end of a run that fails, and give its reason."""

    def failed() -> dict[str, Any] | None:
        run = server.ask(FAILURE, id=run_id)["runOrError"]
        return run if run["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None

    run = wait_for(failed, 90, "the end of the run")
    assert run["status"] == "FAILURE"
    (event,) = [event for event in run["eventConnection"]["events"] if event]
    return event["failureMetadata"]["description"]


def _seen(canaries: dict[str, str], texts: dict[str, str]) -> list[str]:
    return [
        f"{field} in {name}"
        for name, text in texts.items()
        for field, canary in canaries.items()
        if canary in text
    ]


def _drop(path: Path, text: str) -> None:
    """As an uploader does: under another name first."""
    hidden = path.with_name(f"tmp-{path.name}.part")
    hidden.write_text(text)
    hidden.rename(path)


def _all_loaded(store: ProcessedFiles, files: int, name: str = "arriving") -> bool:
    totals = store.totals.counts(f"default/{name}").get(f"default/{name}", {})
    success = totals.get("SUCCESS")
    return success is not None and success.files >= files


def _loading(store: ProcessedFiles) -> str | None:
    for batch in store.batches.latest("default/arriving", limit=1):
        if batch.status in ("CLAIMED", "WRITTEN") and batch.attempt >= 1:
            return batch.run_id
    return None


def _worker_of(run_id: str) -> int:
    """The process of a run, by the run's own compute log folder being open in it."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            if any(run_id in file.path for file in process.open_files()):
                return process.pid
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    raise AssertionError(f"no process has run {run_id}")


def _backfill_status(server, backfill_id: str) -> str | None:
    status = server.ask(BACKFILL_STATUS, id=backfill_id)["partitionBackfillOrError"]["status"]
    return None if status in ("REQUESTED", "CANCELING") else status


def test_loading_the_definitions_touches_no_network_and_no_heavy_library(project: Project) -> None:
    project.write_spec("one", source={"type": "s3", "url": "s3://nobody/nothing/"})
    code = (
        "import sys, autoloader_dagster.definitions as d; assert d.defs.get_repository_def();"
        "print([m for m in ('pyspark','boto3','botocore','grpc','pyarrow','pandas')"
        " if m in sys.modules])"
    )
    environ = project.environ | {
        "SPARK_REMOTE": "sc://127.0.0.1:1",
        "AUTOLOADER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"
