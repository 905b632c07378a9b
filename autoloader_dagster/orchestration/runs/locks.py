"""Tells a run whose worker is gone from one that is alive, by a lock that dies with the process.

Dagster hears of a dead run worker from the code server that started it. When both die together,
or the worker had no code server (``autoloader run``), the run stays STARTED for good, and the
table's pool slot with it. So each worker holds a lock on a file named after its run. The kernel
frees it, however the process dies, and keeps it for one that is merely paused: no clock, no
heartbeat that a busy machine or database could delay.

A lock tells nothing on another machine: its file can be missing there, or the file system may keep
locks to each machine. So the file says which machine took it, and since which boot. A lock that is
held is believed in any case.
"""

import fcntl
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

from autoloader_dagster.orchestration.runs.machine import (
    boot_id,
    is_of_one_kernel,
    machine_name,
    own_id,
)
from autoloader_dagster.settings import Settings
from autoloader_dagster.spark.server.locks import try_lock

_log = logging.getLogger(__name__)

# A worker is one process; the files stay open until it ends, or lets go of its run.
_held: dict[str, IO[bytes]] = {}


def hold(settings: Settings, run_id: str) -> bool:
    """Hold the run's lock until this process ends or lets go; return whether it is held.

    It is not freed when the work is done: Dagster notes a moment later that the run has ended, and
    until then it must not look lost. A run whose lock cannot be taken is left to Dagster alone;
    whoever has started it says so in Dagster.
    """
    if run_id in _held:
        return True
    path = _path(settings, run_id)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(fresh, fcntl.LOCK_EX)
        try:
            # Under its name only now, so that nobody ever sees the file of a living run unlocked.
            fresh.replace(path)
        except OSError:
            file.close()
            raise
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        _log.warning("run %s is not watched, because %s cannot be locked: %s", run_id, path, error)
        return False
    _held[run_id] = file
    return True


def _locked(path: Path, how: int) -> IO[bytes]:
    """Write a lock file that says who has taken it, and lock it; closing it frees the lock."""
    file = path.open("wb")
    try:
        file.write(f"{machine_name()}\n{boot_id()}\n{own_id()}\n".encode())
        file.flush()
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError:
        # What is not written yet would fail again.
        with suppress(OSError):
            file.close()
        raise
    return file


def let_go(run_id: str) -> None:
    """Free the lock; its file stays for those who ask whether the run was left unfinished."""
    file = _held.pop(run_id, None)
    if file is not None:
        file.close()


def let_go_of_all() -> None:
    """Free all locks of this process; for one that goes on after its runs, such as a test."""
    for run_id in list(_held):
        let_go(run_id)


def is_elsewhere(settings: Settings, run_id: str) -> bool:
    """Whether another machine has taken the run's lock; only that one can tell whether it lives."""
    return _is_elsewhere(_folder(settings), _taken_by(_path(settings, run_id)))


def _is_elsewhere(folder: Path, taken: list[str] | None) -> bool:
    # One of an earlier version does not say.
    if taken is None or len(taken) < 2 or taken[1] == boot_id():
        return False
    if taken[0] != machine_name():
        return True
    its_id = taken[2] if len(taken) > 2 else own_id()
    return its_id != own_id() and not is_of_one_kernel(folder)


def worker_is_gone(settings: Settings, run_id: str) -> bool | None:
    """Whether the process that held the run's lock is gone; None if none of this machine did."""
    path = _path(settings, run_id)
    taken = _taken_by(path)
    if taken is None:
        return None
    file = try_lock(path)
    if file is None:
        # Some process holds it, of whatever machine and boot.
        return False
    file.close()
    # A free lock of another machine may be held there; one of an earlier boot here is not.
    return None if _is_elsewhere(path.parent, taken) else True


def _taken_by(path: Path) -> list[str] | None:
    """The machine, its boot and its id in a lock file; None if there is no file."""
    try:
        return path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return None


def can_lock(settings: Settings) -> bool:
    """Whether a run could take its lock now; not every file system can lock, and disks get full."""
    folder = _folder(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _locked(folder / ".probe", fcntl.LOCK_SH).close()
    except OSError:
        return False
    return True


def locked_runs(settings: Settings) -> list[str]:
    """The runs that have a lock file, whether their workers live or not."""
    folder = _folder(settings)
    return [path.stem for path in folder.glob("*.lock")] if folder.is_dir() else []


def clear(settings: Settings, run_ids: Iterable[str]) -> None:
    """Remove the lock files of runs that have ended."""
    for run_id in run_ids:
        _path(settings, run_id).unlink(missing_ok=True)


def _folder(settings: Settings) -> Path:
    return settings.home / "runs"


def _path(settings: Settings, run_id: str) -> Path:
    return _folder(settings) / f"{run_id}.lock"
