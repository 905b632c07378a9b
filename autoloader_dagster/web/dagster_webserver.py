"""Dagster's own web server with the guard before it; takes the same arguments."""

import os
from typing import Any

import dagster_webserver.cli as webserver
from dagster_webserver.app import create_app_from_workspace_process_context

from autoloader_dagster.web.guard import VARIABLE, Guard, GuardRules


def main() -> None:
    """Serve until a signal or the parent ends it."""
    rules = GuardRules.from_json(os.environ[VARIABLE])

    def create_guarded(*args: Any, **kwargs: Any) -> Any:
        app = create_app_from_workspace_process_context(*args, **kwargs)
        app.add_middleware(Guard, rules=rules)  # pyright: ignore[reportArgumentType]
        return app

    # Dagster's command has no option for it. 'up' asks the running server whether it has the guard.
    module: Any = webserver
    module.create_app_from_workspace_process_context = create_guarded
    webserver.main()


if __name__ == "__main__":
    main()
