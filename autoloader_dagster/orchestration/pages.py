"""Keeps what Dagster shows of an asset true: the events that a run, a job or a tick owes it.

Whatever changes rows writes a materialization, because the overview of an asset takes its row count
from the last one.
"""

from collections.abc import Collection, Iterator

import dagster as dg

from autoloader_dagster.loading.changes.undo import UndoOutcome
from autoloader_dagster.loading.ingestion import BatchOutcome, Ingestion
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.checks import check_evaluations, outdated_checks
from autoloader_dagster.orchestration.failed_partitions import open_files, settled_partitions
from autoloader_dagster.orchestration.jobs import metadata as job_metadata
from autoloader_dagster.orchestration.row_counts import row_counts
from autoloader_dagster.orchestration.runs.late_events import missed_events

AssetEvent = dg.AssetMaterialization | dg.AssetCheckEvaluation


class Pages:
    """The pages of one asset, beside the work that changes its rows.

    Args:
        instance: Whose pages.
        ingestion: What is loaded. Its state is read now, to be compared with later.
        key: Its asset.
    """

    def __init__(
        self, instance: dg.DagsterInstance, ingestion: Ingestion, key: dg.AssetKey
    ) -> None:
        self._instance = instance
        self._ingestion = ingestion
        self._key = key
        self._before = ingestion.store.totals.partition_totals(ingestion.id)
        self._told: set[str | None] = set()
        self._batches: set[str] = set()

    def loaded(
        self, outcome: BatchOutcome, description: str | None = None
    ) -> Iterator[dg.AssetMaterialization]:
        """What a batch brought to each partition."""
        self._batches.add(outcome.batch_id)
        groups = keys.by_partition(outcome)
        counts = row_counts(self._ingestion, groups, outcome.table_rows)
        for partition, files in groups.items():
            yield self._event(
                partition,
                description,
                keys.partition_metadata(outcome, files, self._ingestion.spec.table.name)
                | counts[partition],
            )

    def undone(self, outcome: UndoOutcome) -> Iterator[dg.AssetMaterialization]:
        """What an undo left of each partition; if an earlier run did it, ``settle`` tells that."""
        if outcome.earlier_run is None:
            self._batches.add(outcome.batch_id)
        groups = job_metadata.undone_by_partition(outcome)
        counts = row_counts(self._ingestion, groups, outcome.table_rows)
        for partition, metadata in groups.items():
            yield self._event(
                partition, f"undone by batch {outcome.batch_id}", metadata | counts[partition]
            )

    def settle(self, asked: Collection[str] = ()) -> Iterator[dg.AssetMaterialization]:
        """What else has changed, here or in runs that died, and what an earlier run left FAILED.

        Args:
            asked: Partitions that this run was asked for; Dagster decides about them at its end.
        """
        for event in missed_events(self._instance, self._ingestion, self._key, self._batches):
            yield self._noted(event)
        after = self._ingestion.store.totals.partition_totals(self._ingestion.id)
        changed = [
            each
            for each in {**self._before, **after}
            if self._before.get(each) != after.get(each) and each not in self._told
        ]
        for partition, counts in row_counts(self._ingestion, changed).items():
            yield self._event(
                partition,
                "its rows changed: a batch was found in the table, or is not there any more",
                {keys.FILES: dg.MetadataValue.int(0), **counts},
            )
        for event in settled_partitions(
            self._instance, self._ingestion, self._key, {*self._told, *asked}
        ):
            yield self._noted(event)

    def all_settled(self) -> Iterator[AssetEvent]:
        """The same, and both checks, for whatever is no run of the asset."""
        yield from self.settle()
        yield from check_evaluations(self._ingestion, self._key)

    def filled(self, asked: Collection[str]) -> Iterator[dg.AssetMaterialization]:
        """Events for those partitions of a backfill in which nothing was to be done.

        A backfill ends well only if each of its partitions has an event. A partition without rows
        whose files wait, failed or are quarantined gets none; see ``not_filled``.
        """
        missing = [each for each in asked if each not in self._told]
        totals = self._ingestion.store.totals.partition_totals(self._ingestion.id, missing)
        waiting = open_files(self._ingestion, missing)
        empty = [each for each in missing if totals[each].files or each not in waiting]
        for partition, counts in row_counts(self._ingestion, empty).items():
            yield self._event(
                partition,
                "nothing new" if totals[partition].files else "no files",
                {keys.FILES: dg.MetadataValue.int(0), **counts},
            )

    def not_filled(self, asked: Collection[str]) -> dict[str, dict[str, int]]:
        """The partitions of a backfill that no event was made for, with their files by status."""
        return open_files(self._ingestion, [each for each in asked if each not in self._told])

    def _event(
        self,
        partition: str | None,
        description: str | None,
        metadata: dict[str, dg.MetadataValue],
    ) -> dg.AssetMaterialization:
        self._told.add(partition)
        return dg.AssetMaterialization(
            asset_key=self._key,
            partition=partition,
            description=description,
            metadata=metadata,
        )

    def _noted(self, event: dg.AssetMaterialization) -> dg.AssetMaterialization:
        self._told.add(event.partition)
        return event


def tick_events(
    instance: dg.DagsterInstance, ingestion: Ingestion, key: dg.AssetKey
) -> list[AssetEvent]:
    """What a tick owes the pages: what no run has told or will tell. Cheap if there is nothing."""
    told: list[dg.AssetMaterialization] = []
    # An event of a tick is written a while after the tick has counted. If a run loaded meanwhile,
    # the event would hide the run's own one, and show the count from before.
    if not ingestion.store.batches.has_open(ingestion.id):
        told += missed_events(instance, ingestion, key, ())
        seen = {event.partition for event in told}
        told += settled_partitions(instance, ingestion, key, seen)
    if told:
        # A materialization makes the checks before it look outdated.
        return [*told, *check_evaluations(ingestion, key)]
    return list(outdated_checks(instance, ingestion, key))


def report(instance: dg.DagsterInstance, events: Collection[AssetEvent]) -> None:
    """Write events that belong to no run."""
    for event in events:
        instance.report_runless_asset_event(event)
