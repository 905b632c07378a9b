"""Code locations that share a Dagster instance, each with its own state, stay apart."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration.listing import listing_run
from autoloader_dagster.orchestration.partitions import partitions_definition
from autoloader_dagster.orchestration.runs.tags import last_failure
from autoloader_dagster.orchestration.triggers import plan_tick
from autoloader_dagster.settings import load_settings
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.lake import Lake, write_ids


@pytest.fixture
def lakes(sqlite_template: Path, tmp_path: Path) -> Iterator[tuple[Lake, Lake]]:
    """Two homes, with tables in namespaces of their own."""
    made: list[Lake] = []
    for name in ("ours", "theirs"):
        root = tmp_path / name
        root.mkdir()
        shutil.copy(sqlite_template, root / "state.db")
        store = ProcessedFiles(f"sqlite:///{root / 'state.db'}")
        settings = load_settings({"AUTOLOADER_HOME": str(root / "home")})
        made.append(Lake(settings, store, root, name))
    yield made[0], made[1]
    for lake in made:
        lake.store.close()


def _tick(ingestion: Ingestion, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    return plan_tick(ingestion, instance, sensor=True, look=False).requests


def _add_run(
    instance: dg.DagsterInstance, ingestion: Ingestion, request: dg.RunRequest
) -> dg.DagsterRun:
    return instance.add_run(
        dg.DagsterRun(
            "__ASSET_JOB",
            str(uuid.uuid4()),
            status=dg.DagsterRunStatus.STARTED,
            tags=request.tags,
            asset_selection={dg.AssetKey(ingestion.loaded.names.asset)},
        )
    )


@pytest.mark.parametrize("name", ["orders", "customers"])
def test_the_runs_of_one_location_keep_no_other_from_asking(
    lakes: tuple[Lake, Lake], name: str
) -> None:
    for lake in lakes:
        write_ids(lake.folder(), "1.csv", 1)
    ours, theirs = lakes[0].ingestion("orders"), lakes[1].ingestion(name)
    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = _tick(ours, instance)
        run = _add_run(instance, ours, request)
        _add_run(instance, ours, listing_run(instance, ours))
        # The rows of a new state have the same numbers as ours.
        (request,) = _tick(theirs, instance)
        _add_run(instance, theirs, request)
        assert _tick(ours, instance) == _tick(theirs, instance) == []
        # Whose run has failed is not mixed up either.
        instance.report_run_failed(run)
        asset = dg.AssetKey(theirs.loaded.names.asset)
        assert last_failure(instance, theirs.id, asset) is None


def test_each_location_has_named_partitions_of_its_own(lakes: tuple[Lake, Lake]) -> None:
    by_name = {"partition": {"by": "path", "pattern": "{k}.csv"}}
    ingestions = [lake.ingestion("orders", **by_name) for lake in lakes]
    for lake, key in zip(lakes, ("a", "b"), strict=True):
        write_ids(lake.folder(), f"{key}.csv", 1)
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            for ingestion, key in zip(ingestions, ("a", "b"), strict=True):
                _tick(ingestion, instance)
                definition = partitions_definition(ingestion.loaded)
                assert isinstance(definition, dg.DynamicPartitionsDefinition)
                assert definition.get_partition_keys(dynamic_partitions_store=instance) == [key]
        # A complete listing takes the keys of its own location away alone.
        kept = [partitions_definition(each.loaded) for each in ingestions]
        assert [
            each.get_partition_keys(dynamic_partitions_store=instance) for each in kept if each
        ] == [["a"], ["b"]]
