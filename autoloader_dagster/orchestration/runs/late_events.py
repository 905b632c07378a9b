"""Materializations of batches that no run has told this Dagster of.

A run may die after it has published a batch, which catch-up then finds in main. Or another Dagster
on the same state loaded it, or this one has lost its home and does not know the run any more. The
next run, job or tick tells it, of the files and rows that the state recorded; the table's columns
and the rate are left out, because nobody measured them.

Of a partition that several batches of unknown runs filled, the last one is told, with the rows as
they are now. So a lost home costs an event a partition, however many batches there were.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cached_property

import dagster as dg

from autoloader_dagster.loading.ingestion import BatchOutcome, FileOutcome, Ingestion
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.row_counts import known_table_rows, row_counts
from autoloader_dagster.orchestration.runs.tags import has_failed, run_statuses
from autoloader_dagster.orchestration.runs.told import Told, read_told, write_told
from autoloader_dagster.state.records import BatchRow

# Of one look. What is left is looked at by the next one. No batch begins once so many events are
# told.
_BATCHES = 1_000
_TOLD_AT_ONCE = 50
_PAGE = 1_000
# After so many looks an event is taken for written, although its time says that it is too old.
_LOOKS = 3
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
    told = read_told(instance, key)
    stored = ingestion.store.batches
    if not told.is_of(stored):
        told = Told()
    batches = stored.recorded_after(ingestion.id, told.number, told.open, _BATCHES)
    runs = run_statuses(instance, {batch.run_id for batch in batches})
    look = _Look(instance, ingestion, key, runs)
    number, last = told.number, told.batch_id
    still_open: dict[str, int] = {}
    at_once = 0
    for place, batch in enumerate(batches):
        looks = told.open.get(batch.id, 0)
        if at_once >= _TOLD_AT_ONCE:
            rest = {each.id for each in batches[place:]}
            still_open |= {name: count for name, count in told.open.items() if name in rest}
            break
        run = runs.get(batch.run_id)
        done = looks == _LOOKS or _is_settled(batch, run) or look.is_behind(batch)
        if not done and (batch.id in told_now or not _has_died(run)):
            still_open[batch.id] = looks
        elif not done and (events := list(look.events(batch))):
            at_once += len(events)
            # Dagster writes them after this, so the next look sees whether it did.
            still_open[batch.id] = looks + 1
            yield from events
        if batch.record_number is not None and batch.record_number > number:
            number, last = batch.record_number, batch.id
    after = told.moved(number, last, still_open)
    if after != told:
        write_told(instance, key, after)


def _is_settled(batch: BatchRow, run: dg.DagsterRunStatus | None) -> bool:
    """Whether there is nothing to tell of a batch, unless it is recorded again."""
    return batch.status != "RECORDED" or run is dg.DagsterRunStatus.SUCCESS


def _has_died(run: dg.DagsterRunStatus | None) -> bool:
    """Whether a recorded batch is told by no run: its own died, or this Dagster has none."""
    return run is None or has_failed(run)


class _Look:
    """One look at the batches of an asset, and what is to be told of them.

    Args:
        instance: The Dagster instance whose events are looked at.
        ingestion: Whose batches.
        key: Its asset.
        runs: The status of those of their runs that this Dagster knows.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        ingestion: Ingestion,
        key: dg.AssetKey,
        runs: Mapping[str, dg.DagsterRunStatus],
    ) -> None:
        self._instance = instance
        self._ingestion = ingestion
        self._key = key
        self._runs = runs

    def is_behind(self, batch: BatchRow) -> bool:
        """Whether a batch of an unknown run loaded nothing that a later one has not told."""
        if self._knows(batch) or batch.kind == "undo" or batch.status != "RECORDED":
            return False
        return batch.record_number not in self._last_numbers

    def events(self, batch: BatchRow) -> Iterator[dg.AssetMaterialization]:
        """What no event tells of a batch yet."""
        return self._of_undo(batch) if batch.kind == "undo" else self._of_load(batch)

    def _of_load(self, batch: BatchRow) -> Iterator[dg.AssetMaterialization]:
        seconds = (
            (batch.finished_at - batch.started_at).total_seconds() if batch.finished_at else 0.0
        )
        files = self._ingestion.store.files
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
                for row in files.find(self._ingestion.id, ("SUCCESS",), batch_id=batch.id)
            ),
            seconds,
        )
        groups = keys.by_partition(outcome)
        for partition, counts in self._untold(batch, groups).items():
            yield dg.AssetMaterialization(
                asset_key=self._key,
                partition=partition,
                description=self._how(batch, "loaded", "published this"),
                metadata=keys.partition_metadata(outcome, groups[partition], batch.table)
                | counts
                | self._run(batch),
            )

    def _of_undo(self, batch: BatchRow) -> Iterator[dg.AssetMaterialization]:
        recorded = self._ingestion.store.batches.get(batch.id)
        files = Counter(file.partition_key for file in recorded.files) if recorded else Counter()
        for partition, counts in self._untold(batch, files).items():
            yield dg.AssetMaterialization(
                asset_key=self._key,
                partition=partition,
                description=self._how(batch, "undone", "undone this"),
                metadata={
                    keys.FILES: dg.MetadataValue.int(files[partition]),
                    keys.BATCH_ID: dg.MetadataValue.text(batch.id),
                    keys.SNAPSHOT_ID: dg.MetadataValue.text(str(batch.snapshot_id or "")),
                    **self._run(batch),
                    **counts,
                },
            )

    def _untold(
        self, batch: BatchRow, partitions: Collection[str | None]
    ) -> dict[str | None, dict[str, dg.MetadataValue]]:
        """The row counts of those partitions of a batch that an event is to tell of."""
        telling = self._telling(batch, partitions)
        told = self._told(batch, telling) if telling else set()
        untold = [each for each in telling if each not in told]
        return row_counts(self._ingestion, untold, self._table_rows) if untold else {}

    def _telling(self, batch: BatchRow, partitions: Collection[str | None]) -> list[str | None]:
        """The partitions of a batch that it tells of: of an unknown run, where it was the last."""
        number = batch.record_number
        if self._knows(batch) or number is None:
            return list(partitions)
        return [each for each in partitions if self._last_loads.get(each, number) <= number]

    def _told(self, batch: BatchRow, partitions: Sequence[str | None]) -> set[str | None]:
        """The partitions of a batch that an event tells of, by few queries for all of them."""
        named = [each for each in partitions if each is not None]
        since = min(batch.started_at, datetime.now(timezone.utc)) - _CLOCKS_DIFFER
        chosen = dg.AssetRecordsFilter(
            self._key, asset_partitions=named or None, after_timestamp=since.timestamp()
        )
        told: set[str | None] = set()
        cursor: str | None = None
        while len(told) < len(partitions):
            page = self._instance.fetch_materializations(chosen, limit=_PAGE, cursor=cursor)
            for record in page.records:
                event = record.asset_materialization
                batch_id = event.metadata.get(keys.BATCH_ID) if event else None
                if event is not None and batch_id is not None and batch_id.value == batch.id:
                    told.add(event.partition)
            if not page.has_more:
                break
            cursor = page.cursor
        return told

    def _knows(self, batch: BatchRow) -> bool:
        return batch.run_id in self._runs

    @cached_property
    def _table_rows(self) -> int:
        """Rows of the whole table, counted once for all events of a look."""
        return known_table_rows(self._ingestion)

    @cached_property
    def _last_loads(self) -> dict[str | None, int]:
        return self._ingestion.store.totals.last_loads(self._ingestion.id)

    @cached_property
    def _last_numbers(self) -> set[int]:
        return set(self._last_loads.values())

    def _how(self, batch: BatchRow, done: str, died: str) -> str:
        """What happened, for the description of an event."""
        if self._knows(batch):
            return f"told late: run {batch.run_id} died after it had {died}"
        if batch.run_id:
            return f"{done} by run {batch.run_id}, which this Dagster does not know"
        return f"{done} by batch {batch.id}, whose run is not known"

    def _run(self, batch: BatchRow) -> dict[str, dg.MetadataValue]:
        """The run, as metadata of an event; Dagster has no page for an unknown one."""
        if self._knows(batch):
            return {keys.LOADED_BY_RUN: dg.MetadataValue.dagster_run(batch.run_id)}
        return {keys.LOADED_BY_RUN: dg.MetadataValue.text(batch.run_id)} if batch.run_id else {}
