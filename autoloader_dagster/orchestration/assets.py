"""One asset a spec, and the source that it comes from."""

from collections.abc import Iterator

import dagster as dg

from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.loading.discover import discover, why_nothing_was_listed
from autoloader_dagster.loading.ingestion import FileOutcome
from autoloader_dagster.loading.load import load
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.failed_partitions import settled_partitions
from autoloader_dagster.orchestration.missed_events import missed_events
from autoloader_dagster.orchestration.partitions import asked_partitions, partitions_definition
from autoloader_dagster.orchestration.planning import plan_pending
from autoloader_dagster.orchestration.resources import (
    ProcessedFilesResource,
    SparkConnectResource,
    open_ingestion,
)
from autoloader_dagster.orchestration.runs import INGESTION_TAG, LISTED_TAG, ended_runs
from autoloader_dagster.processed_files.records import FILE_CHANGED
from autoloader_dagster.redaction import struck_errors
from autoloader_dagster.specs.connections import Connections
from autoloader_dagster.specs.dagster_names import BROKEN_SPECS
from autoloader_dagster.specs.loader import BrokenSpec, LoadedSpec

FILES_CHECK = "every_file_loaded"
ROWS_CHECK = "no_bad_rows"


def asset_key(loaded: LoadedSpec) -> dg.AssetKey:
    """Namespace and table, without the catalog."""
    return dg.AssetKey(loaded.names.asset)


def source_key(loaded: LoadedSpec) -> dg.AssetKey:
    """The key of the external asset that stands for the files."""
    return dg.AssetKey(loaded.names.source)


def _group(loaded: LoadedSpec) -> str:
    return loaded.spec.table.name.split(".")[1] if loaded.tenant == "default" else loaded.tenant


def _code_reference(path: str) -> dict[str, dg.MetadataValue]:
    return {
        "dagster/code_references": dg.CodeReferencesMetadataValue(
            code_references=[dg.LocalFileCodeReference(file_path=path, line_number=1, label="spec")]
        )
    }


def build_source(loaded: LoadedSpec) -> dg.AssetSpec:
    """The external asset that stands for the files; the sensor leaves observations on it."""
    return dg.AssetSpec(
        source_key(loaded),
        group_name=_group(loaded),
        description=f"Files below {loaded.spec.source.url}",
        kinds={loaded.spec.source.type if loaded.spec.source.type != "local" else "file"},
        metadata={"dagster/uri": dg.MetadataValue.text(loaded.spec.source.url)},
    )


def build_broken(broken: BrokenSpec) -> dg.AssetSpec:
    """What stands in the UI for a spec that cannot be loaded."""
    return dg.AssetSpec(
        dg.AssetKey(broken.key),
        group_name=BROKEN_SPECS,
        description="This spec is broken and loads nothing:\n\n"
        + "\n".join(f"- `{fault}`" for fault in broken.faults),
        kinds={"yaml"},
        tags={"autoloader/broken": "true"},
        metadata=_code_reference(str(broken.path)),
    )


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
        tags=dict(spec.tags),
        kinds={"spark", "iceberg", spec.format.type},
        code_version=loaded.text_hash,
        pool="table_" + spec.table.name.replace(".", "_"),
        # A partition without files is not loaded, so it gets no event.
        output_required=False,
        op_tags={INGESTION_TAG: loaded.ingestion_id},
        metadata={
            "dagster/table_name": spec.table.name,
            "dagster/uri": spec.source.url,
            keys.SPEC: dg.MetadataValue.path(str(loaded.path)),
            **_code_reference(str(loaded.path)),
        },
        check_specs=[
            dg.AssetCheckSpec(
                FILES_CHECK,
                asset=key,
                description="Every file that the source has is in the table; none was set aside.",
            ),
            dg.AssetCheckSpec(
                ROWS_CHECK,
                asset=key,
                description="Every value fitted its column; nothing is in _rescued.",
            ),
        ],
    )
    def ingest(
        context: dg.AssetExecutionContext,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ):
        # It must stay a generator without a return annotation: Dagster would else record every
        # asked partition as loaded.
        with struck_errors():
            try:
                yield from _ingest(context, loaded, connections, spark_connect, processed_files)
            except AutoloaderError as error:
                raise dg.Failure(
                    description=f"{loaded.ingestion_id}: {error}",
                    metadata={"error": type(error).__name__},
                ) from error

    return ingest


def _ingest(
    context: dg.AssetExecutionContext,
    loaded: LoadedSpec,
    connections: Connections,
    spark_connect: SparkConnectResource,
    processed_files: ProcessedFilesResource,
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckResult]:
    ingestion = open_ingestion(loaded, connections, spark_connect, processed_files)
    partitions, asked = asked_partitions(context, loaded)
    if LISTED_TAG not in context.run.tags:
        found = discover(ingestion, lambda n: context.log.debug("%d files listed", n))
        context.log.info(
            "%d files listed: %d new, %d changed, %d unchanged, %d held, %d set aside",
            found.listed,
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
    over = ended_runs(context.instance, ingestion.store.open_run_ids())
    seen: set[str | None] = set()
    told: set[str] = set()
    for outcome in load(
        ingestion, partitions, context.run.run_id, over_runs=over, step=context.log.debug
    ):
        context.log.info(
            "batch %s: %d of %d files, %d rows, snapshot %s, %.1f s",
            outcome.batch_id,
            len(outcome.loaded),
            len(outcome.files),
            outcome.rows,
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
                "%d files have the content of a file that was loaded under another name; their "
                "rows are in the table too. The first: %s, as %s",
                len(same),
                same[0].path,
                same[0].same_as,
            )
        if outcome.unmatched_hints:
            context.log.warning(
                "schema.hints that match no column yet: %s", ", ".join(outcome.unmatched_hints)
            )
        told.add(outcome.batch_id)
        for partition, files in keys.by_partition(outcome).items():
            seen.add(partition)
            yield dg.AssetMaterialization(
                asset_key=context.asset_key,
                partition=partition,
                metadata=keys.partition_metadata(outcome, files, loaded.spec.table.name),
            )
    for event in missed_events(context.instance, ingestion, context.asset_key, told):
        seen.add(event.partition)
        yield event
    for event in settled_partitions(
        context.instance, ingestion, context.asset_key, {*seen, *asked}
    ):
        seen.add(event.partition)
        yield event
    if "dagster/backfill" in context.run.tags:
        yield from _empty_partitions(context, ingestion, [k for k in asked if k not in seen])
    yield from _checks(ingestion)


def _empty_partitions(
    context: dg.AssetExecutionContext, ingestion, missing: list[str]
) -> Iterator[dg.AssetMaterialization]:
    """A backfill ends well only if each partition has an event; so the empty ones get one."""
    totals = ingestion.store.partition_totals(ingestion.id, missing)
    for key in missing:
        files, rows = totals.get(key, (0, 0))
        yield dg.AssetMaterialization(
            asset_key=context.asset_key,
            partition=key,
            description="nothing new" if files else "no files",
            metadata={"dagster/row_count": rows, keys.FILES: 0, keys.FILES_IN_PARTITION: files},
        )


def _checks(ingestion) -> Iterator[dg.AssetCheckResult]:
    """Both checks tell of all that is known of the ingestion, not of this run alone."""
    totals = ingestion.store.counts(ingestion.id).get(ingestion.id, {})
    aside = [
        FileOutcome(
            path=row.file_path,
            partition_key=row.partition_key,
            status=row.status,
            bytes=row.file_size_bytes,
            error_type=row.error_type,
            reason=row.error_message,
        )
        for row in ingestion.store.files(
            ingestion.id, statuses=("FAILED", "QUARANTINED"), limit=keys.MAX_FILES_SHOWN
        )
    ]
    count = sum(totals[s].files for s in ("FAILED", "QUARANTINED") if s in totals)
    # Only 'on_change: fail' sets a changed file aside, and it asks for an error.
    changed = any(file.error_type == FILE_CHANGED for file in aside)
    failing = changed or ingestion.spec.errors.bad_file == "fail"
    yield dg.AssetCheckResult(
        check_name=FILES_CHECK,
        passed=count == 0,
        severity=dg.AssetCheckSeverity.ERROR if failing else dg.AssetCheckSeverity.WARN,
        description=f"{count} files are set aside" if count else "no file is set aside",
        metadata=keys.set_aside_metadata(aside) if aside else {},
    )
    bad = ingestion.store.bad_rows(ingestion.id)
    allowed = ingestion.spec.errors.max_bad_rows
    yield dg.AssetCheckResult(
        check_name=ROWS_CHECK,
        passed=bad.worst <= allowed,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{bad.rows} rows in {bad.files} files have something in _rescued",
        metadata={keys.BAD_ROWS: bad.rows},
    )
