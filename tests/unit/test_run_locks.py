"""A run is failed as lost only if its worker is surely gone."""

import fcntl
import resource
import secrets
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.scoped_resources_builder import Resources
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from autoloader_dagster.orchestration.resources import ProcessedFilesResource
from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.orchestration.runs.lost import Looked, Ours, fail_lost_runs
from autoloader_dagster.settings import Settings, load_settings

_OURS = Ours(job_names=frozenset({"orders"}))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AUTOLOADER_HOME", str(tmp_path / "home"))
    settings = load_settings()
    settings.home.mkdir()
    return settings


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def _start_run(instance: dg.DagsterInstance, **more: Any) -> dg.DagsterRun:
    """A run that has begun just now, in a code server that the daemon has started."""
    beside = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="m"), "here")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(beside, "repository"), "orders")
    run = instance.add_run(
        dg.DagsterRun(
            "orders",
            str(uuid.uuid4()),
            status=dg.DagsterRunStatus.STARTING,
            remote_job_origin=origin,
            **more,
        )
    )
    began = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "orders")
    instance.report_dagster_event(began, run.run_id)
    return run


def _work(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Begin the work of a run as its worker does."""
    context = dg.InitResourceContext(None, Resources(), None, {}, instance, run)
    ProcessedFilesResource().setup_for_execution(context)


def _look(instance: dg.DagsterInstance, settings: Settings) -> Looked:
    """What the sensor does an hour later."""
    return fail_lost_runs(instance, settings, _OURS, now=time.time() + 3_600)


def test_a_living_run_that_could_take_no_lock_is_left_to_dagster(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    run = _start_run(instance)
    in_the_way = settings.home / "runs"
    in_the_way.touch()
    _work(instance, run)
    in_the_way.unlink()
    assert run_locks.can_lock(settings)
    assert _look(instance, settings).lost == ()
    # Dagster gives the tags to the run that tries it again, and that one can be watched.
    marked = instance.get_run_by_id(run.run_id)
    assert marked is not None
    again = _start_run(instance, tags=marked.tags)
    assert _look(instance, settings).lost == (again.run_id,)


def test_a_disk_without_room_for_a_lock_cannot_lock(settings: Settings) -> None:
    # An earlier look has left its file, and an empty file takes no room.
    assert run_locks.can_lock(settings)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        held, can = run_locks.hold(settings, "some-run"), run_locks.can_lock(settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (held, can) == (False, False)
    assert run_locks.can_lock(settings)
    assert [path.name for path in (settings.home / "runs").iterdir()] == [".probe"]


def test_the_lock_of_a_clone_of_this_machine_tells_only_while_it_is_held(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    run = _start_run(instance)
    _work(instance, run)
    run_locks.let_go(run.run_id)
    lock = settings.home / "runs" / f"{run.run_id}.lock"
    machine, _ = lock.read_text().splitlines()
    # A clone has the same host name and machine id, but another boot.
    clone = f"{machine.rpartition(' ')[0]} {secrets.token_hex(16)}"
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for name in (machine, clone):
            lock.write_text(f"{name}\nother-boot\n")
            assert _look(instance, settings) == Looked((), 1)
    # It may be held where the file system keeps locks to each machine.
    lock.write_text(f"{clone}\nother-boot\n")
    assert _look(instance, settings) == Looked((), 0)
    # Of an earlier boot of this machine no process is left.
    lock.write_text(f"{machine}\nother-boot\n")
    assert _look(instance, settings) == Looked((run.run_id,), 0)
