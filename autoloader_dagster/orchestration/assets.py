"""One asset a spec, and the source that it comes from."""

from collections.abc import Iterator

import dagster as dg

from autoloader_dagster.counts import counted
from autoloader_dagster.loading.discover import why_nothing_was_listed
from autoloader_dagster.loading.load import load
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.beta import without_beta_warnings
from autoloader_dagster.orchestration.checks import check_results, check_specs
from autoloader_dagster.orchestration.listing import list_to_its_end
from autoloader_dagster.orchestration.pages import Pages
from autoloader_dagster.orchestration.partitions import asked_partitions, partitions_definition
from autoloader_dagster.orchestration.planning import plan_pending
from autoloader_dagster.orchestration.resources import (
    NO_IO_MANAGER,
    MountResources,
    open_ingestion,
    resources_of,
    run_resource_keys,
)
from autoloader_dagster.orchestration.runs.failures import failing_in_words
from autoloader_dagster.orchestration.runs.tags import INGESTION_TAG, LISTED_TAG, ended_runs
from autoloader_dagster.redaction import struck_errors
from autoloader_dagster.sources.base import source_kind
from autoloader_dagster.specs.connections import Connections
from autoloader_dagster.specs.dagster_names import BROKEN_SPECS, Mount
from autoloader_dagster.specs.spec_set import BrokenSpec, LoadedSpec


def asset_key(loaded: LoadedSpec) -> dg.AssetKey:
    """Namespace and table, without the catalog."""
    return dg.AssetKey(loaded.names.asset)


def source_key(loaded: LoadedSpec) -> dg.AssetKey:
    """The key of the external asset that represents the files."""
    return dg.AssetKey(loaded.names.source)


def _group(loaded: LoadedSpec) -> str:
    if loaded.mount.group_name is not None:
        return loaded.mount.group_name
    return loaded.spec.table.name.split(".")[1] if loaded.tenant == "default" else loaded.tenant


def _code_reference(path: str) -> dict[str, dg.MetadataValue]:
    spec = dg.LocalFileCodeReference(file_path=path, line_number=1, label="spec")
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[spec])}


def build_source(loaded: LoadedSpec) -> dg.AssetSpec:
    """The external asset that represents the files; the sensor leaves observations on it."""
    return dg.AssetSpec(
        source_key(loaded),
        group_name=_group(loaded),
        description=f"Files below {loaded.spec.source.url}",
        kinds={source_kind(loaded.spec.source).dagster_kind},
        tags=dict(loaded.mount.tags),
        metadata={"dagster/uri": dg.MetadataValue.text(loaded.spec.source.url)},
    ).with_io_manager_key(loaded.mount.named(NO_IO_MANAGER))


@without_beta_warnings()
def build_broken(broken: BrokenSpec) -> dg.AssetSpec:
    """What the UI shows for a spec that cannot be loaded."""
    return dg.AssetSpec(
        dg.AssetKey(broken.key),
        group_name=BROKEN_SPECS,
        description="This spec is broken and loads nothing:\n\n"
        + "\n".join(f"- `{fault}`" for fault in broken.faults),
        kinds={"yaml"},
        tags={"autoloader/broken": "true"},
        metadata=_code_reference(str(broken.path)),
    )


@without_beta_warnings()
def build_asset(loaded: LoadedSpec, connections: Connections) -> dg.AssetsDefinition:
    """The table of a spec as a partitioned asset."""
    spec = loaded.spec
    key = asset_key(loaded)

    @dg.asset(
        key=key,
        deps=[source_key(loaded)],
        partitions_def=partitions_definition(loaded),
        backfill_policy=dg.BackfillPolicy.single_run() if spec.partition.by != "none" else None,
        group_name=_group(loaded),
        description=spec.description or None,
        owners=list(spec.owners) or None,
        tags={**dict(loaded.mount.tags), **spec.tags},
        kinds={"spark", "iceberg", spec.format.type},
        code_version=loaded.text_hash,
        pool=loaded.names.pool,
        # A partition without files is not loaded, so it gets no event.
        output_required=False,
        op_tags={INGESTION_TAG: loaded.ingestion_id},
        metadata={
            "dagster/table_name": spec.table.name,
            "dagster/uri": spec.source.url,
            keys.SPEC: dg.MetadataValue.path(str(loaded.path)),
            **_code_reference(str(loaded.path)),
        },
        check_specs=check_specs(key),
        required_resource_keys=run_resource_keys(loaded.mount),
    )
    def ingest(context: dg.AssetExecutionContext):
        # It must stay a generator without a return annotation: Dagster would else record every
        # asked partition as loaded.
        resources = resources_of(context.resources, loaded.mount)
        with struck_errors():
            try:
                with failing_in_words(loaded.ingestion_id):
                    yield from _ingest(context, loaded, connections, resources)
            finally:
                resources.processed_files.close()

    return handing_nothing_on(ingest, loaded.mount)


def handing_nothing_on(asset: dg.AssetsDefinition, mount: Mount) -> dg.AssetsDefinition:
    """Return the asset, whose checks hand nothing on through the code location's ``io_manager``.

    A run's config could choose the folder of Dagster's default one, by any variable of the worker.
    """
    key = mount.named(NO_IO_MANAGER)
    for output in asset.op.output_defs:
        # Dagster publishes no other way to say so of a check's output.
        output._io_manager_key = key  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return asset


def _ingest(
    context: dg.AssetExecutionContext,
    loaded: LoadedSpec,
    connections: Connections,
    resources: MountResources,
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckResult]:
    ingestion = open_ingestion(loaded, connections, resources)
    partitions, asked = asked_partitions(context, loaded)
    if LISTED_TAG not in context.run.tags:
        found = list_to_its_end(
            ingestion, lambda n: context.log.debug("%s listed", counted(n, "file"))
        )
        context.log.info(
            "%s listed: %d new, %d changed, %d unchanged, %d held, %d quarantined",
            counted(found.listed, "file"),
            found.new,
            found.changed,
            found.unchanged,
            found.held,
            found.quarantined,
        )
        if loaded.spec.partition.kind == "key":
            # New keys become partitions, so that what is loaded is seen in them.
            plan_pending(ingestion, context.instance, found)
        if not found.listed:
            context.log.warning(why_nothing_was_listed(ingestion))
    over = ended_runs(context.instance, ingestion.store.batches.open_run_ids())
    pages = Pages(context.instance, ingestion, context.asset_key)
    for outcome in load(
        ingestion, partitions, context.run.run_id, ended_runs=over, progress=context.log.debug
    ):
        context.log.info(
            "batch %s: %d of %s, %s, snapshot %s, %.1f s",
            outcome.batch_id,
            len(outcome.loaded),
            counted(len(outcome.files), "file"),
            counted(outcome.rows, "row"),
            outcome.snapshot_id,
            outcome.seconds,
        )
        for file in outcome.files:
            if file.status != "SUCCESS":
                context.log.warning(
                    "%s %s: %s: %s", file.status, file.path, file.error_type, file.reason
                )
        same = [file for file in outcome.loaded if file.same_as]
        if same:
            context.log.warning(
                "%s the content of a file that was loaded under another name, and the rows are in "
                "the table twice. The first: %s, as %s",
                counted(len(same), "file has", "files have"),
                same[0].path,
                same[0].same_as,
            )
        if outcome.unmatched_hints:
            context.log.warning(
                "schema.hints that match no column yet: %s", ", ".join(outcome.unmatched_hints)
            )
        for note in outcome.notes:
            context.log.warning("%s", note)
        yield from pages.loaded(outcome)
    yield from pages.settle(asked)
    if "dagster/backfill" in context.run.tags:
        yield from pages.filled(asked)
        for partition, files in pages.not_filled(asked).items():
            context.log.warning(
                "partition %s is not filled: %s",
                partition,
                ", ".join(
                    f"{counted(count, 'file is', 'files are')} {status}"
                    for status, count in files.items()
                ),
            )
    yield from check_results(ingestion)
