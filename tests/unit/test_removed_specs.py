"""A run whose spec was removed after it had been asked for fails in our words."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import FileCodePointer
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext
from dagster._core.definitions.reconstruct import (
    ReconstructableRepository,
    initialize_repository_def_from_pointer,
)
from dagster._core.execution.api import create_execution_plan
from dagster._grpc.impl import core_execute_run

from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.state import ProcessedFiles
from tests.integration.state_steps import discover, load, ref

_CODE = """
from pathlib import Path
from autoloader_dagster.build import load_definitions
from autoloader_dagster.settings import load_settings
defs = load_definitions(load_settings())
"""
_RANGE = {
    "dagster/asset_partition_range_start": "2026-11-01",
    "dagster/asset_partition_range_end": "2026-11-03",
}


@dataclass
class Location:
    """A code location on a specs folder, with the state of ``acme/orders`` and its runs."""

    root: Path
    instance: dg.DagsterInstance
    _processes: Iterator[int] = field(default_factory=itertools.count)

    def spec(self, name: str, **parts: object) -> Path:
        path = self.root / "specs" / "acme" / f"{name}.yaml"
        text = {
            "source": {"type": "local", "url": str(self.root)},
            "format": {"type": "csv"},
            "table": {"name": f"lake.shop.{name}"},
            "partition": {"by": "modified_time", "start": "2026-10-01"},
            **parts,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(text))
        return path

    def ask(self, job: str, *key: str, **more: Any) -> dg.DagsterRun:
        """As a code server does that has read the specs just now."""
        repository = initialize_repository_def_from_pointer(self._code())
        selection = frozenset({dg.AssetKey(key)}) if key else None
        subset = repository.get_maybe_subset_job_def(job, asset_selection=selection)
        plan = create_execution_plan(
            subset,
            run_config=more.get("run_config"),
            repository_load_data=repository.repository_load_data,
        )
        return self.instance.create_run_for_job(
            subset, execution_plan=plan, asset_selection=selection, **more
        )

    def work(self, run: dg.DagsterRun) -> str:
        """As the worker of a run does; gives the reason of the failure."""
        DefinitionsLoadContext._instance = None
        job = ReconstructableRepository(self._code()).get_reconstructable_job(run.job_name)
        if run.asset_selection:
            job = job.get_subset(asset_selection=run.asset_selection)
        try:
            for _ in core_execute_run(job, run, self.instance, inject_env_vars=False):
                pass
        finally:
            # The end of the worker's process does it.
            run_locks.let_go(run.run_id)
        (failed,) = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        assert failed.dagster_event is not None
        data = failed.dagster_event.step_failure_data
        assert data.user_failure_data is not None, data.error
        return data.user_failure_data.description or ""

    def _code(self) -> FileCodePointer:
        """The code for a process that has not read it; Dagster keeps what it has read of a file."""
        code = self.root / f"{self.root.name}_{next(self._processes)}.py"
        code.write_text(_CODE)
        return FileCodePointer(str(code), "defs")


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Location]:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("AUTOLOADER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AUTOLOADER_SPECS_DIR", str(tmp_path / "specs"))
    monkeypatch.delenv("AUTOLOADER_DATABASE_URL", raising=False)
    state = ProcessedFiles(f"sqlite:///{tmp_path / 'home' / 'state.db'}")
    state.upgrade()
    discover(state, ref("a.csv"), ref("b.csv"))
    load(state, 1)
    state.close()
    with (
        dg.DagsterInstance.ephemeral() as instance,
        DefinitionsLoadContext.scoped(DefinitionsLoadContext.get()),
    ):
        yield Location(tmp_path, instance)


def test_the_run_of_a_removed_spec_says_that_it_is_gone(location: Location) -> None:
    spec, other = location.spec("orders"), location.spec("other")
    ranged = location.ask("__ASSET_JOB", "shop", "orders", tags=_RANGE)
    single = location.ask("__ASSET_JOB", "shop", "orders", tags={"dagster/partition": "2026-11-01"})
    last = location.ask("__ASSET_JOB", "shop", "orders")
    spec.unlink()
    said = "acme/orders: its spec is gone; its table lake.shop.orders keeps 20 rows of 2 files"
    reason = location.work(ranged)
    assert said in reason
    assert str(spec) in reason
    assert "autoloader adopt NEW --from acme/orders" in reason
    assert "eload the code location" in reason
    assert said in location.work(single)
    other.unlink()
    assert said in location.work(last), "also where no spec is left"


@pytest.mark.parametrize("trigger", [{"on_arrival": {"every": "5s"}}, {"schedule": "daily"}])
def test_the_run_of_a_sensor_or_schedule_of_a_removed_spec_says_that_it_is_gone(
    location: Location, trigger: dict[str, object]
) -> None:
    spec = location.spec("orders", trigger=trigger)
    (kind,) = trigger
    job = f"__anonymous_asset_job_acme__orders_{kind}"
    gone, broken = (location.ask(job, tags=_RANGE) for _ in range(2))
    spec.unlink()
    assert "acme/orders: its spec is gone; its table lake.shop.orders" in location.work(gone)
    location.spec("orders", partition={"by": "nonsense"})
    assert "acme/orders: its spec is broken" in location.work(broken)


def test_the_run_of_a_trigger_that_was_removed_is_a_run_of_the_asset(location: Location) -> None:
    location.spec("orders", trigger={"on_arrival": {"every": "5s"}})
    run = location.ask("__anonymous_asset_job_acme__orders_on_arrival", tags=_RANGE)
    location.spec("orders", source={"type": "local", "url": str(location.root / "nowhere")})
    # It gets as far as the source.
    assert "nowhere" in location.work(run)


def test_the_run_of_a_spec_that_is_broken_or_has_another_table_says_so(
    location: Location,
) -> None:
    location.spec("orders")
    broken, moved = (location.ask("__ASSET_JOB", "shop", "orders") for _ in range(2))
    location.spec("orders", partition={"by": "nonsense"})
    assert "acme/orders: its spec is broken" in (reason := location.work(broken))
    assert "nonsense" in reason
    location.spec("orders", table={"name": "lake.shop.moved"})
    reason = location.work(moved)
    assert "its table is lake.shop.moved now" in reason
    assert "asset shop/moved" in reason


def test_a_job_on_a_removed_spec_says_that_it_is_gone(location: Location) -> None:
    spec = location.spec("orders")
    runs = [
        location.ask(
            job, run_config={"ops": {f"{job}_op": {"config": {"ingestion": "acme/orders"}}}}
        )
        for job in ("autoloader_undo", "autoloader_retry", "autoloader_reload")
    ]
    spec.unlink()
    for run in runs:
        assert "acme/orders: its spec is gone; its table lake.shop.orders keeps 20 rows" in (
            location.work(run)
        ), run.job_name


def test_what_a_run_carries_of_its_specs_is_small(location: Location) -> None:
    for number in range(20):
        location.spec(f"s{number}")
    run = location.ask("__ASSET_JOB", "shop", "s1")
    assert run.execution_plan_snapshot_id is not None
    plan = location.instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    assert plan.repository_load_data is not None
    carried = plan.repository_load_data.reconstruction_metadata
    assert len(json.dumps([value.data for value in carried.values()])) < 20 * 200
