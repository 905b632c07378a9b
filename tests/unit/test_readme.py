"""The README and the how-to pages are right: specs load, commands exist, links lead somewhere."""

import re
import shlex
import textwrap
from pathlib import Path

import pytest

from autoloader_dagster.specs.loader import load_specs
from tests.integration.cli_steps import commands

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_spec_of_five_minutes_is_a_good_spec(tmp_path: Path) -> None:
    spec, connections = _blocks("yaml")
    (tmp_path / "orders.yaml").write_text(spec)
    (tmp_path / "_connections.yaml").write_text(connections)
    loaded = load_specs(tmp_path)
    assert loaded.faults == ()
    assert loaded.get("orders").spec.table.name == "lake.shop.orders"
    assert loaded.connections.names("default") == ["landing"]


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"autoloader (?:[a-z]+`? and `autoloader )?{command}\b", README) or (
        command == "demo" and "script/demo" in README
    )


def test_every_command_of_the_readme_exists() -> None:
    said = set(re.findall(r"autoloader ((?:db|spark) [a-z]+|[a-z]+)", "\n".join(_blocks("bash"))))
    assert said <= commands().keys() | {"demo"}


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
    known = commands()
    for block in _fenced(page, "bash"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] != ["autoloader"]:
                continue
            command = known.get(words[1]) or known[" ".join(words[1:3])]
            options = {
                name
                for parameter in command.params
                if not getattr(parameter, "hidden", False)
                for name in parameter.opts
            }
            assert {word for word in words if word.startswith("--")} <= options, line


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "how_to" / "README.md").read_text()
    assert [
        page.name for page in PAGES if page.name != "README.md" and page.name not in index
    ] == []
