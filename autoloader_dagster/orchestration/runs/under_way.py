"""Finds runs under way that load files which wait, so that no other run is asked for them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import dagster as dg

from autoloader_dagster.loading.plan import RunPlan
from autoloader_dagster.orchestration.runs.tags import PENDING_OF_TAG, RANGE_END, RANGE_START
from autoloader_dagster.specs.spec_set import LoadedSpec

_NOT_BEGUN = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
]


class RunsUnderWay:
    """The runs of one ingestion that were asked for what waits, and have not ended.

    Such a run claims batches until nothing waits in its partitions. After each batch less waits
    than it was asked for, and the digest of what waits is another one.

    Args:
        instance: Where the runs are.
        loaded: Whose runs. To be made after what waits was read: a run that has not begun then
            finds all of it.
    """

    def __init__(self, instance: dg.DagsterInstance, loaded: LoadedSpec) -> None:
        asked = dg.RunsFilter(
            tags={PENDING_OF_TAG: loaded.names.unique},
            statuses=[*_NOT_BEGUN, dg.DagsterRunStatus.STARTED],
        )
        self._runs = list(instance.get_run_records(asked))
        self._order: Mapping[str, int] | None = None
        if self._runs and loaded.spec.partition.kind == "key":
            known = instance.get_dynamic_partitions(loaded.names.unique)
            self._order = {key: place for place, key in enumerate(known)}

    def run_for(self, plan: RunPlan) -> dg.RunRecord | None:
        """A run that loads all files of the plan; None if one is to be asked for."""
        return next((each for each in self._runs if self._loads(each, plan)), None)

    def _loads(self, record: dg.RunRecord, plan: RunPlan) -> bool:
        run = record.dagster_run
        if run.status not in _NOT_BEGUN and not _began_after(record, plan.changed_at):
            return False
        first, last = run.tags.get(RANGE_START), run.tags.get(RANGE_END)
        if first is None or last is None:
            return True
        return bool(plan.keys) and self._are_between(first, plan.keys, last)

    def _are_between(self, first: str, keys: Sequence[str], last: str) -> bool:
        if self._order is None:
            return all(first <= key <= last for key in keys)
        start, *places, end = (self._order.get(key, -1) for key in (first, *keys, last))
        return start >= 0 and all(start <= place <= end for place in places)


def _began_after(record: dg.RunRecord, changed_at: datetime | None) -> bool:
    """Whether the files waited before the run began; it does not take those that it has failed."""
    if changed_at is None or record.start_time is None:
        return False
    return changed_at.timestamp() <= record.start_time
