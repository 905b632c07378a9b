"""Specs with clashing names are broken alone: whatever the folder holds, the others load."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import dagster as dg
import pytest
import yaml
from pydantic import ValidationError

from autoloader_dagster.build import build_definitions
from autoloader_dagster.cli.app import main
from autoloader_dagster.loading.placement import first_window, key_of
from autoloader_dagster.orchestration.assets import build_asset
from autoloader_dagster.orchestration.partitions import time_partitions
from autoloader_dagster.specs.fault import MAX_FAULTS
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.specs.table import EARLIEST, EARLIEST_HOUR, LATEST, Partition
from tests.unit.spec_sets import check_edges, drawn_by, expected_broken

# Dagster says so of code references and backfill policies at each use.


def test_any_set_of_specs_gives_definitions_that_load() -> None:
    drawn_by(1, 60)()


def test_values_at_the_edge_of_what_a_key_takes_break_no_other_spec() -> None:
    check_edges()


def test_the_net_knows_which_files_must_be_broken() -> None:
    spec = {
        "folder": "", "file": "a", "suffix": ".yaml", "name": None, "table": ["n", "t"],
        "catalog": "lake", "shared": False, "named_keys": False, "broken": False, "edge": None,
    }  # fmt: skip
    other = spec | {"folder": "a", "file": "b"}
    assert expected_broken({"a.yaml": spec, "a/b.yaml": other}, None) == {"a.yaml", "a/b.yaml"}
    assert expected_broken({"a.yaml": spec, "a/b.yaml": other}, {"a": ["lake.n"]}) == {"a/b.yaml"}
    assert expected_broken({"a/b.yaml": other}, {"a": ["lake.n"]}) == set()
    assert expected_broken({"a/b.yaml": other}, {"a": ["lake.n"], "b": ["pond.n"]}) == {"a/b.yaml"}


@pytest.mark.parametrize(("shared", "table"), [(True, "source.a"), (False, "source.a.s")])
def test_a_table_that_would_be_the_asset_of_its_own_files_is_refused(
    tmp_path: Path, shared: bool, table: str
) -> None:
    content = {
        "source": {"type": "local", "url": "/in"},
        "format": {"type": "csv"},
        "table": {"name": f"lake.{table}", "shared": shared},
    }
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "s.yaml").write_text(yaml.safe_dump(content))
    specs = load_specs(tmp_path)
    (broken,) = specs.broken
    (fault,) = broken.faults
    assert fault.key == "table.name"
    assert "would be the Dagster asset source/a/s, which is the key of the files" in fault.message


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (("a.yaml", "t1", {}), ("a.yml", "t2", {}), "'a' is the name of"),
        (("x/s.yaml", "t", {"shared": True}), ("y/s.yaml", "t", {"shared": True}), "asset n/t/s"),
        (("ta__b.yaml", "t1", {}), ("ta/b.yaml", "t2", {}), "sensors and schedules ta__b_*"),
        (("c.yaml", "t", {"shared": True}), ("d.yaml", "t.c", {}), "asset n/t/c"),
        (("s.yaml", "t", {}), ("d.yaml", "../source.default.s", {}), "asset source/default/s"),
        (
            ("p.yaml", "../a__b.a__b", {}),
            ("a__b.yaml", "../a.b", {"shared": True}),
            "node a__b__a__b",
        ),
        (("a/b__c.yaml", "t1", {}), ("a__b/c.yaml", "t2", {}), "sensors and schedules a__b__c"),
    ],
)
def test_a_clash_breaks_both_specs_and_no_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
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
    # 'validate' blames each of the two for it, by its file.
    monkeypatch.setenv("AUTOLOADER_SPECS_DIR", str(tmp_path))
    monkeypatch.setenv("AUTOLOADER_HOME", str(tmp_path / "home"))
    assert main(["validate", "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    blamed = {os.path.relpath(fault["file"], tmp_path) for fault in shown["faults"]}
    assert blamed == {first[0], second[0]}
    assert all(said in fault["message"] for fault in shown["faults"])
    assert [spec["name"] for spec in shown["specs"]] == ["good"]


def test_a_name_that_is_none_breaks_no_other_spec(tmp_path: Path) -> None:
    content = {
        "source": {"type": "local", "url": "/in"},
        "format": {"type": "csv"},
        "table": {"name": "lake.n.good"},
    }
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "t").mkdir()
    # Each of them, joined to the others, would be a choice of the jobs that Dagster refuses.
    (tmp_path / "t" / "a.yaml").write_text("name: default/good\n")
    (tmp_path / "t" / "b.yaml").write_text('name: "\\ud800"\n')
    (tmp_path / "t" / "c.yaml").write_text('table: {name: "lake.\\ud800"}\n')
    (tmp_path / "t" / os.fsdecode(b"caf\xe9.yaml")).write_text("version: 1\n")
    specs = load_specs(tmp_path)
    assert [spec.ingestion_id for spec in specs.specs] == ["default/good"]
    assert len(specs.broken) == 4
    assert "one half of an escaped character" in str(specs.faults)
    dg.Definitions.validate_loadable(build_definitions(specs))


def test_an_escaped_pair_is_one_character(tmp_path: Path) -> None:
    content = 'description: "\\ud83d\\ude00 \\ufeff"\nsource: {type: local, url: /in}\n'
    content += "format: {type: csv}\ntable: {name: lake.n.good}\n"
    (tmp_path / "good.yaml").write_text(content)
    (good,) = load_specs(tmp_path).specs
    assert good.spec.description == "\U0001f600 \ufeff"


def test_many_specs_of_one_table_cost_what_others_do(tmp_path: Path) -> None:
    calls: dict[bool, int] = {}
    for shared in (False, True):
        folder = tmp_path / str(shared)
        folder.mkdir()
        for number in range(300):
            content = {
                "source": {"type": "local", "url": "/in"},
                "format": {"type": "csv"},
                "table": {"name": f"lake.n.t{'' if shared else number}", "shared": shared},
            }
            (folder / f"s{number}.yaml").write_text(yaml.safe_dump(content))
        with counted_calls() as counted:
            assert len(load_specs(folder).specs) == 300
        calls[shared] = len(counted)
    assert calls[True] < 1.5 * calls[False]
    # One that does not share it is broken with all of them, and each of them names it. It names the
    # first of them.
    content = {**content, "table": {"name": "lake.n.t"}}
    (folder / "own.yaml").write_text(yaml.safe_dump(content))
    specs = load_specs(folder)
    assert specs.specs == ()
    assert {len(each.faults) for each in specs.broken} == {1, MAX_FAULTS + 1}


@contextmanager
def counted_calls() -> Iterator[list[None]]:
    """Counts the calls of functions, which no other work on the machine changes."""
    counted: list[None] = []
    before = sys.getprofile()
    sys.setprofile(lambda _frame, kind, _function: kind == "call" and counted.append(None))
    try:
        yield counted
    finally:
        sys.setprofile(before)


def test_each_table_has_a_pool_of_its_own(tmp_path: Path) -> None:
    for name, table, shared in (
        ("acme/eu_orders", "acme.eu_orders", False),
        ("acme_eu/orders", "acme_eu.orders", False),
        ("first", "n.t", True),
        ("second", "n.t", True),
    ):
        content = {
            "source": {"type": "local", "url": "/in"},
            "format": {"type": "csv"},
            "table": {"name": f"lake.{table}", "shared": shared},
        }
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    specs = load_specs(tmp_path)
    pools = {s.ingestion_id: build_asset(s, specs.connections).op.pool for s in specs.specs}
    # Those who write one table take turns, and no one else waits for them.
    assert pools == {
        "acme/eu_orders": "table_lake.acme.eu_orders",
        "acme_eu/orders": "table_lake.acme_eu.orders",
        "default/first": "table_lake.n.t",
        "default/second": "table_lake.n.t",
    }


def test_a_spec_that_dagster_does_not_take_is_broken_alone(tmp_path: Path) -> None:
    for name in ("bad", "good"):
        content = {
            "source": {"type": "local", "url": "/in"},
            "format": {"type": "csv"},
            "table": {"name": f"lake.n.{name}"},
            "trigger": {"on_arrival": {}},
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    specs = load_specs(tmp_path)
    bad, good = specs.specs
    # What no check of ours lets through, for example since a newer Dagster refuses more.
    start = bad.spec.partition.model_copy(update={"start": date(999, 1, 1)})
    bad = replace(bad, spec=bad.spec.model_copy(update={"partition": start}))
    definitions = build_definitions(replace(specs, specs=(bad, good)))
    dg.Definitions.validate_loadable(definitions)
    assert {sensor.name for sensor in definitions.sensors or ()} >= {"good_on_arrival"}
    keys = definitions.resolve_all_asset_keys()
    assert dg.AssetKey(["n", "good"]) in keys
    assert dg.AssetKey(["n", "bad"]) not in keys
    shown = dg.AssetKey(["broken_specs", "default", "bad.yaml"])
    (asset,) = (each for each in definitions.resolve_all_asset_specs() if each.key == shown)
    assert "bad.yaml  Dagster does not take this spec: ValueError" in (asset.description or "")


@pytest.mark.parametrize("every", ["hour", "day", "week", "month"])
def test_the_first_and_the_last_start_load_in_every_time_zone(tmp_path: Path, every: str) -> None:
    first = EARLIEST_HOUR if every == "hour" else EARLIEST
    zones = ["UTC"] if every == "hour" else sorted(available_timezones())
    for start, zone in [(start, zone) for start in (first, LATEST) for zone in zones]:
        partition = Partition.model_validate({"every": every, "start": start, "timezone": zone})
        windows = time_partitions(partition)
        window = windows.get_first_partition_window()
        assert (window is None) == (start == LATEST)
        if window is not None:
            assert (
                windows.time_window_for_partition_key(windows.get_first_partition_key()) == window
            )
    for day in (first - timedelta(days=1), LATEST + timedelta(days=1)):
        with pytest.raises(ValidationError, match=f"is not from {first} to {LATEST}"):
            Partition.model_validate({"every": every, "start": day})


@pytest.mark.parametrize("every", ["hour", "day", "week", "month"])
def test_the_first_partition_of_dagster_is_the_window_around_start(every: str) -> None:
    zones = ["UTC"] if every == "hour" else ["UTC", "America/Asuncion", "Asia/Beirut", "Asia/Tokyo"]
    days = [date(2024, 2, 20) + timedelta(days=n) for n in range(40)]
    # Midnight is left out in Asuncion and in Beirut, where summer time begins.
    for start in (*days, date(2017, 10, 1), date(2017, 10, 20), date(2022, 3, 27)):
        for zone in zones:
            partition = Partition.model_validate({"every": every, "start": start, "timezone": zone})
            first = time_partitions(partition).get_first_partition_key()
            moment = datetime.combine(start, time())
            assert first == key_of(moment, every), (start, zone)
            assert first_window(partition) <= moment, (start, zone)
