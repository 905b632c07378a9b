"""A new kind of source needs its own module and one line of the registry, and nothing else."""

import json
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from autoloader_dagster.sources.local.kind import LocalSource
from autoloader_dagster.specs.registry import SOURCES
from autoloader_dagster.specs.tenants import TenantRules
from tests.fixtures.project import ROOT, Project

# The line of the registry is written before anything is imported that builds the model of a spec.
_REGISTERED = """
from autoloader_dagster.specs.registry import SOURCES
SOURCES["memory"] = "tests.fixtures.memory_source"
from tests.integration.test_new_source import load_from_memory
load_from_memory()
"""


def _lines(*ids: int) -> bytes:
    return "".join(f'{{"id": {i}}}\n' for i in ids).encode()


def load_from_memory() -> None:
    """Put files into the memory of this process, load them with our own commands, print the rest.

    ``test_files_of_a_new_kind_of_source_are_staged_and_loaded`` calls it in a process of its own.
    """
    from autoloader_dagster.cli.app import app
    from tests.fixtures.memory_source import MEMORY

    def command(*arguments: str) -> Any:
        done = CliRunner().invoke(app, [*arguments, "--json"])
        # One spec is wrong and one file is bad, so not every command ends with 0.
        assert isinstance(done.exception, SystemExit | None), (arguments, done.output)
        return json.loads(done.stdout)

    MEMORY.put("memory://drop/in/1.json", _lines(1, 2))
    MEMORY.put("memory://drop/in/_2.json", _lines(3))
    MEMORY.put("memory://drop/in/bad.json", b'{"id": ')
    MEMORY.put("memory://drop/out/3.json", _lines(4))
    MEMORY.put("memory://drop/small/1.csv", b"id\n5\n")
    found = {
        "validate": command("validate"),
        "doctor": command("doctor"),
        "preview": command("preview", "events"),
        "run": command("run", "events", "small"),
    }
    sys.stdout.write(json.dumps(found))


def test_files_of_a_new_kind_of_source_are_staged_and_loaded(project: Project) -> None:
    project.write_connections(
        memory={"type": "memory", "token": "env:MEMORY_TOKEN"}, bucket={"type": "s3"}
    )
    source = {"type": "memory", "url": "memory://drop/in/", "connection": "memory"}
    project.write_spec("events", source=source, format={"type": "json"})
    project.write_spec("small", source={**source, "url": "memory://drop/small/"})
    project.write_spec("wrong", source={**source, "connection": "bucket"})
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _REGISTERED],
        cwd=ROOT,
        env={**project.environ, "MEMORY_TOKEN": "open-sesame"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "'bucket' is a connection of type: s3" in str(found["validate"])
    source = "source of default/events"
    looks = {check["name"]: check["status"] for check in found["doctor"]["checks"]}
    assert looks[source] == "ok"
    assert [row["id"] for row in found["preview"]["rows"]] == [1, 2, 3]
    files = [run["files"] for run in found["run"]["runs"]]
    assert [(each["loaded"], each["quarantined"]) for each in files] == [(2, 1), (1, 0)]
    assert project.ids("events") == [1, 2, 3]
    paths = project.table("events").column("_source_file").to_pylist()
    assert set(paths) == {"memory://drop/in/1.json", "memory://drop/in/_2.json"}
    assert project.ids("small") == [5]
    assert list(project.settings.staging_dir.glob("*")) == []


def test_other_sections_know_the_addresses_of_a_new_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "memory://drop/acme/"
    with pytest.raises(ValidationError, match="is not a bucket or a prefix"):
        TenantRules(buckets=(url,))
    monkeypatch.setitem(SOURCES, "memory", "tests.fixtures.memory_source")

    rules = TenantRules(buckets=(url,))
    assert rules.may_read_bucket(f"{url}in/")
    assert not rules.may_read_bucket("memory://drop/acme2/")
    with pytest.raises(ValidationError, match=r"of another kind; use source\.type: memory"):
        LocalSource(type="local", url=url)
