"""``up``: Dagster's web UI and daemon with this project, kept running."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from autoloader_dagster.cli.doctor import UI_PORT, is_free
from autoloader_dagster.cli.output import say
from autoloader_dagster.cli.project import open_state
from autoloader_dagster.cli.supervise import keep_running
from autoloader_dagster.errors import UsageError
from autoloader_dagster.settings import load_settings


def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web UI.")] = UI_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Start the Dagster UI and the daemon, which runs sensors and schedules.

    Should one of their processes die, it is started again.
    """
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
    raise typer.Exit(keep_running(command, host, port))


def _other(port: int) -> int:
    return port + 1 if port < 65535 else port - 1


def _names_the_code(folder: Path) -> bool:
    """Whether Dagster finds the code location by itself, as it looks for it."""
    if (folder / "workspace.yaml").is_file():
        return True
    project = folder / "pyproject.toml"
    return project.is_file() and "[tool.dagster]" in project.read_text()
