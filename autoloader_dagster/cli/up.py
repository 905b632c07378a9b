"""``up``: Dagster's web UI and daemon with this project, in one process group."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from autoloader_dagster.cli.doctor import UI_PORT, is_free
from autoloader_dagster.cli.output import say
from autoloader_dagster.cli.project import open_state
from autoloader_dagster.errors import UsageError
from autoloader_dagster.settings import load_settings

_START_SECONDS = 120
_POLL_SECONDS = 0.25


def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web UI.")] = UI_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Start the Dagster UI and the daemon, which runs sensors and schedules."""
    if not is_free(host, port):
        raise UsageError(
            f"{host}:{port} cannot be listened on; another program has the port, perhaps another "
            "'autoloader up'",
            f"End that program, or choose another port: autoloader up --port {_other(port)}.",
        )
    settings = load_settings()
    from autoloader_dagster.orchestration.home import default_workspace, ensure_dagster_home

    home = ensure_dagster_home(settings)
    open_state(settings).close()
    workspace = [] if _names_the_code(Path.cwd()) else ["-w", str(default_workspace(home))]
    say(f"Dagster keeps its runs in {home}; Ctrl-C ends it")
    # Dagster would first say that its 'dg' is the newer command, which knows no such project.
    quiet = ["-W", "ignore::FutureWarning"]
    command = [
        sys.executable,
        *quiet,
        "-m",
        "dagster",
        "dev",
        "-h",
        host,
        "-p",
        str(port),
        *workspace,
    ]
    raise typer.Exit(_run(command, host, port))


def _other(port: int) -> int:
    return port + 1 if port < 65535 else port - 1


def _names_the_code(folder: Path) -> bool:
    """Whether Dagster finds the code location by itself, as it looks for it."""
    if (folder / "workspace.yaml").is_file():
        return True
    project = folder / "pyproject.toml"
    return project.is_file() and "[tool.dagster]" in project.read_text()


def _run(command: list[str], host: str, port: int) -> int:
    """Run Dagster to its end; its exit code."""
    ended_by: list[int] = []
    started: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        ended_by.append(number)
        for child in started:
            # Dagster ends its own children by SIGINT, whatever it was ended by.
            child.send_signal(signal.SIGINT)

    # Before the start: a shell has its background jobs ignore SIGINT, and a child would inherit
    # that and never end; a signal with a handler is the default's again in the child.
    before = {
        number: signal.signal(number, pass_on)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        # A session of its own, so that it gets each signal once, from us, however it was sent.
        child = subprocess.Popen(command, start_new_session=True)
        started.append(child)
        _tell_when_up(child, host, port)
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if ended_by:
        return 128 + ended_by[0]
    if code != 0:
        raise UsageError(f"Dagster ended with exit code {code}", "Its own messages above say why.")
    return 0


def _tell_when_up(child: "subprocess.Popen[bytes]", host: str, port: int) -> None:
    from autoloader_dagster.spark.address import answers

    deadline = time.monotonic() + _START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        if answers(_reachable(host), port, timeout=1) is None:
            say(f"\n  Dagster UI: http://{_reachable(host)}:{port}")
            say("  Catalog: the tables and their partitions. Automation: sensors and schedules.")
            say("  Runs: what was loaded, and what was not.\n")
            return
        time.sleep(_POLL_SECONDS)


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
