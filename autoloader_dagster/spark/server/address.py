"""Where the embedded server of one home is: the folder's file names, and the address in it.

Imported by the supervisor, so only the standard library and our own light modules.
"""

import ipaddress
import json
import os
import socket
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ServerAddress:
    """A running server.

    Attributes:
        url: ``sc://127.0.0.1:PORT``, without the token.
        pid: The Java process.
        port: On 127.0.0.1.
        token: What a client must show.
        supervisor_pid: The process that looks after the Java process.
        mark: Stands in the Java process's command line and nowhere else, so that a process that got
            the same pid later is not taken for it.
    """

    url: str
    pid: int
    port: int
    token: str = field(repr=False)
    supervisor_pid: int
    mark: str


@dataclass(frozen=True)
class ServerFolder:
    """The files of the embedded server, all below ``Settings.spark_dir``."""

    root: Path

    @property
    def address_file(self) -> Path:
        """There while the server takes calls."""
        return self.root / "server.json"

    @property
    def start_lock(self) -> Path:
        """Held by the one process that starts or stops a server."""
        return self.root / "start.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held for as long as a supervisor lives."""
        return self.root / "supervisor.lock"

    @property
    def in_use_lock(self) -> Path:
        """Shared by all who have a session; its time of change is the last use."""
        return self.root / "in_use.lock"

    @property
    def conf_file(self) -> Path:
        """The settings that the server was started with."""
        return self.root / "spark.conf"

    @property
    def log4j_file(self) -> Path:
        """The logging that the server was started with."""
        return self.root / "log4j2.properties"

    @property
    def work_dir(self) -> Path:
        """The server's working folder; emptied at each start."""
        return self.root / "work"

    @property
    def log_file(self) -> Path:
        """The newest log; older ones are beside it, with numbers."""
        return self.root / "logs" / "server.log"

    def read_address(self) -> ServerAddress | None:
        """The address in the file; None if there is none that this version wrote."""
        try:
            return ServerAddress(**json.loads(self.address_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write_address(self, address: ServerAddress) -> None:
        """Put the address there in one step, for the owner's eyes only."""
        fresh = self.address_file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(address), file)
        fresh.replace(self.address_file)


def answers(host: str, port: int, timeout: float) -> OSError | None:
    """Why a TCP connection cannot be made within the timeout (seconds); None if it can."""
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return None
    except OSError as error:
        return error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_process(pid: int, mark: str) -> bool:
    """Whether this pid is alive and is the process with the mark in its command line."""
    proc = Path("/proc")
    if (proc / "self" / "cmdline").exists():
        try:
            return mark.encode() in (proc / str(pid) / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return False
    # macOS
    shown = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return mark in shown.stdout
