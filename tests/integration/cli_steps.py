"""A project folder on which the tests run the ``autoloader`` command, as a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
import yaml

from autoloader_dagster.cli.app import app
from tests.fixtures.forks import FORKED
from tests.fixtures.spark import remote_of_home

_SECONDS = 120


def commands() -> dict[str, Any]:
    """Every command by what is typed for it, such as ``db upgrade``."""
    found: dict[str, Any] = {}
    for name, command in vars(typer.main.get_command(app))["commands"].items():
        inner = getattr(command, "commands", {})
        found |= {f"{name} {sub}": each for sub, each in inner.items()} or {name: command}
    return found


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which must be one JSON document and nothing else."""
        return json.loads(self.out)


@dataclass
class Project:
    """A folder with specs and files, and the environment of its commands."""

    root: Path
    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def specs(self) -> Path:
        path = self.root / "ingestion_specs"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def folder(self, name: str = "in") -> Path:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def spec(self, name: str, **parts: Any) -> None:
        """Write a spec with the smallest sensible rest."""
        text = {
            "source": {"type": "local", "url": "../in"},
            "format": {"type": "csv"},
            "table": {"name": f"lake.cli.{name}"},
            **parts,
        }
        (self.specs / f"{name}.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")

    def env(self, **more: str) -> dict[str, str]:
        """Nothing of the developer's own settings."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AUTOLOADER_", "DAGSTER_", "SPARK_", "COLUMNS"))
        }
        home = {"AUTOLOADER_HOME": str(self.home), **remote_of_home(self.home)}
        return {**kept, **home, **self.environ, **more}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "autoloader_dagster.cli.app", *arguments]

    def run(self, *arguments: str, **environ: str) -> Done:
        """Run a command to its end; forked, where its environment allows that."""
        env = self.env(**environ)
        if FORKED.can_run(env):
            done = FORKED.run(arguments, self.root, env, _SECONDS)
        else:
            done = subprocess.run(
                self.command(*arguments),
                cwd=self.root,
                env=env,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)
