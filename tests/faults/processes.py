"""Workers as processes that a case gives jobs to, and kills."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
JOB_SECONDS = 240
START_SECONDS = 60


class Worker:
    """A process that does jobs; see ``tests.faults.worker``.

    Args:
        address: Of the process that forks workers.
        log: Where their errors go.
    """

    def __init__(self, address: Path, log: Path) -> None:
        self.log = log
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(address))
        self._jobs = self._socket.makefile("w")
        self.busy = False
        self._lines: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        first = self._next(START_SECONDS)
        if first is None:
            raise RuntimeError(f"the worker did not start: {log.read_text()[-2000:]}")
        self.pid: int = first["pid"]

    def begin(self, job: Mapping[str, Any]) -> None:
        """Give it a job; ``answer`` waits for its end."""
        assert not self.busy
        self.busy = True
        with suppress(BrokenPipeError):  # it is dead, and so has no answer
            self._jobs.write(json.dumps(job) + "\n")
            self._jobs.flush()

    def answer(self, seconds: float = JOB_SECONDS) -> dict[str, Any] | None:
        """What came of the job; None if the process ended before it was done."""
        # Without an answer it stays busy, and is not used again.
        answer = self._next(seconds)
        self.busy = False
        return answer

    def do(self, job: Mapping[str, Any], seconds: float = JOB_SECONDS) -> dict[str, Any] | None:
        """Have a job done."""
        self.begin(job)
        return self.answer(seconds)

    def send(self, what: signal.Signals) -> None:
        """Send a signal; it may be dead already."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, what)

    @property
    def idle(self) -> bool:
        """Whether it has answered, or has never had a job."""
        return not self.busy or not self._lines.empty()

    @property
    def alive(self) -> bool:
        """Whether the process is there; its end of the connection closes with it."""
        return self._reader.is_alive()

    @property
    def stopped(self) -> bool:
        """Whether it stands still, by SIGSTOP."""
        return self.alive and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    def wait(self, seconds: float = 30) -> None:
        """Wait until it is dead."""
        self._reader.join(seconds)
        assert not self.alive, f"worker {self.pid} still lives"

    def close(self) -> None:
        """End it."""
        if self.alive:
            self.send(signal.SIGKILL)
        self.wait()
        with suppress(BrokenPipeError):
            self._jobs.close()
        self._socket.close()

    def _read(self) -> None:
        with suppress(ConnectionResetError), self._socket.makefile("r") as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def _next(self, seconds: float) -> dict[str, Any] | None:
        try:
            line = self._lines.get(timeout=seconds)
        except Empty:
            self.send(signal.SIGUSR1)
            time.sleep(1)  # while it writes down where it stands
            raise AssertionError(
                f"no answer within {seconds} s from worker {self.pid}; its log: "
                f"{self.log.read_text()[-8000:]}"
            ) from None
        if line is None:
            self._lines.put(None)
            return None
        return json.loads(line)


class Workers:
    """Workers that wait for jobs; those that lived through one do the next.

    Args:
        log: Where their errors go.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._idle: list[Worker] = []
        self._lock = threading.Lock()
        self._forks: subprocess.Popen[str] | None = None
        # A path of its own: the address of a socket may have some hundred characters only.
        self._folder = Path(tempfile.mkdtemp(prefix="autoloader-workers-"))
        self._address = self._folder / "socket"

    def take(self) -> Worker:
        """A worker, which goes back by ``give_back``."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if self._forks is None:
                self._forks = self._start()
        return Worker(self._address, self._log)

    def _start(self) -> "subprocess.Popen[str]":
        clean = {k: v for k, v in os.environ.items() if k != "SPARK_REMOTE"}
        with self._log.open("ab") as log:
            forks = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.worker", str(self._address)],
                cwd=ROOT,
                env=clean,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert forks.stdout is not None
        if not forks.stdout.readline():
            raise RuntimeError(f"workers cannot be forked: {self._log.read_text()[-2000:]}")
        return forks

    def give_back(self, worker: Worker) -> None:
        """It is used again if it lives and has nothing to do."""
        if worker.alive and not worker.busy:
            with self._lock:
                self._idle.append(worker)
        else:
            worker.close()

    @contextmanager
    def one(self) -> Iterator[Worker]:
        """A worker for the block; it is used again if it has survived it."""
        worker = self.take()
        try:
            yield worker
        finally:
            self.give_back(worker)

    def close(self) -> None:
        """End them all."""
        with self._lock:
            for worker in self._idle:
                worker.close()
            self._idle.clear()
        if self._forks is not None:
            self._forks.communicate(timeout=30)
        shutil.rmtree(self._folder)
