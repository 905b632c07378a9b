"""The embedded server's parent: starts Java, publishes its address, stops it when nobody uses it.

It outlives whoever started it, and while it lives it holds ``supervisor.lock``; the kernel frees
the lock however it ends, so nobody has to trust a process id. ``EmbeddedServer`` starts it with a
``Launch`` on its standard input. It stays small: neither pyspark nor Dagster is imported.
"""

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from autoloader_dagster.spark.server.address import ServerAddress, ServerFolder
from autoloader_dagster.spark.server.locks import is_locked, try_lock

KEPT_LOGS = 3
STOP_SECONDS = 10
TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"

_STARTED = re.compile(rb"Spark Connect server started at: \S+:(\d+)")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Launch:
    """What to run. The token comes in the environment, and Java gets it in the same way.

    Attributes:
        folder: The server's folder.
        command: Java and its arguments.
        mark: A word that only this command has.
        start_seconds: Java is given up if it takes no calls by then.
        idle_seconds: Java is stopped when nobody has had a session for so long.
    """

    folder: str
    command: list[str]
    mark: str
    start_seconds: float
    idle_seconds: float

    def to_json(self) -> str:
        """As ``main`` reads it."""
        return json.dumps(asdict(self))


class Supervisor:
    """One Java process, from its start to its end."""

    def __init__(self, launch: Launch, log: IO[bytes], lock: IO[bytes]) -> None:
        self._launch = launch
        self._folder = ServerFolder(Path(launch.folder))
        self._log = log
        self._lock = lock
        self._java: subprocess.Popen[bytes] | None = None
        self._in_use_lock: IO[bytes] | None = None

    def run(self) -> int:
        """Start Java and stay until it has ended; 0 if it took calls."""
        signal.signal(signal.SIGTERM, lambda *_: self._stop("told to stop"))
        self._java = java = subprocess.Popen(
            self._launch.command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=self._folder.work_dir,
            preexec_fn=signal_with_parent(signal.SIGKILL),
        )
        try:
            port = self._wait_until_started(java)
            if port is not None:
                self._folder.write_address(
                    ServerAddress(
                        url=f"sc://127.0.0.1:{port}",
                        pid=java.pid,
                        port=port,
                        token=os.environ[TOKEN_VARIABLE],
                        supervisor_pid=os.getpid(),
                        mark=self._launch.mark,
                    )
                )
                threading.Thread(target=self._stop_when_idle, daemon=True).start()
            code = java.wait()
        finally:
            self._withdraw()
            java.kill()
        self._say(f"Java has ended with code {code}")
        return 0 if port is not None else 1

    def _wait_until_started(self, java: "subprocess.Popen[bytes]") -> int | None:
        deadline = time.monotonic() + self._launch.start_seconds
        with self._folder.log_file.open("rb") as log:
            seen = b""
            while java.poll() is None:
                seen += log.read()
                if match := _STARTED.search(seen):
                    return int(match[1])
                if time.monotonic() > deadline:
                    self._stop(f"no start within {self._launch.start_seconds:.0f} s")
                    return None
                time.sleep(0.1)
        return None

    def _stop_when_idle(self) -> None:
        """A session holds the lock shared, and touches its file when it begins and when it ends.

        A home that was removed, or made again, has no more use for this server either.
        """
        lock = self._folder.in_use_lock
        interval = min(5.0, self._launch.idle_seconds / 4)
        last_use, touched = time.monotonic(), 0
        # The home may be gone already, which the loop finds out.
        with suppress(OSError):
            touched = lock.stat().st_mtime_ns
        while True:
            time.sleep(interval)
            if not self._home_is_there():
                self._stop("its home was removed")
                return
            try:
                held = try_lock(lock)
                changed = lock.stat().st_mtime_ns
            except OSError:  # removed in this moment
                continue
            # Compared with itself only: the clock on the wall may jump.
            if held is None or changed != touched:
                last_use, touched = time.monotonic(), changed
            elif time.monotonic() - last_use >= self._launch.idle_seconds:
                # Kept to the end of this process: who wants a session now waits, and starts one.
                self._in_use_lock = held
                self._withdraw()
                self._stop(f"nobody had a session for {self._launch.idle_seconds:.0f} s")
                return
            if held is not None:
                held.close()

    def _home_is_there(self) -> bool:
        """Whether the lock that this process holds is still the one of the home."""
        try:
            held, there = os.fstat(self._lock.fileno()), self._folder.supervisor_lock.stat()
        except OSError:
            return False
        return os.path.samestat(held, there)

    def _withdraw(self) -> None:
        """Remove the address, unless it is that of a server that has come since."""
        address = self._folder.read_address()
        if address is not None and address.mark == self._launch.mark:
            self._folder.address_file.unlink(missing_ok=True)

    def _stop(self, reason: str) -> None:
        if self._java is None:
            raise SystemExit(0)
        self._say(f"stopping Java: {reason}")
        self._java.terminate()
        killer = threading.Timer(STOP_SECONDS, self._java.kill)
        killer.daemon = True
        killer.start()

    def _say(self, text: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        os.write(self._log.fileno(), f"{stamp} supervisor: {text}\n".encode())


def signal_with_parent(number: int) -> Callable[[], object] | None:
    """What a new process calls to get this signal when its parent ends, however that ends.

    None where the system has no such thing (macOS).
    """
    if sys.platform != "linux":
        return None
    # Loaded here, for little is safe to do between fork and exec.
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, number)


def _open_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    for number in range(KEPT_LOGS, 0, -1):
        older = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b")


def _detach(log: IO[bytes]) -> None:
    """Let go of the starter: its pipes, and being its child."""
    if os.fork() > 0:
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, sys.stdin.fileno())
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log.fileno(), stream.fileno())
    os.close(nothing)


def main() -> int:
    """Take the lock, leave the starter, and look after one server."""
    launch = Launch(**json.load(sys.stdin))
    folder = ServerFolder(Path(launch.folder))
    lock = try_lock(folder.supervisor_lock)
    while lock is None:
        # Those who only look hold it for a moment; another supervisor holds it for good.
        if is_locked(folder.supervisor_lock):
            return 0
        lock = try_lock(folder.supervisor_lock)
    log = _open_log(folder.log_file)
    _detach(log)
    # The child has the lock by inheritance; Java does not, for Python closes files across exec.
    with lock, log:
        return Supervisor(launch, log, lock).run()


if __name__ == "__main__":
    sys.exit(main())
