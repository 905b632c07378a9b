"""The package as a library: nothing happens at import, and what it offers is as promised."""

import doctest
import inspect
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

import autoloader_dagster
from autoloader_dagster.build import build_definitions, load_definitions
from autoloader_dagster.errors import AutoloaderError, InjectedFault
from autoloader_dagster.settings import load_settings
from autoloader_dagster.specs.loader import load_specs

_IMPORTED = """
import sys, warnings
import dagster
filters = list(warnings.filters)
import autoloader_dagster.component, autoloader_dagster.build
from autoloader_dagster import failpoints
assert warnings.filters == filters, warnings.filters
assert "autoloader_dagster.definitions" not in sys.modules
failpoints.reach("claimed")
"""


def write_spec(folder: Path, name: str, **parts: object) -> None:
    """Write a spec with a sensor, a schedule and partitions."""
    text = {
        "source": {"type": "local", "url": "/in"},
        "format": {"type": "csv"},
        "table": {"name": f"lake.shop.{name}"},
        "trigger": {"on_arrival": {"every": "60s"}, "schedule": "hourly"},
        **parts,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(text))


def test_an_import_loads_no_specs_and_filters_no_warnings_and_arms_nothing(tmp_path: Path) -> None:
    """The folder of specs is broken: loading it would log its faults."""
    (tmp_path / "broken.yaml").write_text("nonsense: 1\n")
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED],
        env={
            **os.environ,
            "AUTOLOADER_SPECS_DIR": str(tmp_path),
            "AUTOLOADER_FAILPOINTS": "claimed=raise",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_building_definitions_warns_of_nothing_and_changes_no_filter(tmp_path: Path) -> None:
    write_spec(tmp_path, "orders")
    (tmp_path / "broken.yaml").write_text("nonsense: 1\n")
    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        definitions = build_definitions(load_specs(tmp_path), name="shop")
        dg.Definitions.validate_loadable(definitions)
    assert [str(each.message) for each in warned] == []
    assert warnings.filters == filters


def test_the_own_code_location_without_a_folder_of_specs_is_empty(tmp_path: Path) -> None:
    settings = load_settings({"AUTOLOADER_SPECS_DIR": str(tmp_path / "none")})
    assert list(load_definitions(settings).resolve_all_asset_keys()) == []


_LIGHT = """
import sys
import autoloader_dagster
heavy = {"dagster", "pyspark", "pydantic", "sqlalchemy", "yaml", "boto3"} & set(sys.modules)
assert not heavy, heavy
assert "run" in dir(autoloader_dagster)
"""


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIGHT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


_ROOT = Path(__file__).parents[2]


def python_blocks(page: str) -> list[str]:
    """The Python code of a page."""
    text = (_ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/library.md"])
def test_the_mount_of_the_pages_is_as_they_say(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_spec(tmp_path / "ingestion_specs", "orders")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(python_blocks(page)[0], names)
    definitions = names["shop"]()
    assert dg.AssetKey(["raw", "shop", "orders"]) in definitions.resolve_all_asset_keys()
    assert {job.name for job in definitions.jobs} >= {"autoloader_undo_shop"}
    assert {sensor.name for sensor in definitions.sensors} >= {"orders_on_arrival_shop"}


_SIGNATURES = {
    "build_definitions": "(specs: autoloader_dagster.specs.spec_set.SpecSet, *, name: str = '', "
    "key_prefix: collections.abc.Sequence[str] = (), group_name: str | None = None, "
    "tags: collections.abc.Mapping[str, str] | None = None, spark_remote: str | None = None, "
    "database_url: str | None = None, executor: "
    "dagster._core.definitions.executor_definition.ExecutorDefinition | None = None, "
    "resources: collections.abc.Mapping[str, typing.Any] | None = None) -> "
    "dagster._core.definitions.definitions_class.Definitions",
    "load_specs": "(specs_dir: pathlib._local.Path | str) -> "
    "autoloader_dagster.specs.spec_set.SpecSet",
    "open_ingestion": "(specs: autoloader_dagster.specs.spec_set.SpecSet, name: str) -> "
    "'Iterator[Ingestion]'",
    "run": "(specs: autoloader_dagster.specs.spec_set.SpecSet, name: str, *, "
    "partition: str | None = None, "
    "progress: collections.abc.Callable[[str], None] | None = None) -> 'RunReport'",
}


def test_the_public_surface_is_as_promised() -> None:
    """Whoever changes it breaks other projects, and says so in the changelog."""
    errors = {
        name
        for name, each in vars(sys.modules["autoloader_dagster.errors"]).items()
        if isinstance(each, type) and issubclass(each, AutoloaderError)
    }
    errors.remove(InjectedFault.__name__)
    public = set(autoloader_dagster.__all__) - {"__version__"}
    assert public == errors | {*_SIGNATURES, "IngestionSpecsComponent"}
    for name in public:
        assert inspect.getdoc(getattr(autoloader_dagster, name)), name
    signatures = {
        name: str(inspect.signature(getattr(autoloader_dagster, name))).replace("._local", "")
        for name in _SIGNATURES
    }
    assert signatures == {
        name: signature.replace("._local", "") for name, signature in _SIGNATURES.items()
    }
    # Type checkers believe the annotations of a package that has this file.
    assert Path(autoloader_dagster.__file__).with_name("py.typed").is_file()
    fields = autoloader_dagster.IngestionSpecsComponent.model_fields
    assert list(fields) == [
        "specs_dir", "name", "key_prefix", "group_name", "tags", "spark_remote", "database_url"
    ]  # fmt: skip


def run_example(name: str, folder: Path, namespace: str = "shop") -> int:
    """Run the example of a public name in a folder with one spec and one file."""
    examples = doctest.DocTestFinder(recurse=False).find(getattr(autoloader_dagster, name), name)
    (example,) = [each for each in examples if each.examples]
    write_spec(
        folder / "ingestion_specs",
        "orders",
        source={"type": "local", "url": "../landing"},
        partition={"by": "none"},
        table={"name": f"lake.{namespace}.orders"},
    )
    (folder / "landing").mkdir(exist_ok=True)
    (folder / "landing" / "a.csv").write_text("id,amount\n1,2.5\n2,3.5\n")
    return doctest.DocTestRunner().run(example).failed


@pytest.mark.parametrize(
    "name", ["load_specs", "build_definitions", "open_ingestion", "AutoloaderError"]
)
def test_the_example_of_a_public_name_is_true(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOLOADER_HOME", str(tmp_path / "home"))
    assert run_example(name, tmp_path) == 0
