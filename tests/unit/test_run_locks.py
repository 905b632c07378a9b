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
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.orchestration.runs.lost import Looked, Ours, fail_lost_runs
from autoloader_dagster.orchestration.runs.machine import is_of_one_kernel
from autoloader_dagster.orchestration.runs.watch import watched
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
    with watched(instance, run):
        pass


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


_MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /shared rw,relatime shared:9 - nfs4 store:/export rw,vers=4.2
31 30 0:41 / /shared/my\\040disk rw,relatime - xfs /dev/sdb1 rw
32 22 0:42 / /over rw - tmpfs tmpfs rw
33 32 0:43 / /over rw - fuse.sshfs far:/ rw
"""


@pytest.mark.parametrize(
    ("folder", "alone"),
    [
        ("/home/runs", True),
        ("/shared/runs", False),
        ("/shared/my disk/runs", True),
        ("/shared", False),
        ("/sharedwith", True),
        ("/over/runs", False),
    ],
)
def test_a_file_system_that_machines_can_share_is_known(
    tmp_path: Path, folder: str, alone: bool
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(_MOUNTS)
    assert is_of_one_kernel(Path(folder), mounts) is alone


def test_a_clone_of_this_machine_is_another_one_where_both_can_have_the_lock(
    settings: Settings,
) -> None:
    assert run_locks.hold(settings, "some-run")
    run_locks.let_go("some-run")
    lock = settings.home / "runs" / "some-run.lock"
    machine, _, own = lock.read_text().splitlines()
    assert own
    alone = is_of_one_kernel(settings.home)
    for taken, elsewhere in (
        (f"{machine}\nother-boot\n{own}\n", False),
        # A container that was made again, or a clone; only one of them can have this disk.
        (f"{machine}\nother-boot\n{secrets.token_hex(16)}\n", not alone),
        (f"other {machine}\nother-boot\n{own}\n", True),
        # As earlier versions wrote it.
        (f"{machine}\nother-boot\n", False),
    ):
        lock.write_text(taken)
        assert run_locks.is_elsewhere(settings, "some-run") is elsewhere


def test_a_lock_that_is_held_is_believed_whatever_its_machine_is_called(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    run = _start_run(instance)
    _work(instance, run)
    run_locks.let_go(run.run_id)
    lock = settings.home / "runs" / f"{run.run_id}.lock"
    machine, _, own = lock.read_text().splitlines()
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for name in (machine, "another"):
            lock.write_text(f"{name}\nother-boot\n{own}\n")
            assert _look(instance, settings) == Looked((), 1)
    # It may be held where the file system keeps locks to each machine.
    assert _look(instance, settings) == Looked((), 0)
    # Of an earlier boot of this machine no process is left.
    lock.write_text(f"{machine}\nother-boot\n{own}\n")
    assert _look(instance, settings) == Looked((run.run_id,), 0)
