"""All ways to start a load, at once and twice, and a daemon that is killed: each row comes once."""

import signal
from contextlib import closing

import pytest

from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.forks import FORKED, StartedCommand
from tests.fixtures.project import ROOT, Project, WebServer, wait_for
from tests.fixtures.sizes import size
from tests.integration.project_steps import assert_right, write_rows

_DAYS = [f"2026-01-{day:02}" for day in range(1, size(5, 10) + 1)]
_LAUNCH = """mutation L($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_BACKFILL = """mutation B($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
    __typename ... on PythonError { message } } }"""
_CURSOR = """mutation C($s: SensorSelector!) { setSensorCursor(sensorSelector: $s, cursor: null) {
    __typename } }"""
_RUNS = """{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"""
_REPOSITORY = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "autoloader_dagster",
}


# The tests of the daemon, of killed processes and of crowds have SQLite.
@pytest.mark.parametrize("state_url", ["postgresql", "sqlite"][: size(1, 2)], indirect=True)
def test_everything_at_once_loads_each_file_once(project: Project, state_url: str) -> None:
    project.environ["AUTOLOADER_DATABASE_URL"] = state_url
    by_day = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}*.csv", "start": "2026-01-01"}
    arriving = {"on_arrival": {"every": "5s"}, "schedule": "* * * * *"}
    project.write_spec("daily", partition=by_day, trigger=arriving)
    shared = {"name": f"lake.{project.namespace}.both", "shared": True}
    for name in ("left", "right"):
        project.write_spec(name, table=shared, trigger={"on_arrival": {"every": "5s"}})
    # Nothing but its schedule loads this one.
    project.write_spec("clock", partition={"by": "none"}, trigger={"schedule": "* * * * *"})

    with closing(ProcessedFiles(state_url)) as store, project.autoloader_up() as up:
        store.upgrade()
        (project.landing("clock") / "a.csv").write_text("id\n1\n")
        commands = []
        for round_number in range(2):
            for number, day in enumerate(_DAYS):
                write_rows(project.landing("daily") / f"{day}-{round_number}.csv", number)
            for name in ("left", "right"):
                for number in range(3):
                    write_rows(project.landing(name) / f"{round_number}-{number}.csv", number)
            tags = {
                "dagster/asset_partition_range_start": _DAYS[0],
                "dagster/asset_partition_range_end": _DAYS[-1],
            }
            for _ in range(2):
                _launch(up, project, tags)
            if round_number == 0:
                _backfill(up, project)
                commands += [_run_command(project, "daily") for _ in range(2)]
                commands.append(_run_command(project, "left"))
            up.ask(_CURSOR, s={**_REPOSITORY, "sensorName": "daily_on_arrival"})
            if round_number == 1:
                _kill_the_daemon(up)
        for command in commands:
            out, err = command.communicate(timeout=170)
            assert command.returncode == 0, out + err
        wait_for(lambda: _all_loaded(project, store), 170, "all files")
        wait_for(lambda: not _under_way(up), 120, "the end of all runs")
        # Told by the run: a tick during which the daemon was killed is evaluated again, and skips.
        assert "clock_schedule" in {_tag(run, "dagster/schedule_name") for run in _runs(up)}
        # A tick tells what the runs of the killed daemon have not told.
        names = ("daily", "left", "right", "clock")
        wait_for(lambda: not project.untrue(*names), 90, lambda: project.untrue(*names))
        failed = [run for run in _runs(up) if run["status"] == "FAILURE"]
        # Only those that the killed daemon took along, and these were retried.
        assert all(_tag(run, "dagster/will_retry") == "true" for run in failed), failed

    assert project.ids("clock") == [1]
    assert_right(project, state_url, "daily", ["daily"])
    assert_right(project, state_url, "both", ["left", "right"])


def _kill_the_daemon(up: WebServer) -> None:
    """Kill it, and wait until all of Dagster is there again; with it, the web server goes too."""
    (web,) = up.processes("dagster_webserver")
    (daemon,) = up.processes("dagster._daemon")
    daemon.send_signal(signal.SIGKILL)
    web.wait(60)
    wait_for(up.answers, 90, "Dagster to start again")


def _launch(up: WebServer, project: Project, tags: dict[str, str]) -> str:
    params = {
        "selector": {
            **_REPOSITORY,
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [project.namespace, "daily"]}],
        },
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
    }
    launched = up.ask(_LAUNCH, p=params)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def _backfill(up: WebServer, project: Project) -> None:
    params = {
        "assetSelection": [{"path": [project.namespace, "daily"]}],
        "partitionNames": _DAYS[2:-1],
    }
    started = up.ask(_BACKFILL, p=params)["launchPartitionBackfill"]
    assert started["__typename"] == "LaunchBackfillSuccess", started


def _run_command(project: Project, name: str) -> StartedCommand:
    return FORKED.start(["run", name, "--json"], ROOT, project.environ)


def _all_loaded(project: Project, store: ProcessedFiles) -> bool:
    for name in ("daily", "left", "right", "clock"):
        totals = store.totals.counts(f"default/{name}").get(f"default/{name}", {})
        files = len(list(project.landing(name).glob("*.csv")))
        if "SUCCESS" not in totals or totals["SUCCESS"].files != files:
            return False
    return True


def _runs(up: WebServer) -> list[dict]:
    return up.ask(_RUNS)["runsOrError"]["results"]


def _under_way(up: WebServer) -> bool:
    return any(run["status"] not in ("SUCCESS", "FAILURE", "CANCELED") for run in _runs(up))


def _tag(run: dict, key: str) -> str | None:
    return next((tag["value"] for tag in run["tags"] if tag["key"] == key), None)
