"""The embedded Spark Connect server: one for all processes that share an ``AUTOLOADER_HOME``.

It is started on first use, outlives its starter, and stops by itself when it is idle. What keeps
that safe: whoever starts or stops holds ``start.lock``; a supervisor process is Java's parent and
holds ``supervisor.lock``; who has a session holds ``in_use.lock`` shared. ``server.json`` is there
while the server takes calls.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autoloader_dagster.errors import SparkSetupError
from autoloader_dagster.redaction import strike
from autoloader_dagster.settings import Settings
from autoloader_dagster.spark.server.address import ServerAddress, ServerFolder, answers, is_process
from autoloader_dagster.spark.server.conf import read_conf
from autoloader_dagster.spark.server.jars import Progress
from autoloader_dagster.spark.server.launch import START_SECONDS, prepare
from autoloader_dagster.spark.server.locks import file_lock, is_locked, try_lock
from autoloader_dagster.spark.server.supervisor import STOP_SECONDS

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ServerStatus:
    """What there is of a server.

    Attributes:
        state: ``starting`` also covers the moment in which it stops.
        address: Where it is, when it is running.
        in_use: Whether some process has a session on it.
        log: Its newest log.
    """

    state: Literal["running", "starting", "stopped"]
    address: ServerAddress | None
    in_use: bool
    log: Path


class EmbeddedServer:
    """Starts, finds and stops the server of one home. Any thread of any process may use one."""

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        self._settings = settings
        self._progress = progress
        self._folder = ServerFolder(settings.spark_dir)

    def status(self) -> ServerStatus:
        """Look, and change nothing."""
        folder, address = self._folder, self._running()
        there = folder.root.is_dir()
        return ServerStatus(
            state="running"
            if address
            else "starting"
            if there and is_locked(folder.supervisor_lock)
            else "stopped",
            address=address,
            in_use=folder.in_use_lock.exists() and _is_shared(folder.in_use_lock),
            log=folder.log_file,
        )

    @contextmanager
    def in_use(self) -> Iterator[ServerAddress]:
        """Have the server running for the block: it does not stop for being idle meanwhile.

        Raises:
            SparkSetupError: It cannot be started.
        """
        self._make_folder()
        lock = self._folder.in_use_lock
        # A supervisor that stops its idle server holds the lock until all is gone.
        with file_lock(lock, shared=True, timeout=2 * STOP_SECONDS + 10):
            lock.touch()
            try:
                address = self.ensure()
                self._know_secrets()
                yield address
            finally:
                lock.touch()

    def ensure(self) -> ServerAddress:
        """The running server, started if there is none.

        Raises:
            SparkSetupError: It cannot be started: no Java, no jars, a port that is taken, or it
                ended at once; the message has the end of its log.
        """
        return self._running() or self.start()

    def start(self) -> ServerAddress:
        """The same as ``ensure``, without the quick look first."""
        self._make_folder()
        folder = self._folder
        # Whoever has the lock may be fetching the jars for the first time.
        with file_lock(folder.start_lock, timeout=1800):
            # Someone else may have started it, or may have been killed while it was starting.
            if is_locked(folder.supervisor_lock):
                self._await(lambda: not is_locked(folder.supervisor_lock) or bool(self._running()))
            if address := self._running():
                return address
            self._clear()
            self._launch()
            self._await(lambda: not is_locked(folder.supervisor_lock) or bool(self._running()))
            if address := self._running():
                return address
            raise SparkSetupError(
                f"the embedded Spark server did not start; its log ends\n{self._end_of_log()}",
                f"See {folder.log_file}.",
            )

    def warm_up(self, address: ServerAddress, work: Callable[[], None]) -> None:
        """Do what each server needs once after its start, unless it was done.

        Args:
            address: The running server.
            work: What to do; it may be done twice if two processes come first.
        """
        done = self._folder.work_dir / "warm"
        with suppress(OSError):
            if done.read_text() == address.mark:
                return
        work()
        with suppress(OSError):
            done.write_text(address.mark)

    def stop(self, only: ServerAddress | None = None) -> bool:
        """Stop the server, whoever uses it; False if there was none.

        Args:
            only: Stop it only if it is still this one.

        Raises:
            SparkSetupError: It does not end.
        """
        folder = self._folder
        if not folder.root.is_dir():
            return False
        with file_lock(folder.start_lock, timeout=START_SECONDS):
            address = folder.read_address()
            if only is not None and (address is None or address.mark != only.mark):
                return False
            stopped = is_locked(folder.supervisor_lock)
            if stopped and address:
                # Right for sure: who wrote the file still holds the lock.
                with suppress(ProcessLookupError):
                    os.kill(address.supervisor_pid, signal.SIGTERM)
            self._await(lambda: not is_locked(folder.supervisor_lock), 2 * STOP_SECONDS)
            if is_locked(folder.supervisor_lock):
                raise SparkSetupError(
                    f"the embedded Spark server of {folder.root} does not end",
                    f"End the process {address.supervisor_pid if address else ''} yourself.",
                )
            self._clear()
            return stopped

    def _running(self) -> ServerAddress | None:
        address = self._folder.read_address()
        if address is None or not is_locked(self._folder.supervisor_lock):
            return None
        return address if answers("127.0.0.1", address.port, timeout=5) is None else None

    def _make_folder(self) -> None:
        root = self._folder.root
        try:
            root.mkdir(parents=True, exist_ok=True)
            # It may have been made by another version, or by hand.
            root.chmod(0o700)
            self._folder.in_use_lock.touch(mode=0o600)
        except OSError as error:
            raise SparkSetupError(
                f"the Spark server's folder {root} cannot be made: {error}",
                "Set AUTOLOADER_HOME to a folder that you may write.",
            ) from error

    def _clear(self) -> None:
        """Remove what a killed supervisor left: its address, its files, and Java if it lives."""
        folder = self._folder
        if address := folder.read_address():
            if is_process(address.pid, address.mark):
                with suppress(ProcessLookupError):
                    os.kill(address.pid, signal.SIGKILL)
            self._await(lambda: not is_process(address.pid, address.mark), STOP_SECONDS)
        folder.address_file.unlink(missing_ok=True)
        shutil.rmtree(folder.work_dir, ignore_errors=True)

    def _launch(self) -> None:
        launch, env = prepare(self._settings, self._progress)
        # It is a relative path if Python was found by one in PATH.
        python = Path(sys.executable).absolute()
        started = subprocess.run(
            [str(python), "-m", "autoloader_dagster.spark.server.supervisor"],
            input=launch.to_json(),
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=env,
            cwd=self._folder.root,
            start_new_session=True,
            check=False,
            timeout=30,
        )
        if started.returncode != 0:
            raise SparkSetupError(
                f"the embedded Spark server's supervisor did not start:\n{started.stderr}",
                f"See {self._folder.root}.",
            )

    def _await(self, done: Callable[[], bool], seconds: float = START_SECONDS + 30) -> None:
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _know_secrets(self) -> None:
        """Have the secrets of the server's settings struck out of all texts of this process.

        Another process may have started it, with other settings than ours, and the server itself
        does not tell them.
        """
        with suppress(SparkSetupError):
            read_conf(self._folder.conf_file)

    def _end_of_log(self) -> str:
        self._know_secrets()
        try:
            lines = self._folder.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return "    (there is no log)"
        # What a person can use is not in the stack frames.
        telling = [line for line in lines if line.strip() and not line.startswith(("\t", "   "))]
        # Before they are cut, because half a secret is not known as one.
        return "\n".join(f"    {strike(line)[:300]}" for line in telling[-8:])


def _is_shared(path: Path) -> bool:
    """Whether somebody holds the lock in any way."""
    file = try_lock(path)
    if file is None:
        return True
    file.close()
    return False
