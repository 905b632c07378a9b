"""Runs an ingestion's asset now, in this process, as one run of the Dagster instance.

It lists and plans with the sensors' planner and then executes the asset itself, so that the run is
in Dagster's event log like any other.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import dagster as dg

from autoloader_dagster.counts import counted
from autoloader_dagster.errors import UsageError
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.progress import Progress, no_progress
from autoloader_dagster.loading.recovery.moved_table import moved_in_state, refuse_moved_table
from autoloader_dagster.orchestration.assets import asset_key, build_asset, build_source
from autoloader_dagster.orchestration.instance import open_instance
from autoloader_dagster.orchestration.metadata import notes_of
from autoloader_dagster.orchestration.pages import report, tick_events
from autoloader_dagster.orchestration.partitions import partitions_definition
from autoloader_dagster.orchestration.planning import (
    Planned,
    look_and_plan,
    run_tags,
)
from autoloader_dagster.orchestration.resources import (
    default_resources,
    open_ingestion,
    resources_of_environment,
)
from autoloader_dagster.orchestration.runs.failures import RunFailure
from autoloader_dagster.orchestration.runs.in_process import (
    execute_here,
    failure_of,
    progress_logger,
)
from autoloader_dagster.orchestration.runs.lost import Ours, fail_lost_runs
from autoloader_dagster.orchestration.runs.tags import (
    LISTED_TAG,
    RANGE_END,
    RANGE_START,
    tags_of,
)
from autoloader_dagster.settings import load_settings
from autoloader_dagster.specs.connections import Connections
from autoloader_dagster.specs.spec_set import LoadedSpec
from autoloader_dagster.state.records import BatchRow, Discovery, FileRow
from autoloader_dagster.state.store import ProcessedFiles


@dataclass(frozen=True, slots=True)
class FileCounts:
    """What became of the files; see ``RunReport``."""

    loaded: int = 0
    unchanged: int = 0
    failed: int = 0
    quarantined: int = 0
    skipped: int = 0
    held: int = 0
    waiting: int = 0
    processing: int = 0


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run came to.

    Attributes:
        ingestion: ``tenant/name``.
        run_id: Dagster's run; None if there was nothing to load and none was started.
        status: SUCCESS or FAILURE, as Dagster shows it.
        files: Loaded and quarantined by this run and its listing; held and skipped as they were
            listed; unchanged if neither had anything to do; waiting after it, because they have
            changed or were not asked for; processing are those in batches of other runs.
        rows: Rows that were loaded.
        bad_rows: Of these, the rows with something in ``_rescued``.
        bytes: Source bytes of the loaded files.
        seconds: From the listing to the end.
        batches: The batches that were recorded, oldest first.
        loaded: The loaded files.
        bad_files: Files that failed or were quarantined in this run or its listing, with reasons.
        failure: Why the run failed.
        same_content: Loaded files whose content was loaded before under another name, with that.
        note: Why nothing was listed, in words; empty if something was.
        notes: What looks like a mistake in the spec, and how to correct it.
    """

    ingestion: str
    run_id: str | None
    status: str
    files: FileCounts
    rows: int = 0
    bad_rows: int = 0
    bytes: int = 0
    seconds: float = 0
    batches: tuple[BatchRow, ...] = ()
    loaded: tuple[FileRow, ...] = field(default=(), repr=False)
    bad_files: tuple[FileRow, ...] = ()
    failure: RunFailure | None = None
    same_content: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    notes: tuple[str, ...] = ()


def run_now(
    loaded: LoadedSpec,
    connections: Connections,
    partition: str | None = None,
    progress: Progress = no_progress,
) -> RunReport:
    """List the source and load what is pending, in this process.

    ``DAGSTER_HOME`` must be set; see ``orchestration.home``.

    Args:
        loaded: What to load.
        connections: For its source.
        partition: Load only this partition; default all of them.
        progress: Told what is being done.

    Raises:
        UsageError: There is no such partition.
        SourceError: The source could not be listed; no run was started then.
        StateError: The same, for the state.
        TableMoved: Nothing waits, and the loaded files are in another table than the spec's.
        KeyboardInterrupt: A signal ended the run. Its batch was given back, or is in the table.
    """
    began = time.monotonic()
    with open_instance() as instance:
        # What a killed run had claimed is planned only once Dagster knows that the run has ended.
        fail_lost_runs(instance, load_settings(), Ours())
        # Also before the listing: what it says of a partition does not depend on the files.
        if partition is not None:
            _check_partition(loaded, instance, partition, named_keys=False)
        ingestion = open_ingestion(loaded, connections, resources_of_environment(), steady=True)
        try:
            known = {row.id: row.retry_count for row in _bad_files(ingestion)}
            progress(f"list {loaded.spec.source.url}")
            planned = look_and_plan(
                ingestion, instance, lambda count: progress(f"list: {counted(count, 'file')}")
            )
            if partition is not None:
                _check_partition(loaded, instance, partition, named_keys=True)
            result = None
            if any(partition is None or partition in plan.keys for plan in planned.plans):
                progress(f"start a run for {counted(planned.files, 'file')}")
                result = _execute(
                    loaded, connections, instance, _tags(ingestion, planned, partition), progress
                )
            else:
                _refuse_moved_table(ingestion)
                # No run tells what the listing has quarantined.
                report(instance, tick_events(instance, ingestion, asset_key(loaded)))
            return _report(ingestion, planned, result, known, time.monotonic() - began)
        finally:
            ingestion.store.close()


def _refuse_moved_table(ingestion: Ingestion) -> None:
    """Refuse a table that has none of the loaded files; a run would, and there is none.

    Raises:
        TableMoved: The spec names another table than the one that has them.
    """
    if moved_in_state(ingestion) is not None:
        with ingestion.connect() as spark:
            refuse_moved_table(ingestion, lambda: ingestion.table(spark))


def _check_partition(
    loaded: LoadedSpec, instance: dg.DagsterInstance, key: str, *, named_keys: bool
) -> None:
    definition = partitions_definition(loaded)
    if definition is None:
        raise UsageError(
            f"{loaded.ingestion_id} has no partitions (partition.by: none)",
            "Leave --partition out.",
        )
    if isinstance(definition, dg.DynamicPartitionsDefinition):
        keys = instance.get_dynamic_partitions(definition.name or "") if named_keys else [key]
        if key not in keys:
            some = ", ".join(keys[:10]) or "none yet"
            raise UsageError(
                f"{loaded.ingestion_id} has no partition '{key}'", f"Its partitions are: {some}."
            )
        return
    if not definition.has_partition_key(key):
        raise UsageError(
            f"{loaded.ingestion_id} has no partition '{key}'",
            f"They begin every {loaded.spec.partition.every}, from "
            f"{definition.get_first_partition_key()} to {definition.get_last_partition_key()}.",
        )


def _tags(ingestion: Ingestion, planned: Planned, partition: str | None) -> dict[str, str]:
    if partition is not None:
        tags = tags_of(ingestion.id) | {LISTED_TAG: "true"}
        return tags | {RANGE_START: partition, RANGE_END: partition}
    # Without a range the asset loads all that is pending, over any gaps, in one run. The digest
    # keeps a sensor from asking for the same files meanwhile.
    tags = run_tags(ingestion, planned.plans[0])
    return {name: value for name, value in tags.items() if name not in (RANGE_START, RANGE_END)}


def _execute(
    loaded: LoadedSpec,
    connections: Connections,
    instance: dg.DagsterInstance,
    tags: dict[str, str],
    progress: Progress,
) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions(
        assets=[build_asset(loaded, connections), build_source(loaded)],
        resources=default_resources(loaded.mount),
        loggers=progress_logger(progress),
    )
    return execute_here(
        definitions.resolve_implicit_global_asset_job_def(),
        instance,
        tags,
        asset_selection=[asset_key(loaded)],
    )


def _bad_files(ingestion: Ingestion) -> list[FileRow]:
    return list(ingestion.store.files.find(ingestion.id, statuses=("FAILED", "QUARANTINED")))


def _report(
    ingestion: Ingestion,
    planned: Planned,
    result: dg.ExecuteInProcessResult | None,
    known: dict[int, int],
    seconds: float,
) -> RunReport:
    store, found = ingestion.store, planned.discovery
    run_id = result.run_id if result else None
    of_run = list(store.files.find(ingestion.id, run_id=run_id)) if run_id else []
    loaded = tuple(row for row in of_run if row.status == "SUCCESS")
    # A new one, or one that has failed once more.
    aside = tuple(
        row
        for row in _bad_files(ingestion)
        if known.get(row.id) != row.retry_count or (run_id and row.run_id == run_id)
    )
    number_of_files = store.totals.number_of_files
    # What keeps the table empty is news, however old it is.
    if result is None and not aside and not number_of_files(ingestion.id, ("SUCCESS",)):
        aside = tuple(_bad_files(ingestion))
    batches = store.batches.latest(ingestion.id, run_id=run_id, limit=10_000) if run_id else []
    recorded = tuple(batch for batch in reversed(batches) if batch.status == "RECORDED")
    return RunReport(
        ingestion=ingestion.id,
        run_id=run_id,
        status="SUCCESS" if result is None or result.success else "FAILURE",
        files=FileCounts(
            loaded=len(loaded),
            unchanged=_unchanged(store, ingestion.id, found, of_run),
            failed=sum(row.status == "FAILED" for row in aside),
            quarantined=sum(row.status == "QUARANTINED" for row in aside),
            skipped=found.skipped + sum(row.status == "SKIPPED" for row in of_run),
            held=found.held,
            waiting=number_of_files(ingestion.id, ("DISCOVERED",)) if result else 0,
            processing=number_of_files(ingestion.id, ("PROCESSING",)),
        ),
        rows=sum(row.rows or 0 for row in loaded),
        bad_rows=sum(row.bad_rows or 0 for row in loaded),
        bytes=sum(row.bytes_read or 0 for row in loaded),
        seconds=round(seconds, 3),
        batches=recorded,
        loaded=loaded,
        bad_files=aside,
        failure=None if result is None or result.success else failure_of(result),
        same_content=store.files.same_content(run_id=run_id) if run_id else {},
        note=planned.empty_because,
        notes=notes_of(_materializations(result)) if result else (),
    )


def _unchanged(
    store: ProcessedFiles, ingestion_id: str, found: Discovery, of_run: Iterable[FileRow]
) -> int:
    """The listed files for which neither the listing nor the run had anything to do.

    Those that waited already are not among them, whatever the run has done with them.
    """
    if (began := found.began) is None:
        return found.unchanged
    still = store.totals.number_of_files(ingestion_id, ("DISCOVERED", "PROCESSING"), began)
    waited = still + sum(row.discovered_at < began for row in of_run) - found.placed_again
    return max(0, found.unchanged - waited)


def _materializations(result: dg.ExecuteInProcessResult) -> Iterator[dg.AssetMaterialization]:
    for event in result.all_events:
        if event.is_step_materialization:
            yield event.step_materialization_data.materialization
