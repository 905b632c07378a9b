"""Fails a run with a clear reason if its spec was removed after the run was requested.

The worker of a run reads the specs again, and Dagster cannot build a job for an asset that is not
there. So each run carries the names of the specs of its code location. Its worker defines an asset
for each one that is missing; that asset fails and says why.
"""

import json
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
    resource_keys,
    resources_of,
)
from autoloader_dagster.orchestration.runs.failures import failure
from autoloader_dagster.specs.fault import shown_path
from autoloader_dagster.specs.spec_set import SpecSet


@dataclass(frozen=True, slots=True)
class RemovedSpec:
    """A spec that was there when a run was requested.

    Attributes:
        key: Of its asset.
        ingestion_id: ``tenant/name``.
        path: Its file.
    """

    key: dg.AssetKey
    ingestion_id: str
    path: Path


def remember(specs: SpecSet) -> None:
    """Put the names of these specs into every run that this code location makes."""
    known = [[spec.names.asset, spec.ingestion_id, str(spec.path)] for spec in specs.specs]
    # A mount each, because a code location may have several.
    DefinitionsLoadContext.get().add_to_pending_reconstruction_metadata(
        _metadata_key(specs), json.dumps(known, separators=(",", ":"))
    )


def removed_since(specs: SpecSet) -> list[RemovedSpec]:
    """The specs that were removed since the run of this process was requested.

    Only the worker of a run has any.
    """
    context = DefinitionsLoadContext.get()
    if context.load_type is DefinitionsLoadType.INITIALIZATION:
        return []
    known = json.loads(context.reconstruction_metadata.get(_metadata_key(specs), "[]"))
    there = {asset_key(spec) for spec in specs.specs}
    before = [RemovedSpec(dg.AssetKey(key), name, Path(path)) for key, name, path in known]
    return [removed for removed in before if removed.key not in there]


def build_removed(removed: RemovedSpec, specs: SpecSet) -> dg.AssetsDefinition:
    """An asset with the key and checks of a removed spec; a run of it fails and says why."""

    @dg.asset(
        key=removed.key, output_required=False, check_specs=check_specs(removed.key),
        required_resource_keys=resource_keys(specs.mount),
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
