"""The plain dagster commands, from the repo's root, on the specs of a project."""

import json
import subprocess

from tests.fixtures.project import ROOT, Project

ONLY_MODULE = ("-m", "autoloader_dagster.definitions")


def _materialize(project: Project, *args: str, check: bool = True):
    return project.run("dagster", "asset", "materialize", *ONLY_MODULE, *args, check=check)


def test_a_range_loads_its_partitions_and_no_others(project: Project) -> None:
    project.write_spec(
        "daily",
        partition={
            "by": "path",
            "pattern": "{yyyy}-{MM}-{dd}.csv",
            "start": "2026-01-01",
        },
    )
    for day in (1, 2, 5, 9):
        (project.landing("daily") / f"2026-01-0{day}.csv").write_text(f"id\n{day}\n")
    before = _root_files()

    _materialize(
        project,
        "--select",
        f"{project.namespace}/daily",
        "--partition-range",
        "2026-01-01...2026-01-05",
    )
    assert project.ids("daily") == [1, 2, 5]
    _materialize(project, "--select", f"{project.namespace}/daily", "--partition", "2026-01-09")
    assert project.ids("daily") == [1, 2, 5, 9]
    keys = project.table("daily").column("_partition_key").to_pylist()
    assert sorted(keys) == [f"2026-01-0{day}" for day in (1, 2, 5, 9)]
    assert _root_files() == before, "the repo's root stays clean"
    assert project.untrue("daily") == []

    validated = project.run("dagster", "definitions", "validate")
    assert "Validation successful" in validated.stdout + validated.stderr


def test_named_keys_and_no_partitions(project: Project) -> None:
    project.write_spec("by_region", partition={"by": "path", "pattern": "region={region}/**"})
    for i, region in enumerate(("eu", "us", "ap")):
        folder = project.landing("by_region") / f"region={region}"
        folder.mkdir()
        (folder / "a.csv").write_text(f"id\n{i}\n")
    project.write_spec("whole", partition={"by": "none"})
    (project.landing("whole") / "a.csv").write_text("id\n7\n")

    done = project.run("autoloader_dagster.cli.app", "run", "by_region", "--json")
    assert json.loads(done.stdout)["rows"] == 3
    (project.landing("by_region") / "region=eu" / "b.csv").write_text("id\n9\n")
    _materialize(project, "--select", f"{project.namespace}/by_region", "--partition", "eu")
    _materialize(project, "--select", f"{project.namespace}/whole")

    assert project.ids("by_region") == [0, 1, 2, 9]
    assert set(project.table("by_region").column("_partition_key").to_pylist()) == {
        "eu",
        "us",
        "ap",
    }
    assert project.ids("whole") == [7]
    assert project.untrue("by_region", "whole") == []


def test_a_failed_load_fails_the_run_with_its_message(project: Project) -> None:
    project.write_spec(
        "missing",
        source={"type": "local", "url": str(project.root / "nowhere")},
        partition={"by": "none"},
    )

    failed = _materialize(project, "--select", f"{project.namespace}/missing", check=False)

    assert failed.returncode != 0
    said = failed.stdout + failed.stderr
    assert "default/missing" in said
    assert str(project.root / "nowhere") in said


def _root_files() -> set[str]:
    listed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(listed.stdout.splitlines())
