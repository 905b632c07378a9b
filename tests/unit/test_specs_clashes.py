"""Specs with clashing names are broken alone: whatever the folder holds, the others load."""

import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoloader_dagster.definitions import build_definitions
from autoloader_dagster.specs.loader import SpecSet, load_specs

# Dagster says so of code references and backfill policies at each use.
pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

# Few names, so that they meet: joined by '__' and '.' they come out the same in several ways.
_PARTS = st.sampled_from(["a", "b", "a__b", "source", "default", "broken_specs"])
_SPECS = st.fixed_dictionaries(
    {
        "folder": st.sampled_from(["", "a", "b", "a__b", "default", "deep/er"]),
        "file": _PARTS,
        "suffix": st.sampled_from([".yaml", ".yml"]),
        "name": st.none() | _PARTS,
        "table": st.lists(_PARTS, min_size=2, max_size=4),
        "catalog": st.sampled_from(["lake", "pond"]),
        "shared": st.booleans(),
        "named_keys": st.booleans(),
        "broken": st.integers(0, 9).map(lambda n: n == 0),
    }
)


def _write(folder: Path, spec: dict[str, Any]) -> None:
    path = folder / spec["folder"] / f"{spec['file']}{spec['suffix']}"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "source": {"type": "local", "url": "/in"},
        "format": {"type": "csv"},
        "table": {
            "name": ".".join([spec["catalog"], *spec["table"]]),
            "shared": spec["shared"],
        },
        "trigger": {"on_arrival": {}, "schedule": "daily"},
        **({"name": spec["name"]} if spec["name"] else {}),
        **({"partition": {"by": "path", "pattern": "{k}.csv"}} if spec["named_keys"] else {}),
        **({"nonsense": 1} if spec["broken"] else {}),
    }
    path.write_text(yaml.safe_dump(content))


def _files(specs: SpecSet) -> set[Path]:
    return {spec.path for spec in (*specs.specs, *specs.broken)}


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(_SPECS, min_size=1, max_size=8))
def test_any_set_of_specs_gives_definitions_that_load(written: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for spec in written:
            _write(Path(folder), spec)
        specs = load_specs(Path(folder))
        definitions = build_definitions(specs)
        dg.Definitions.validate_loadable(definitions)
        # Each file is loaded or broken with a reason, and each is seen.
        assert len(_files(specs)) == len(specs.specs) + len(specs.broken)
        assert all(spec.faults for spec in specs.broken)
        keys = {tuple(key.path) for key in definitions.resolve_all_asset_keys()}
        assert {spec.names.asset for spec in specs.specs} <= keys
        assert {spec.key for spec in specs.broken} <= keys
        assert len(keys) == 2 * len(specs.specs) + len(specs.broken)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (("a.yaml", "t1", {}), ("a.yml", "t2", {}), "'a' is the name of"),
        (("x/s.yaml", "t", {"shared": True}), ("y/s.yaml", "t", {"shared": True}), "asset n/t/s"),
        (("ta__b.yaml", "t1", {}), ("ta/b.yaml", "t2", {}), "sensors and schedules ta__b_*"),
        (("c.yaml", "t", {"shared": True}), ("d.yaml", "t.c", {}), "asset n/t/c"),
        (("s.yaml", "t", {}), ("d.yaml", "../source.default.s", {}), "asset source/default/s"),
        (("a/b__c.yaml", "t1", {}), ("a__b/c.yaml", "t2", {}), "sensors and schedules a__b__c"),
    ],
)
def test_a_clash_breaks_both_specs_and_no_other(
    tmp_path: Path,
    first: tuple[str, str, dict[str, Any]],
    second: tuple[str, str, dict[str, Any]],
    said: str,
) -> None:
    for name, table, more in (first, second, ("good.yaml", "other", {})):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        full = f"lake.{table[3:]}" if table.startswith("../") else f"lake.n.{table}"
        content = {
            "source": {"type": "local", "url": "/in"},
            "format": {"type": "csv"},
            "table": {"name": full, **more},
        }
        path.write_text(yaml.safe_dump(content))
    specs = load_specs(tmp_path)
    assert [spec.path.name for spec in specs.specs] == ["good.yaml"]
    assert len(specs.broken) == 2
    assert all(said in str(fault) for spec in specs.broken for fault in spec.faults)
    dg.Definitions.validate_loadable(build_definitions(specs))
