"""Dagster's home: the project's dagster.yaml is linked into it, or the default one put there."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from autoloader_dagster.errors import UsageError
from autoloader_dagster.orchestration.home import default_workspace, ensure_dagster_home, only_up_on
from tests.fixtures.spark import settings_for

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "")
    return tmp_path


def test_the_projects_own_settings_are_linked(here: Path) -> None:
    (here / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    settings = settings_for(here / ".autoloader")
    for _ in range(2):
        home = ensure_dagster_home(settings)
    assert home == here / ".autoloader" / "dagster"
    assert (home / "dagster.yaml").readlink() == here / "dagster.yaml"
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


def test_the_default_settings_give_way_to_the_projects(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(here / ".autoloader")
    config = ensure_dagster_home(settings) / "dagster.yaml"
    assert config.read_text() == (_ROOT / "dagster.yaml").read_text()
    (here / "dagster.yaml").write_text("nux: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", "")
    ensure_dagster_home(settings)
    assert config.readlink() == here / "dagster.yaml"


def test_settings_that_were_put_there_by_hand_stay(here: Path) -> None:
    settings = settings_for(here / ".autoloader")
    settings.dagster_home.mkdir(parents=True)
    (settings.dagster_home / "dagster.yaml").write_text("# mine\n")
    (here / "dagster.yaml").write_text("nux: {enabled: false}\n")
    assert (ensure_dagster_home(settings) / "dagster.yaml").read_text() == "# mine\n"


def test_a_dagster_home_that_is_set_is_used_as_it_is(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "dagster.yaml").write_text("nux: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(here / "own"))
    home = ensure_dagster_home(settings_for(here / ".autoloader"))
    assert home == here / "own"
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("name", ["what?", "a[1]", "a*"])
def test_a_home_whose_settings_dagster_would_not_find_is_refused(here: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"DAGSTER_HOME is .*, and its path contains a [?[*]"):
        ensure_dagster_home(replace(settings_for(here), home=here / name))
    assert list(here.iterdir()) == []


def test_a_home_that_cannot_be_made_is_an_error_that_names_it(here: Path) -> None:
    (here / "file").write_text("")
    with pytest.raises(UsageError, match=r"Dagster's home .*file/dagster cannot be made"):
        ensure_dagster_home(settings_for(here / "file"))


def test_the_repositorys_files_are_the_defaults(here: Path) -> None:
    settings = settings_for(here / ".autoloader")
    workspace = default_workspace(ensure_dagster_home(settings))
    assert workspace.read_text() == (_ROOT / "workspace.yaml").read_text()
    (location,) = yaml.safe_load(workspace.read_text())["load_from"]
    assert location["python_module"]["location_name"] == "autoloader_dagster"
    assert 'code_location_name = "autoloader_dagster"' in (_ROOT / "pyproject.toml").read_text()


def test_only_one_up_has_a_home(here: Path) -> None:
    home = here / "home" / "dagster"
    with only_up_on(home):
        with (
            pytest.raises(UsageError, match=rf"another 'autoloader up' \(process {os.getpid()}\)"),
            only_up_on(home),
        ):
            pass
        with only_up_on(here / "other"):
            pass
    with only_up_on(home):
        pass
