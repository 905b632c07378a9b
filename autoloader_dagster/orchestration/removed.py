"""Fails a run with a clear reason if its spec was removed after the run was requested.

The worker of a run reads the specs again, and Dagster cannot build a job for an asset that is not
there. So each run carries the names of the specs of its code location. Its worker defines an asset
for each one that is missing; that asset fails and says why. A run of a sensor or schedule has a job
of that one's name, so the worker defines these too.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

# Dagster publishes no way to ask whether definitions are loaded for a run, nor what they were.
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)

from autoloader_dagster.errors import SpecError, SpecGone, StateError
from autoloader_dagster.loading.recovery.orphans import Orphan, orphan_named, orphans_in
from autoloader_dagster.orchestration.assets import asset_key, handing_nothing_on
from autoloader_dagster.orchestration.checks import check_specs
from autoloader_dagster.orchestration.resources import (
    ProcessedFilesResource,
    resources_of,
    run_resource_keys,
)
from autoloader_dagster.orchestration.runs.failures import failure
from autoloader_dagster.specs.dagster_names import Mount
from autoloader_dagster.specs.fault import shown_path
from autoloader_dagster.specs.spec_set import SpecSet

TRIGGERS = ("on_arrival", "schedule")


@dataclass(frozen=True, slots=True)
class RemovedSpec:
    """A spec that was there when a run was requested.

    Attributes:
        key: Of its asset.
        ingestion_id: ``tenant/name``.
        path: Its file.
        trigger: What the names of its sensor and schedule begin with; empty if an older package
            has requested the run.
    """

    key: dg.AssetKey
    ingestion_id: str
    path: Path
    trigger: str = ""


def remember(specs: SpecSet) -> None:
    """Put the names of these specs into every run that this code location makes."""
    known = [
        [spec.names.asset, spec.ingestion_id, str(spec.path), spec.names.trigger]
        for spec in specs.specs
    ]
    # A mount each, because a code location may have several.
    DefinitionsLoadContext.get().add_to_pending_reconstruction_metadata(
        _metadata_key(specs), json.dumps(known, separators=(",", ":"))
    )


def removed_since(specs: SpecSet) -> list[RemovedSpec]:
    """The specs that were removed since the run of this process was requested.

    Only the worker of a run has any.
    """
    there = {asset_key(spec) for spec in specs.specs}
    return [removed for removed in _before(specs) if removed.key not in there]


def removed_triggers(specs: SpecSet, there: Collection[str]) -> Iterator[dg.SensorDefinition]:
    """Sensors in the place of sensors and schedules that are gone.

    Only the worker of a run has any. Nothing evaluates them; the run needs the job of their target.

    Args:
        specs: The specs that there are.
        there: Names of the sensors and schedules that there are.
    """
    for before in _before(specs):
        for kind in TRIGGERS if before.trigger else ():
            name = trigger_named(specs.mount, before.trigger, kind)
            if name not in there:
                yield _sensor_without_ticks(name, before.key)


def trigger_named(mount: Mount, trigger: str, kind: str) -> str:
    """The name of a sensor or schedule, with that of the mount at the end."""
    return mount.named(f"{trigger}_{kind}")


def _sensor_without_ticks(name: str, key: dg.AssetKey) -> dg.SensorDefinition:
    @dg.sensor(name=name, target=dg.AssetSelection.assets(key))
    def gone(_context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason("its spec has no such trigger any more")

    return gone


def _before(specs: SpecSet) -> list[RemovedSpec]:
    """The specs that were there when the run of this process was requested."""
    context = DefinitionsLoadContext.get()
    if context.load_type is DefinitionsLoadType.INITIALIZATION:
        return []
    known = json.loads(context.reconstruction_metadata.get(_metadata_key(specs), "[]"))
    return [
        RemovedSpec(dg.AssetKey(key), name, Path(path), *trigger)
        for key, name, path, *trigger in known
    ]


def build_removed(removed: RemovedSpec, specs: SpecSet) -> dg.AssetsDefinition:
    """An asset with the key and checks of a removed spec; a run of it fails and says why."""

    @dg.asset(
        key=removed.key, output_required=False, check_specs=check_specs(removed.key),
        required_resource_keys=run_resource_keys(specs.mount),
    )  # fmt: skip
    def ingest(context: dg.AssetExecutionContext):
        resources = resources_of(context.resources, specs.mount)
        error = _why(removed, specs, resources.processed_files)
        raise failure(error, allow_retries=False)
        yield

    return handing_nothing_on(ingest, specs.mount)


def _why(
    removed: RemovedSpec, specs: SpecSet, processed_files: ProcessedFilesResource
) -> SpecError:
    file = shown_path(removed.path)
    for broken in specs.broken:
        if removed.ingestion_id == broken.ingestion_id or removed.path == broken.path:
            faults = "".join(f"\n  {fault}" for fault in broken.faults)
            return SpecError(
                f"{removed.ingestion_id}: its spec is broken since this run was requested:{faults}",
                "Fix it, reload the code location, and start the run again.",
            )
    for spec in specs.specs:
        if removed.ingestion_id == spec.ingestion_id:
            return SpecGone(
                f"{removed.ingestion_id}: its table is {spec.spec.table.name} now; this run was "
                f"requested for the asset {removed.key.to_user_string()}",
                f"Reload the code location, and start a run of the asset "
                f"{asset_key(spec).to_user_string()}.",
            )
    orphan = _orphan(removed.ingestion_id, specs, processed_files)
    what = str(orphan) if orphan else f"{removed.ingestion_id}: its spec is gone"
    return SpecGone(
        f"{what} (the file was {file} when this run was requested)",
        f"Reload the code location, so that its sensor and schedule end. {_advice(orphan)}",
    )


def _orphan(
    ingestion_id: str, specs: SpecSet, processed_files: ProcessedFilesResource
) -> Orphan | None:
    try:
        with closing(processed_files.store) as store:
            return orphan_named(orphans_in(store, specs), ingestion_id)
    except StateError:
        return None


def _advice(orphan: Orphan | None) -> str:
    return orphan.advice + "." if orphan else "To load it again, restore the spec."


def _metadata_key(specs: SpecSet) -> str:
    return f"{specs.mount.named('autoloader_specs')}:{specs.folder}"
