"""Materializations of batches whose run died after it had published them.

Such a batch is in the table and in the state, found in main by catch-up or recorded a moment before
its run died, and Dagster was never told. The next run, job or tick tells it, of the files and rows
that the state recorded; the table's columns and the rate are left out, for nobody measured them.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta, timezone

import dagster as dg

from autoloader_dagster.loading.ingestion import BatchOutcome, FileOutcome, Ingestion
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.row_counts import row_counts
from autoloader_dagster.orchestration.runs.tags import has_failed, run_statuses
from autoloader_dagster.orchestration.runs.told import read_told, write_told
from autoloader_dagster.state.records import BatchRow

# Of one look. What is left is looked at by the next one.
_BATCHES = 1_000
_TOLD_AT_ONCE = 50
_PAGE = 1_000
# After so many looks an event is taken for written, although its time says that it is too old.
_LOOKS = 3
# A released batch may be found in the table after all, if its worker was only slow.
_RELEASED_FOR = timedelta(days=1)
# Between the clock of the state and that of whoever writes events.
_CLOCKS_DIFFER = timedelta(days=2)


def missed_events(
    instance: dg.DagsterInstance, ingestion: Ingestion, key: dg.AssetKey, told_now: Collection[str]
) -> Iterator[dg.AssetMaterialization]:
    """What batches brought or took out and no event tells of, from the last look on.

    Args:
        instance: Whose events are looked at, and who keeps how far they were.
        ingestion: Whose batches.
        key: Its asset.
        told_now: Batches that this run tells of by itself.
    """
    now = datetime.now(timezone.utc)
    told = read_told(instance, key)
    batches = ingestion.store.batches.since(ingestion.id, told.since(now), told.open, _BATCHES)
    runs = run_statuses(instance, {batch.run_id for batch in batches})
    moment = told.moment
    still_open: dict[str, int] = {}
    at_once = 0
    for number, batch in enumerate(batches):
        looks = told.open.get(batch.id, 0)
        if at_once == _TOLD_AT_ONCE:
            rest = {each.id for each in batches[number:]}
            still_open |= {name: count for name, count in told.open.items() if name in rest}
            break
        if looks == _LOOKS or _is_settled(batch, runs.get(batch.run_id), now):
            pass
        elif batch.id in told_now or not _has_died(batch, runs.get(batch.run_id)):
            still_open[batch.id] = looks
        elif events := list(_tell(instance, ingestion, key, batch)):
            at_once += 1
            # Dagster writes them after this, so the next look sees whether it did.
            still_open[batch.id] = looks + 1
            yield from events
        moment = batch.started_at if moment is None else max(moment, batch.started_at)
    after = told.moved(moment, still_open)
    if after != told:
        write_told(instance, key, after)


def _is_settled(batch: BatchRow, run: dg.DagsterRunStatus | None, now: datetime) -> bool:
    """Whether there is nothing to tell of a batch, and never will be."""
    if batch.status == "RELEASED":
        return now - batch.started_at > _RELEASED_FOR
    # This Dagster does not know the run: the state serves another one too, or was there before it.
    return batch.status == "RECORDED" and run in (None, dg.DagsterRunStatus.SUCCESS)


def _has_died(batch: BatchRow, run: dg.DagsterRunStatus | None) -> bool:
    return batch.status == "RECORDED" and run is not None and has_failed(run)


def _tell(
    instance: dg.DagsterInstance, ingestion: Ingestion, key: dg.AssetKey, batch: BatchRow
) -> Iterator[dg.AssetMaterialization]:
    tell = _undone if batch.kind == "undo" else _loaded
    return tell(instance, ingestion, key, batch)


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
                rows=row.rows or 0,
                bad_rows=row.bad_rows or 0,
            )
            for row in ingestion.store.files.find(ingestion.id, ("SUCCESS",), batch_id=batch.id)
        ),
        seconds,
    )
    groups = keys.by_partition(outcome)
    for partition, counts in _untold(instance, ingestion, key, groups, batch).items():
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
    recorded = ingestion.store.batches.get(batch.id)
    files = Counter(file.partition_key for file in recorded.files) if recorded else Counter()
    for partition, counts in _untold(instance, ingestion, key, files, batch).items():
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
    batch: BatchRow,
) -> dict[str | None, dict[str, dg.MetadataValue]]:
    """The row counts of those partitions of a batch that no event tells of."""
    told = _told(instance, key, list(partitions), batch)
    return row_counts(ingestion, [each for each in partitions if each not in told])


def _told(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    partitions: Sequence[str | None],
    batch: BatchRow,
) -> set[str | None]:
    """The partitions of a batch that an event tells of, by few queries for all of them."""
    named = [each for each in partitions if each is not None]
    since = batch.started_at - _CLOCKS_DIFFER
    chosen = dg.AssetRecordsFilter(
        key, asset_partitions=named or None, after_timestamp=since.timestamp()
    )
    told: set[str | None] = set()
    cursor: str | None = None
    while len(told) < len(partitions):
        page = instance.fetch_materializations(chosen, limit=_PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            batch_id = event.metadata.get(keys.BATCH_ID) if event else None
            if event is not None and batch_id is not None and batch_id.value == batch.id:
                told.add(event.partition)
        if not page.has_more:
            break
        cursor = page.cursor
    return told
