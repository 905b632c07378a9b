"""Tells a run whose worker is gone from one that is alive, by a lock that dies with the process.

Dagster hears of a dead run worker from the code server that started it. When both die together,
or the worker had no code server (``autoloader run``), the run stays STARTED for good, and the
table's pool slot with it. So each worker holds a lock on a file named after its run. The kernel
frees it, however the process dies, and keeps it for one that is merely paused: no clock, no
heartbeat that a busy machine or database could delay.

A lock tells nothing on another machine: its file can be missing there, or the file system may keep
locks to each machine. So the file says which machine took it, and since which boot.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from autoloader_dagster.settings import Settings
from autoloader_dagster.spark.server.locks import try_lock

_log = logging.getLogger(__name__)

# A worker is one process; the files stay open until it ends, or lets go of its run.
_held: dict[str, IO[bytes]] = {}


def hold(settings: Settings, run_id: str) -> None:
    """Hold the run's lock until this process ends or lets go.

    It is not freed when the work is done: Dagster notes a moment later that the run has ended, and
    until then it must not look lost. A folder without locks leaves the run to Dagster alone.
    """
    if run_id in _held:
        return
    path = _path(settings, run_id)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = fresh.open("wb")
        file.write(f"{_machine()}\n{_boot()}\n".encode())
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Under its name only now, so that nobody ever sees the file of a living run unlocked.
        fresh.replace(path)
    except OSError as error:
        _log.warning("run %s is not watched, for %s cannot be locked: %s", run_id, path, error)
        return
    _held[run_id] = file


def let_go(run_id: str) -> None:
    """Free the lock; its file stays for those who ask whether the run was left unfinished."""
    file = _held.pop(run_id, None)
    if file is not None:
        file.close()


def is_elsewhere(settings: Settings, run_id: str) -> bool:
    """Whether another machine has taken the run's lock; only that one can tell whether it lives."""
    taken = _taken_by(_path(settings, run_id))
    # One of an earlier version does not say.
    return taken is not None and len(taken) == 2 and _boot() != taken[1] and _machine() != taken[0]


def worker_is_gone(settings: Settings, run_id: str) -> bool | None:
    """Whether the process that held the run's lock is gone; None if none of this machine did."""
    path = _path(settings, run_id)
    taken = _taken_by(path)
    if taken is None or is_elsewhere(settings, run_id):
        return None
    if len(taken) == 2 and taken[1] != _boot():
        # No process outlives its boot, whatever the file system says of its lock.
        return True
    file = try_lock(path)
    if file is None:
        return False
    file.close()
    return True


def _taken_by(path: Path) -> list[str] | None:
    """The machine and the boot in a lock file; None if there is no file."""
    try:
        return path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return None


def _machine() -> str:
    """A name for this machine; of a container that of the container."""
    return f"{socket.gethostname()} {_read('/etc/machine-id')}".strip()


def _boot() -> str:
    """What is the same for all processes of one kernel, and of no other."""
    return _read("/proc/sys/kernel/random/boot_id") or _machine()


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError:
        return ""


def can_lock(settings: Settings) -> bool:
    """Whether the file system of the locks can lock at all; not every one can."""
    folder = _folder(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".probe").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
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
