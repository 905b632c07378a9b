"""Passes the turn at a table on to a step that waits for it, though nobody has it.

A table is a pool of Dagster, and its writers queue. Whoever ends its turn gives it to the first of
the queue, in a transaction of its own. So a turn is lost when the next one looks for a free place
just before the end and joins the queue just after it, or when a process is killed between the two.
The step then waits until another run of the table has ended, which may be a day or never.

A run that was killed keeps its place, which Dagster's daemon only takes back if the instance says
so by ``free_slots_after_run_end_seconds``. Here it is taken back in any case.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import dagster as dg

from autoloader_dagster.orchestration.runs.tags import has_ended

if TYPE_CHECKING:
    from dagster._core.storage.event_log import SqlEventLogStorage
    from dagster._utils.concurrency import ConcurrencyKeyInfo

_EVERY_SECONDS = 5
# Dagster tells that a run has ended when its process may still be at work for a moment.
_ENDED_SECONDS = 60


def pass_on_turns(
    instance: dg.DagsterInstance, pools: Collection[str], now: float | None = None
) -> list[str]:
    """Assign the free places of pools to the steps that wait longest, or have a higher priority.

    Beside a process that does the same a step too many may be assigned; that one still waits for
    a slot, which only one can claim.

    Args:
        instance: Where the pools are.
        pools: Which of them.
        now: Seconds since the epoch; the clock by default.

    Returns:
        The runs that waited for a turn which nobody had, and have it now.
    """
    storage = _storage_of(instance)
    if storage is None or not pools:
        return []
    queues = storage.get_concurrency_infos(sorted(pools))
    waited = _waiting(queues)
    ended = _long_ended(instance, queues.values(), time.time() if now is None else now)
    for run_id in ended:
        # This passes its turn on.
        storage.free_concurrency_slots_for_run(run_id)
    if ended:
        queues = storage.get_concurrency_infos(sorted(pools))
    # A step that has its slot is still among those that were assigned one.
    free = {pool: queue.slot_count - queue.assigned_step_count for pool, queue in queues.items()}
    lost = [pool for pool in free if free[pool] > 0 and queues[pool].pending_step_count]
    for pool in lost:
        storage.assign_pending_steps([pool] * free[pool])
    if lost or ended:
        return sorted(waited - _waiting(storage.get_concurrency_infos(sorted(pools))))
    return []


def _waiting(queues: "Mapping[str, ConcurrencyKeyInfo]") -> set[str]:
    return {run_id for queue in queues.values() for run_id in queue.pending_run_ids}


def _long_ended(
    instance: dg.DagsterInstance, queues: "Iterable[ConcurrencyKeyInfo]", now: float
) -> set[str]:
    """The runs with a place in these queues that ended a while ago."""
    here = {step.run_id for queue in queues for step in queue.pending_steps}
    if not here:
        return set()
    return {
        record.dagster_run.run_id
        for record in instance.get_run_records(dg.RunsFilter(run_ids=list(here)))
        if has_ended(record) and now - (record.end_time or 0) > _ENDED_SECONDS
    }


def waits_for(instance: dg.DagsterInstance, run_id: str, pools: Collection[str]) -> str | None:
    """The run that has the turn for which this run waits; None if it waits for none.

    Args:
        instance: Where the pools are.
        run_id: Who waits.
        pools: For which of them.
    """
    for queue in instance.event_log_storage.get_concurrency_infos(sorted(pools)).values():
        others = queue.active_run_ids - {run_id}
        waits = any(step.run_id == run_id for step in queue.pending_steps)
        if waits and others and run_id not in queue.active_run_ids:
            return min(others)
    return None


@contextmanager
def turns_passed_on(
    instance: dg.DagsterInstance, run_id: str, pools: Collection[str], say: Callable[[str], None]
) -> Iterator[None]:
    """Pass turns on now and then in a thread, for a run beside which no daemon may be at work.

    Args:
        instance: Where the pools are.
        run_id: The run of this process.
        pools: Those of the run.
        say: Told which run this one waits for.
    """
    over = threading.Event()

    def look() -> None:
        said: set[str] = set()
        while not over.wait(_EVERY_SECONDS):
            # Dagster's database may not answer for a while; the run itself says so.
            with suppress(Exception):
                pass_on_turns(instance, pools)
                other = waits_for(instance, run_id, pools)
                if other is not None and other not in said:
                    said.add(other)
                    say(f"waiting for run {other[:8]}, which writes to the same table")

    thread = threading.Thread(target=look, name="turns", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_EVERY_SECONDS)


def _storage_of(instance: dg.DagsterInstance) -> "SqlEventLogStorage | None":
    """Where the queues are; None if this instance has none, or keeps them in another way."""
    # Not at the top: whoever loads the definitions would load SQLAlchemy too.
    from dagster._core.storage.event_log import SqlEventLogStorage
    from dagster._core.storage.legacy_storage import LegacyEventLogStorage

    storage = instance.event_log_storage
    if isinstance(storage, LegacyEventLogStorage):
        # One database for all of an instance. Dagster publishes no way to it.
        storage = storage._storage.event_log_storage  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if not isinstance(storage, SqlEventLogStorage):
        return None
    return storage if storage.supports_global_concurrency_limits else None
