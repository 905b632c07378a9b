"""``up``: Dagster's web UI and daemon with this project, kept running."""

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from autoloader_dagster.cli.doctor import UI_PORT, port_error
from autoloader_dagster.cli.output import say, warn
from autoloader_dagster.cli.project import open_state
from autoloader_dagster.cli.supervise import keep_running
from autoloader_dagster.errors import UsageError
from autoloader_dagster.settings import load_settings
from autoloader_dagster.spark.server.address import is_loopback
from autoloader_dagster.web.guard import GuardRules


def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web UI.")] = UI_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A name under which a proxy passes requests on. May be repeated."),
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only",
            help="Show everything in the UI and change nothing: no daemon, so nothing is loaded.",
        ),
    ] = False,
) -> None:
    """Start the Dagster UI and the daemon, which runs sensors and schedules.

    With --read-only only the UI: no sensor, schedule or queued run starts here.
    Should one of their processes die, it is started again. The UI has no login: docs/security.md
    says how to put one in front.

    Example: autoloader up --port 3001 --read-only
    """
    _check_port(host, port)
    settings = load_settings()
    from autoloader_dagster.orchestration.home import (
        default_workspace,
        ensure_dagster_home,
        only_up_on,
    )

    home = ensure_dagster_home(settings)
    open_state(settings).close()
    hosts = ("localhost", host.lower(), *(name.lower() for name in allowed_host or ()))
    rules = GuardRules(hosts, read_only)
    if not is_loopback(host) and not read_only:
        warn(
            f"warning: {host} is not this machine alone. Whoever reaches port {port} can start "
            "runs and remove rows, because the UI has no login. Put one in front "
            "(docs/security.md), or use --read-only."
        )
    own = not names_the_code(Path.cwd())
    workspace = ["-w", str(default_workspace(home))] if own else []
    say(f"Dagster keeps its runs in {home}; Ctrl-C ends it")
    # Dagster would first say that its 'dg' is the newer command, which knows no such project.
    quiet = ["-W", "ignore::FutureWarning"]
    # The web server alone starts code servers too, but no daemon: a second one would work the run
    # queue of another installation that shares Dagster's database.
    program = "dagster_webserver" if read_only else "dagster_dev"
    command = [
        sys.executable,
        *quiet,
        "-m",
        f"autoloader_dagster.web.{program}",
        "-h",
        host,
        "-p",
        str(port),
        *workspace,
    ]
    with only_up_on(home):
        raise typer.Exit(keep_running(command, host, port, rules, python_path(own)))


def _check_port(host: str, port: int) -> None:
    error = port_error(host, port)
    if error is None:
        return
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        raise UsageError(
            f"{place} cannot be listened on; another program has the port, perhaps another "
            "'autoloader up'",
            f"End that program, or choose another port: autoloader up --port {_other(port)}.",
        )
    raise UsageError(
        f"{place} cannot be listened on: {error.strerror or error}",
        "Set --host to an address of this machine, such as 127.0.0.1 or ::1, and --port to a port "
        "that this user may use.",
    )


def _other(port: int) -> int:
    return port + 1 if port < 65535 else port - 1


def python_path(own_code: bool) -> dict[str, str]:
    """What keeps the modules of the working folder from being taken for Dagster's (Python 3.11).

    Args:
        own_code: Whether the code location is ours; that of another project may be in the folder.
    """
    return {"PYTHONSAFEPATH": "1"} if own_code else {}


def names_the_code(folder: Path) -> bool:
    """Whether Dagster finds the code location by itself, as it looks for it."""
    if (folder / "workspace.yaml").is_file():
        return True
    project = folder / "pyproject.toml"
    return project.is_file() and "[tool.dagster]" in project.read_text()
