"""The README and the how-to pages are right: specs load, commands exist, links lead somewhere."""

import re
import shlex
import textwrap
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
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_scripts_that_the_readme_names_are_there_and_run_by_themselves() -> None:
    for name in re.findall(r"^script/[a-z]+", "\n".join(_blocks("bash")), re.MULTILINE):
        assert (ROOT / name).stat().st_mode & 0o111, name


PAGES = sorted((ROOT / "docs" / "how_to").glob("*.md"))


def _fenced(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [
        textwrap.dedent(body) for body in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_specs_of_a_page_load(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(_fenced(page, "yaml")):
        is_spec = "\nsource:" in f"\n{text}"
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / ("orders.yaml" if is_spec else "_connections.yaml")).write_text(text)
        loaded = load_specs(folder)
        assert loaded.faults == ()
        assert [spec.spec.name for spec in loaded.specs] == (["orders"] if is_spec else [])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    group = typer.main.get_command(app)
    for block in _fenced(page, "bash"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] != ["autoloader"]:
                continue
            command = group.commands[words[1]]  # pyright: ignore[reportAttributeAccessIssue]
            rest = words[2:]
            if getattr(command, "commands", None):
                command, rest = command.commands[rest[0]], rest[1:]
            options = {name for parameter in command.params for name in parameter.opts}
            assert {word for word in rest if word.startswith("--")} <= options, line


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "how_to" / "README.md").read_text()
    assert [
        page.name for page in PAGES if page.name != "README.md" and page.name not in index
    ] == []
