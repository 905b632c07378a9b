"""From what is pending to run requests: one planner for sensors, schedules and the CLI."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import takewhile

import dagster as dg

from autoloader_dagster.counts import counted, shown_counts
from autoloader_dagster.loading.discover import discover, why_nothing_was_listed
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.plan import RunPlan, plan_runs
from autoloader_dagster.orchestration.named_partitions import add_named_partitions
from autoloader_dagster.orchestration.outages import Outage, has_met_outage
from autoloader_dagster.orchestration.runs.tags import (
    AT_ONCE_TAG,
    LISTED_TAG,
    PENDING_OF_TAG,
    PENDING_TAG,
    RANGE_END,
    RANGE_START,
    ended_at,
    ended_runs,
    has_ended,
    run_failure,
    runs_for_pending,
    tags_of,
)
from autoloader_dagster.orchestration.runs.under_way import RunsUnderWay
from autoloader_dagster.state.records import Discovery

# A pending set whose run failed is asked for again after this, doubled with each failure.
_FIRST_WAIT = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a look at the source came to.

    Attributes:
        discovery: What the listing found.
        plans: The runs that would load all that is pending.
        empty_because: Why nothing was listed, in words; empty if something was.
    """

    discovery: Discovery
    plans: tuple[RunPlan, ...]
    empty_because: str = ""

    @property
    def files(self) -> int:
        """Pending files."""
        return sum(plan.files for plan in self.plans)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(plan.bytes for plan in self.plans)


def look_and_plan(
    ingestion: Ingestion,
    instance: dg.DagsterInstance,
    progress: Callable[[int], None] | None = None,
) -> Planned:
    """List the source, record what is new, and plan runs for all that is pending."""
    discovery = discover(ingestion, progress)
    return plan_pending(ingestion, instance, discovery)


def plan_pending(
    ingestion: Ingestion, instance: dg.DagsterInstance, discovery: Discovery | None
) -> Planned:
    """Plan runs for all that is pending, after a listing or without one.

    The named keys of the recorded files become Dagster partitions here, so that a run can be asked
    for them; after a listing, keys without any recorded file stop being partitions, some at a time.
    """
    found = discovery or Discovery()
    empty_because = ""
    if discovery is not None and not discovery.listed:
        empty_because = why_nothing_was_listed(ingestion)
    named = add_named_partitions(ingestion, instance)
    over = ended_runs(instance, ingestion.store.batches.open_run_ids())
    plans = plan_runs(ingestion, over, named.keys if named is not None else None)
    if named is not None and found.listed:
        named.remove_unused(instance)
    return Planned(found, tuple(plans), empty_because)


def run_tags(ingestion: Ingestion, plan: RunPlan) -> dict[str, str]:
    """The tags that make a run load this plan."""
    tags = tags_of(ingestion.id) | {
        PENDING_TAG: plan.digest,
        PENDING_OF_TAG: ingestion.loaded.names.unique,
        LISTED_TAG: "true",
    }
    if plan.first is not None and plan.last is not None:
        tags |= {RANGE_START: plan.first, RANGE_END: plan.last}
    return tags


def run_requests(
    ingestion: Ingestion,
    instance: dg.DagsterInstance,
    plans: Sequence[RunPlan],
    now: datetime | None = None,
    outage: Outage | None = None,
) -> tuple[list[dg.RunRequest], list[str]]:
    """The runs to ask for now, and why others are not asked for.

    The same pending set is asked for once; when that run has ended and the set still waits (the
    run failed before it could claim it), it is asked for again, later each time, however often
    that was. Once an outage is over it is asked for at once, and then waits as after a first
    failure. A set that a run had loaded and that waits again, after an undo for example, is asked
    for at once too. Dagster itself never repeats a run key, so the last run that tried is part of
    it. What a run under way has yet to load is left to it.
    """
    moment = now or datetime.now(timezone.utc)
    requests: list[dg.RunRequest] = []
    waiting: list[str] = []
    delays: list[_Delay] = []
    loading = RunsUnderWay(instance, ingestion.loaded) if plans else None
    for plan in plans:
        tried = runs_for_pending(instance, plan.digest)
        under_way = next((record for record in tried if not has_ended(record)), None)
        if under_way is None and loading is not None:
            under_way = loading.run_for(plan)
        if under_way is not None:
            waiting.append(
                f"{counted(plan.files, 'file is', 'files are')} in run "
                f"{under_way.dagster_run.run_id[:8]} "
                f"({under_way.dagster_run.status.value.lower()})"
            )
            continue
        failed = list(_since_they_were_loaded(ingestion, tried))
        at_once: dict[str, str] = {}
        if failed:
            asked_at_once = _asked_at_once(failed)
            failures = asked_at_once if asked_at_once is not None else len(failed) - 1
            wait = min(_FIRST_WAIT * 2**failures, _LONGEST_WAIT)
            ended = ended_at(failed[0], moment)
            if moment < ended + wait:
                met = asked_at_once is None and _met_outage(instance, failed)
                if outage is None or not outage.is_over(met=met):
                    seconds = int((ended + wait - moment).total_seconds())
                    delays.append(_Delay(plan.files, seconds, failed[0].dagster_run.run_id))
                    continue
                at_once = {AT_ONCE_TAG: "true"}
        last = tried[0].dagster_run.run_id if tried else "first"
        requests.append(
            dg.RunRequest(
                run_key=f"{ingestion.id}:{plan.digest}:{last}",
                tags=run_tags(ingestion, plan) | at_once,
            )
        )
    if delays:
        waiting.append(_delays_in_words(instance, delays, outage.fault if outage else ""))
    return requests, waiting


def _since_they_were_loaded(
    ingestion: Ingestion, tried: Sequence[dg.RunRecord]
) -> Iterator[dg.RunRecord]:
    """Of the runs that were asked for to load a pending set those after the last that loaded."""
    loaded = ingestion.store.batches.runs_that_loaded([each.dagster_run.run_id for each in tried])
    return takewhile(lambda each: each.dagster_run.run_id not in loaded, tried)


def _asked_at_once(failed: Sequence[dg.RunRecord]) -> int | None:
    """How many runs came after the last one that was asked for at once; None if none was."""
    tags = [record.dagster_run.tags for record in failed]
    return next((number for number, each in enumerate(tags) if AT_ONCE_TAG in each), None)


def _met_outage(instance: dg.DagsterInstance, failed: Sequence[dg.RunRecord]) -> bool:
    """Whether the last run that told why it failed has met an outage."""
    failures = (run_failure(instance, record.dagster_run.run_id) for record in failed)
    told = next((failure for failure in failures if failure is not None), None)
    return told is not None and has_met_outage(told.error)


@dataclass(frozen=True, slots=True)
class _Delay:
    """Files that are not asked for yet, because this run has not loaded them."""

    files: int
    seconds: int
    run_id: str


def _delays_in_words(instance: dg.DagsterInstance, delays: Sequence[_Delay], fault: str) -> str:
    files = sum(delay.files for delay in delays)
    if fault:
        return f"{counted(files, 'file waits', 'files wait')} until this is over: {fault}"
    first = min(delays, key=lambda delay: delay.seconds)
    failure = run_failure(instance, first.run_id)
    why = f": {failure.message}" if failure is not None else ""
    return (
        f"{counted(files, 'file is', 'files are')} tried again in {first.seconds} s, because run "
        f"{first.run_id[:8]} did "
        f"not load them{why}"
    )


def counts_in_words(planned: Planned) -> str:
    """What a tick found, for its skip reason and for people."""
    if planned.empty_because:
        return planned.empty_because
    found = planned.discovery
    words = [f"{counted(found.listed, 'file')} listed", f"{found.unchanged:,} unchanged"]
    words += shown_counts(
        {
            "held": found.held,
            "quarantined": found.quarantined,
            "skipped": found.skipped,
            "being loaded": found.in_flight,
        }
    )
    return ", ".join(words)
