"""``dagster dev`` with our web server in the place of Dagster's own; takes the same arguments."""

import os
import subprocess
from typing import Any

import dagster._cli.dev as dev
from dagster_shared.ipc import open_ipc_subprocess

from autoloader_dagster.orchestration.instance import open_instance

_THEIRS = ["-m", "dagster_webserver"]
_OURS = ["-m", "autoloader_dagster.web.dagster_webserver"]


def _open(command: list[str], **kwargs: Any) -> "subprocess.Popen[Any]":
    if command[1:3] == _THEIRS:
        command = [command[0], *_OURS, *command[3:]]
    return open_ipc_subprocess(command, **kwargs)


def main() -> None:
    """Run until a signal ends it."""
    # Dagster's command has no option for it. 'up' asks the running server whether it has the guard.
    module: Any = dev
    module.open_ipc_subprocess = _open
    if os.environ.get("DAGSTER_HOME"):
        # Before Dagster opens it, because a command that loads files may do so now too.
        with open_instance():
            pass
    dev.dev_command()


if __name__ == "__main__":
    main()
