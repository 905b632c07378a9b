"""What the README says is so: its specs load, its commands exist, its links lead somewhere."""

import re
from pathlib import Path

import pytest
import typer

from autoloader_dagster.cli.app import app
from autoloader_dagster.specs.loader import load_specs

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def _commands() -> set[str]:
    group = typer.main.get_command(app)
    found = set()
    for name, command in group.commands.items():  # pyright: ignore[reportAttributeAccessIssue]
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}" for sub in inner} if inner else {name}
    return found


def test_the_spec_of_five_minutes_is_a_good_spec(tmp_path: Path) -> None:
    spec, connections = _blocks("yaml")
    (tmp_path / "orders.yaml").write_text(spec)
    (tmp_path / "_connections.yaml").write_text(connections)
    loaded = load_specs(tmp_path)
    assert loaded.faults == ()
    assert loaded.get("orders").spec.table.name == "lake.shop.orders"
    assert loaded.connections.names("default") == ["landing"]


@pytest.mark.parametrize("command", sorted(_commands()))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"autoloader (?:[a-z]+`? and `autoloader )?{command}\b", README) or (
        command == "demo" and "script/demo" in README
    )


def test_every_command_of_the_readme_exists() -> None:
    said = set(re.findall(r"autoloader ((?:db|spark) [a-z]+|[a-z]+)", "\n".join(_blocks("bash"))))
    assert said <= _commands() | {"demo"}


def test_every_setting_is_in_the_readme() -> None:
    settings = (ROOT / "autoloader_dagster" / "settings.py").read_text()
    names = set(re.findall(r"\b(?:AUTOLOADER_[A-Z_]+|SPARK_REMOTE)\b", settings))
    assert names
    assert {name for name in names if name not in README} == set()


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_scripts_that_the_readme_names_are_there_and_run_by_themselves() -> None:
    for name in re.findall(r"^script/[a-z]+", "\n".join(_blocks("bash")), re.MULTILINE):
        assert (ROOT / name).stat().st_mode & 0o111, name
