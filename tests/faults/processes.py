"""Workers as processes that a case gives jobs to, and kills."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
JOB_SECONDS = 240


class Worker:
    """A process that does jobs; see ``tests.faults.worker``.

    Args:
        log: Where its errors go.
        environ: More of its environment.
        command: What comes before the interpreter, such as a clock that is wrong.
    """

    def __init__(
        self, log: Path, environ: Mapping[str, str] | None = None, command: tuple[str, ...] = ()
    ) -> None:
        clean = {k: v for k, v in os.environ.items() if k not in ("SPARK_REMOTE",)}
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [*command, sys.executable, "-m", "tests.faults.worker"],
                cwd=ROOT,
                env={**clean, **(environ or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._lines: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        first = self._next(60)
        if first is None:
            raise RuntimeError(f"the worker did not start: {log.read_text()[-2000:]}")
        # A command in front of the interpreter may have forked.
        self.pid: int = first["pid"]

    def begin(self, job: Mapping[str, Any]) -> None:
        """Give it a job; ``answer`` waits for its end."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()

    def answer(self, seconds: float = JOB_SECONDS) -> dict[str, Any] | None:
        """What came of the job; None if the process ended before it was done."""
        return self._next(seconds)

    def do(self, job: Mapping[str, Any], seconds: float = JOB_SECONDS) -> dict[str, Any] | None:
        """Have a job done."""
        self.begin(job)
        return self.answer(seconds)

    def send(self, what: signal.Signals) -> None:
        """Send a signal; it may be dead already."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, what)

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether it stands still, by SIGSTOP."""
        return self.alive and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    def close(self) -> None:
        """End it."""
        if self.alive:
            self.send(signal.SIGCONT)
            self.process.kill()
        self.process.wait(30)
        self._reader.join(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _next(self, seconds: float) -> dict[str, Any] | None:
        try:
            line = self._lines.get(timeout=seconds)
        except Empty:
            raise AssertionError(
                f"no answer within {seconds} s from worker {self.process.pid}; "
                f"its log: {self.log.read_text()[-2000:]}"
            ) from None
        if line is None:
            self.process.wait(30)
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

    @contextmanager
    def one(self) -> Iterator[Worker]:
        """A worker for the block; it is used again if it has survived it."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or Worker(self._log)
        try:
            yield worker
        except BaseException:
            worker.close()
            raise
        if worker.alive:
            with self._lock:
                self._idle.append(worker)
        else:
            worker.close()

    def close(self) -> None:
        """End them all."""
        with self._lock:
            for worker in self._idle:
                worker.close()
            self._idle.clear()
