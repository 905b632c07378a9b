"""Materializations of batches whose run died after it had published them.

Such a batch is in the table and in the state, found in main by catch-up or recorded a moment before
its run died, and Dagster was never told. The next run, job or tick tells it, of the files and rows
that the state recorded; the table's columns and the rate are left out, for nobody measured them.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import dagster as dg

from autoloader_dagster.loading.ingestion import BatchOutcome, FileOutcome, Ingestion
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.row_counts import row_counts
from autoloader_dagster.orchestration.runs.tags import failed_runs
from autoloader_dagster.state.records import BatchRow

# A batch is looked at by each of the runs that come soon after it. Two events of one partition
# that were left out for longer than this are left out for good; the state still knows.
_BATCHES = 20
_EVENTS = 100
_PAGE = 1_000


def missed_events(
    instance: dg.DagsterInstance,
    ingestion: Ingestion,
    key: dg.AssetKey,
    told_now: Collection[str],
    seen: set[str] | None = None,
) -> Iterator[dg.AssetMaterialization]:
    """What the latest batches brought or took out and no event tells of.

    Args:
        instance: Whose events are looked at.
        ingestion: Whose batches.
        key: Its asset.
        told_now: Batches that this run tells of by itself.
        seen: Batches of which events were found earlier, for whoever asks often. They are not
            looked at again, and what is found now is added.
    """
    done = {*told_now, *(seen or ())}
    recorded = [
        batch
        for batch in ingestion.store.batches(ingestion.id, limit=_BATCHES)
        if batch.status == "RECORDED" and batch.run_id and batch.id not in done
    ]
    failed = failed_runs(instance, {batch.run_id for batch in recorded})
    for batch in reversed(recorded):
        if batch.run_id in failed:
            tell = _undone if batch.kind == "undo" else _loaded
            events = list(tell(instance, ingestion, key, batch))
            if seen is not None and not events:
                seen.add(batch.id)
            yield from events


def _loaded(
    instance: dg.DagsterInstance, ingestion: Ingestion, key: dg.AssetKey, batch: BatchRow
) -> Iterator[dg.AssetMaterialization]:
    seconds = (batch.finished_at - batch.started_at).total_seconds() if batch.finished_at else 0.0
    outcome = BatchOutcome(
        batch.id,
        batch.snapshot_id,
        tuple(
            FileOutcome(
                path=row.file_path,
                partition_key=row.partition_key,
                status=row.status,
                bytes=row.bytes_read or 0,
                rows=row.records_ingested or 0,
                bad_rows=row.bad_records or 0,
            )
            for row in ingestion.store.files(ingestion.id, ("SUCCESS",), batch_id=batch.id)
        ),
        seconds,
    )
    groups = keys.by_partition(outcome)
    for partition, counts in _untold(instance, ingestion, key, groups, batch.id).items():
        yield dg.AssetMaterialization(
            asset_key=key,
            partition=partition,
            description=f"told late: run {batch.run_id} died after it had published this",
            metadata=keys.partition_metadata(outcome, groups[partition], batch.table)
            | counts
            | {keys.LOADED_BY_RUN: dg.MetadataValue.dagster_run(batch.run_id)},
        )


def _undone(
    instance: dg.DagsterInstance, ingestion: Ingestion, key: dg.AssetKey, batch: BatchRow
) -> Iterator[dg.AssetMaterialization]:
    recorded = ingestion.store.batch(batch.id)
    files = Counter(file.partition_key for file in recorded.files) if recorded else Counter()
    for partition, counts in _untold(instance, ingestion, key, files, batch.id).items():
        yield dg.AssetMaterialization(
            asset_key=key,
            partition=partition,
            description=f"told late: run {batch.run_id} died after it had undone this",
            metadata={
                keys.FILES: dg.MetadataValue.int(files[partition]),
                keys.BATCH_ID: dg.MetadataValue.text(batch.id),
                keys.SNAPSHOT_ID: dg.MetadataValue.text(str(batch.snapshot_id or "")),
                keys.LOADED_BY_RUN: dg.MetadataValue.dagster_run(batch.run_id),
                **counts,
            },
        )


def _untold(
    instance: dg.DagsterInstance,
    ingestion: Ingestion,
    key: dg.AssetKey,
    partitions: Collection[str | None],
    batch_id: str,
) -> dict[str | None, dict[str, dg.MetadataValue]]:
    """The row counts of those partitions of a batch that no event tells of."""
    told = _told(instance, key, list(partitions), batch_id)
    return row_counts(ingestion, [each for each in partitions if each not in told])


def _told(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    partitions: Sequence[str | None],
    batch_id: str,
) -> set[str | None]:
    """The partitions of a batch that an event tells of, by few queries for all of them."""
    named = [each for each in partitions if each is not None]
    chosen = dg.AssetRecordsFilter(key, asset_partitions=named) if named else key
    told: set[str | None] = set()
    left = _EVENTS * len(partitions)
    cursor: str | None = None
    while left > 0 and len(told) < len(partitions):
        page = instance.fetch_materializations(chosen, limit=min(left, _PAGE), cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            batch = event.metadata.get(keys.BATCH_ID) if event else None
            if event is not None and batch is not None and batch.value == batch_id:
                told.add(event.partition)
        if not page.has_more:
            break
        left, cursor = left - len(page.records), page.cursor
    return told
