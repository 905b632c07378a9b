"""Runs without a worker are failed, living ones are not, and a signal ends a run in order."""

import os
import secrets
import signal
import time
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    CodeLocationOrigin,
    GrpcServerCodeLocationOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.orchestration.runs.lost import Looked, Ours, fail_lost_runs
from autoloader_dagster.settings import Settings, load_settings
from tests.fixtures.forks import FORKED, StartedCommand
from tests.fixtures.lake import read_table
from tests.fixtures.project import wait_for
from tests.integration.cli_steps import Project

_NOTHING = Looked((), 0)
_RELEASED_WITHIN = 30


@pytest.fixture
def project(tmp_path: Path, spark_settings: Settings) -> Project:
    """A project with one spec and one file."""
    environ = {
        "AUTOLOADER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    project = Project(tmp_path, spark_settings.home, environ)
    name = f"lake.lost.t{secrets.token_hex(6)}"
    project.spec("orders", partition={"by": "none"}, table={"name": name})
    (project.folder() / "a.csv").write_text("id\n1\n2\n")
    return project


def _start(project: Project, failpoints: str) -> StartedCommand:
    env = project.env(AUTOLOADER_FAILPOINTS=failpoints)
    return FORKED.start(["run", "orders"], project.root, env)


def _look(project: Project) -> tuple[Looked, list[dg.DagsterRun]]:
    settings = load_settings(project.env())
    with dg.DagsterInstance.from_config(project.environ["DAGSTER_HOME"]) as instance:
        looked = fail_lost_runs(instance, settings, Ours())
        return looked, list(instance.get_runs())


def test_a_killed_run_without_a_code_server_is_failed_once(project: Project) -> None:
    killed = _start(project, "claimed=kill")
    killed.communicate(120)
    assert killed.returncode == -signal.SIGKILL

    looked, (run,) = _look(project)
    assert looked == Looked((run.run_id,), 0)
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert _look(project)[0] == _NOTHING
    # What it had claimed is loaded at once, for its run has ended.
    assert project.run("run", "orders", "--json").json["files"]["loaded"] == 1


def test_the_next_command_loads_at_once_what_a_killed_one_had_claimed(project: Project) -> None:
    killed = _start(project, "claimed=kill")
    killed.communicate(120)
    assert killed.returncode == -signal.SIGKILL
    # Nobody else has looked for lost runs meanwhile, and the lease is not over.
    files = project.run("run", "orders", "--json").json["files"]
    assert (files["loaded"], files["processing"]) == (1, 0)


def test_a_run_that_is_only_paused_is_left_alone(project: Project) -> None:
    paused = _start(project, "claimed=stop")
    try:
        wait_for(lambda: _state(paused.pid) == "T", 120, "the run to pause")
        looked, (run,) = _look(project)
        assert looked == Looked((), 1)
        assert run.status == dg.DagsterRunStatus.STARTED
        # Whoever starts another run must not take it for done.
        second = project.run("run", "orders")
        assert (second.code, second.err) == (0, "")
        assert "nothing to load, 1 in batches of other runs;" in second.out
    finally:
        os.kill(paused.pid, signal.SIGCONT)
        _, err = paused.communicate(120)
    assert paused.returncode == 0, err
    looked, (run,) = _look(project)
    assert looked == _NOTHING
    assert run.status == dg.DagsterRunStatus.SUCCESS


def test_a_run_of_another_machine_is_left_to_it(project: Project) -> None:
    killed = _start(project, "claimed=kill")
    killed.communicate(120)
    with dg.DagsterInstance.from_config(project.environ["DAGSTER_HOME"]) as instance:
        (run,) = instance.get_runs()
    # Others' locks are beside it, for the tests share a home.
    (project.home / "runs" / f"{run.run_id}.lock").unlink()
    looked, (run,) = _look(project)
    assert looked == _NOTHING
    assert run.status == dg.DagsterRunStatus.STARTED


_BESIDE = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="m"), "here")
_ELSEWHERE = GrpcServerCodeLocationOrigin(host="code.example", port=4000, location_name="there")
_IN_PODS = "run_launcher: {module: dagster._core.test_utils, class: MockedRunLauncher}"
_AT_ONCE = "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}"


@pytest.mark.parametrize(
    ("config", "location", "failed"),
    [("", _BESIDE, True), ("", _ELSEWHERE, False), (_IN_PODS, _BESIDE, False),
     (_AT_ONCE, _BESIDE, False)],
    ids=["beside the daemon", "code server elsewhere", "another launcher", "web server launches"],
)  # fmt: skip
def test_a_run_without_a_lock_is_failed_only_if_it_began_here(
    tmp_path: Path, config: str, location: CodeLocationOrigin, failed: bool
) -> None:
    (tmp_path / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{config}\n")
    settings = load_settings({"AUTOLOADER_HOME": str(tmp_path / "home")})
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "repository"), "orders")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = _start_run(instance, remote_job_origin=origin)
        ours = Ours(job_names=frozenset({"orders"}))
        assert fail_lost_runs(instance, settings, ours).lost == ()
        looked = fail_lost_runs(instance, settings, ours, now=time.time() + 3_600)
        assert looked.lost == ((run.run_id,) if failed else ())


@pytest.mark.parametrize(
    ("status", "location", "failed"),
    [("NOT_STARTED", _BESIDE, True), ("NOT_STARTED", _ELSEWHERE, True),
     ("NOT_STARTED", None, False), ("QUEUED", _BESIDE, False)],
    ids=["daemon died", "daemon of others died", "made by a command", "queued"],
)  # fmt: skip
def test_a_run_that_was_made_and_never_queued_is_failed(
    tmp_path: Path, status: str, location: CodeLocationOrigin | None, failed: bool
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    settings = load_settings({"AUTOLOADER_HOME": str(tmp_path / "home")})
    origin = None
    if location is not None:
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "repository"), "orders")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = instance.create_run_for_job(
            _orders, status=dg.DagsterRunStatus[status], remote_job_origin=origin
        )
        ours = Ours(job_names=frozenset({"orders"}))
        assert fail_lost_runs(instance, settings, ours) == _NOTHING
        later = time.time() + 3_600
        assert fail_lost_runs(instance, settings, Ours(), now=later) == _NOTHING
        looked = fail_lost_runs(instance, settings, ours, now=later)
        assert looked == Looked((run.run_id,) if failed else (), 0)
        (after,) = instance.get_runs()
        assert after.status == dg.DagsterRunStatus["FAILURE" if failed else status]


@pytest.mark.parametrize(
    ("executor", "failed"),
    [(dg.in_process_executor, True), (dg.multiprocess_executor, False), (None, False)],
    ids=["in process", "a process for each step", "Dagster's default"],
)
def test_a_run_with_a_process_for_each_step_needs_no_lock(
    tmp_path: Path, executor: dg.ExecutorDefinition | None, failed: bool
) -> None:
    """A project that mounts specs has its own executor, and such a run may wait for its turn."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    settings = load_settings({"AUTOLOADER_HOME": str(tmp_path / "home")})
    project = dg.Definitions(assets=[dg.AssetSpec("orders")], jobs=[_orders], executor=executor)
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(_BESIDE, "repository"), "orders")
    ours = Ours(job_names=frozenset({"orders"}), repository=project.get_repository_def())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = _start_run(instance, remote_job_origin=origin)
        looked = fail_lost_runs(instance, settings, ours, now=time.time() + 3_600)
        assert looked.lost == ((run.run_id,) if failed else ())


@dg.op
def _nothing() -> None: ...


@dg.job(name="orders")
def _orders() -> None:
    _nothing()


def test_a_lock_of_another_machine_tells_nothing_and_one_of_an_earlier_boot_all(
    tmp_path: Path,
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    settings = load_settings({"AUTOLOADER_HOME": str(tmp_path / "home")})
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = _start_run(instance)
        run_locks.hold(settings, run.run_id)
        run_locks.let_go(run.run_id)
        lock = settings.home / "runs" / f"{run.run_id}.lock"
        machine, boot, _ = lock.read_text().splitlines()
        assert boot

        lock.write_text("other-machine\nother-boot\n")
        assert fail_lost_runs(instance, settings, Ours()) == _NOTHING
        lock.write_text(f"{machine}\nboot-before\n")
        assert fail_lost_runs(instance, settings, Ours()) == Looked((run.run_id,), 0)
        assert not lock.exists()


def _start_run(instance: dg.DagsterInstance, **more: Any) -> dg.DagsterRun:
    """A run that has begun just now."""
    status = dg.DagsterRunStatus.STARTING
    run = instance.add_run(
        dg.DagsterRun(job_name="orders", run_id=str(uuid.uuid4()), status=status, **more)
    )
    began = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "orders")
    instance.report_dagster_event(began, run.run_id)
    return run


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("point", ["looked", "written"])
def test_a_signal_gives_the_files_back(project: Project, point: str, sent: signal.Signals) -> None:
    gate = project.root / "gate"
    run = _start(project, f"{point}=pause:{gate}")
    wait_for(Path(f"{gate}.reached").exists, 120, "the run to reach the point")
    began = time.monotonic()
    run.send_signal(sent)
    _, err = run.communicate(120)
    assert time.monotonic() - began < _RELEASED_WITHIN
    assert (run.returncode, err) == (130, "interrupted\n")

    (batch,) = project.run("history", "orders", "--json").json["batches"]
    assert batch["status"] == "RELEASED"
    assert _look(project)[1][0].status == dg.DagsterRunStatus.FAILURE
    assert project.run("run", "orders", "--json").json["rows"] == 2


def test_a_signal_after_the_publish_loses_nothing(
    project: Project, spark_settings: Settings
) -> None:
    run = _start(project, "published=term")
    _, err = run.communicate(120)
    assert (run.returncode, err) == (130, "interrupted\n")
    (batch,) = project.run("history", "orders", "--json").json["batches"]
    assert batch["status"] == "RECORDED"
    assert project.run("run", "orders", "--json").json["files"]["loaded"] == 0
    (spec,) = project.run("list", "--json").json["specs"]
    assert read_table(spark_settings, spec["table"]).num_rows == 2


def test_the_second_signal_ends_a_run_at_once(project: Project) -> None:
    gate = project.root / "gate"
    # The first signal begins the orderly end, which is held up where it drops the branch.
    run = _start(project, f"written=term,dropping=pause:{gate}")
    wait_for(Path(f"{gate}.reached").exists, 120, "the orderly end to begin")
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=5)
    assert run.returncode == 130
    assert err.startswith("stopped at once")
    gate.touch()
    assert project.run("run", "orders", "--json").json["rows"] == 2


def _state(pid: int) -> str:
    """R, S, T for stopped, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("point", ["published", "recorded"])
def test_the_next_run_tells_of_a_batch_whose_run_died(project: Project, point: str) -> None:
    killed = _start(project, f"{point}=kill")
    killed.communicate(120)
    assert killed.returncode == -signal.SIGKILL
    (dead,) = _look(project)[0].lost
    for number in (2, 3):
        (project.folder() / f"{number}.csv").write_text("id\n3\n")
        assert project.run("run", "orders", "--json").json["rows"] == 1

    batches = project.run("history", "orders", "--json").json["batches"]
    by_batch = {batch["batch_id"]: batch for batch in batches}
    (spec,) = project.run("list", "--json").json["specs"]
    with dg.DagsterInstance.from_config(project.environ["DAGSTER_HOME"]) as instance:
        key = dg.AssetKey(spec["table"].split(".")[1:])
        records = instance.fetch_materializations(key, limit=10).records
        events = [event for record in records if (event := record.asset_materialization)]
    told = {event.metadata["autoloader/batch_id"].value: event for event in events}
    assert set(told) == set(by_batch), "each batch has its event"
    assert len(events) == len(told), "and only one"
    (late,) = [told[name] for name, batch in by_batch.items() if batch["run_id"] == dead]
    assert late.metadata["autoloader/loaded_by_run"].value == dead
    assert late.metadata["autoloader/rows"].value == 2
    assert events[0].metadata["dagster/row_count"].value == 4, "the table's, by the last event"
