"""The supervisor of the embedded Spark server, with a small program in the place of Java."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from autoloader_dagster.spark.server.address import ServerAddress, ServerFolder
from autoloader_dagster.spark.server.supervisor import TOKEN_VARIABLE, Launch

_JAVA = (
    "import time; print('Spark Connect server started at: 127.0.0.1:1', flush=True); time.sleep(99)"
)


def _wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def _start(root: Path, mark: str, *, in_use_lock: bool = True) -> ServerAddress:
    folder = ServerFolder(root)
    folder.work_dir.mkdir(parents=True)
    if in_use_lock:
        folder.in_use_lock.touch()
    launch = Launch(str(root), [sys.executable, "-c", _JAVA, mark], mark, 20, idle_seconds=2)
    subprocess.run(
        [sys.executable, "-m", "autoloader_dagster.spark.server.supervisor"],
        input=launch.to_json(), text=True, check=True, timeout=20,
        env=os.environ | {TOKEN_VARIABLE: "token"},
    )  # fmt: skip
    _wait(folder.address_file.exists, "the address")
    return ServerAddress(**json.loads(folder.address_file.read_text()))


@pytest.mark.parametrize(
    ("again", "in_use_lock"),
    # Without the lock as when the home is removed just before the supervisor looks at it.
    [(False, True), (True, True), (False, False)],
)
def test_a_server_whose_home_was_removed_ends_by_itself(
    tmp_path: Path, again: bool, in_use_lock: bool
) -> None:
    root = tmp_path / "home" / "spark"
    address = _start(root, "first", in_use_lock=in_use_lock)
    processes = [psutil.Process(pid) for pid in (address.pid, address.supervisor_pid)]
    (tmp_path / "home").rename(tmp_path / "removed")
    shutil.rmtree(tmp_path / "removed")
    second = _start(root, "second") if again else None
    _wait(lambda: not any(map(_lives, processes)), "the end of the server")
    if second is not None:
        # The address of the server that came after it is left alone.
        assert _lives(psutil.Process(second.pid))
        assert ServerFolder(root).read_address() == second
        psutil.Process(second.supervisor_pid).terminate()
        _wait(lambda: not psutil.pid_exists(second.supervisor_pid), "the end of the second")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
