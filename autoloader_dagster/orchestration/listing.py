"""Lists a source within the time of a tick, and asks for a run that lists if that is too short.

Dagster ends a tick after a minute, with all that it has done. A listing is recorded only when it is
complete, so one that takes longer would never be.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import dagster as dg

from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration.runs import INGESTION_TAG, LISTS_TAG, has_ended
from autoloader_dagster.processed_files.records import Discovery

# What a tick does besides has the rest of Dagster's minute.
TICK_SECONDS = 25.0
_STOPS_WITHIN_SECONDS = 5.0
_SHORTEST_PAUSE = timedelta(seconds=30)


class ListingTooLong(Exception):
    """A listing did not end in the time that it had.

    Attributes:
        listed: How many files it had listed.
        goes_on: Whether it could not be stopped, because the source does not answer or what it
            listed is being recorded.
    """

    def __init__(self, listed: int, *, goes_on: bool) -> None:
        super().__init__(f"{listed:,} files were listed before the time was over")
        self.listed = listed
        self.goes_on = goes_on


class _Stopped(Exception):
    pass


@dataclass
class _Listing:
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    listed: int = 0
    found: Discovery | None = None
    error: BaseException | None = None


# By ingestion. A tick that finds one here does not begin another.
_under_way: dict[str, _Listing] = {}
_lock = threading.Lock()


def list_within(ingestion: Ingestion, seconds: float) -> Discovery:
    """List the source and record what is new, unless it takes longer than this.

    Raises:
        ListingTooLong: It does, or another listing of this process is under way.
        SourceError: The source could not be listed; nothing is recorded.
        StateError: The state could not be written.
    """
    with _lock:
        other = _under_way.get(ingestion.id)
        if other is not None:
            raise ListingTooLong(other.listed, goes_on=True)
        listing = _under_way[ingestion.id] = _Listing()
    # A daemon, so that a source that does not answer keeps no process from ending.
    threading.Thread(
        target=_list, args=(ingestion, listing), name=f"list {ingestion.id}", daemon=True
    ).start()
    if not listing.ended.wait(seconds):
        listing.stop.set()
        listing.ended.wait(min(seconds, _STOPS_WITHIN_SECONDS))
    if listing.error is not None:
        raise listing.error
    if listing.found is None:
        raise ListingTooLong(listing.listed, goes_on=not listing.ended.is_set())
    return listing.found


def _list(ingestion: Ingestion, listing: _Listing) -> None:
    def count(listed: int) -> None:
        listing.listed = listed
        if listing.stop.is_set():
            raise _Stopped

    try:
        listing.found = discover(ingestion, count)
    except _Stopped:
        pass
    except BaseException as error:
        listing.error = error
    finally:
        with _lock:
            del _under_way[ingestion.id]
        listing.ended.set()


def why_not_to_list(
    instance: dg.DagsterInstance,
    ingestion_id: str,
    now: datetime | None = None,
    *,
    pause: bool,
) -> str | None:
    """Why a tick does not list now, in words; None if it does.

    Args:
        instance: Where the runs are.
        ingestion_id: ``tenant/name``.
        now: The time; the clock by default.
        pause: Whether to wait as long after a run that listed as that run took.
    """
    last = _last_run(instance, ingestion_id)
    if last is None:
        return None
    run_id = last.dagster_run.run_id[:8]
    if not has_ended(last):
        return f"run {run_id} lists the source ({last.dagster_run.status.value.lower()})"
    if not pause or last.end_time is None:
        return None
    took = timedelta(seconds=last.end_time - (last.start_time or last.end_time))
    again = datetime.fromtimestamp(last.end_time, timezone.utc) + max(took, _SHORTEST_PAUSE)
    moment = now or datetime.now(timezone.utc)
    if moment >= again:
        return None
    return (
        f"the source was listed by run {run_id}, and is listed again in "
        f"{int((again - moment).total_seconds())} s"
    )


def listing_run(instance: dg.DagsterInstance, ingestion_id: str) -> dg.RunRequest:
    """Ask for a run that lists the source itself and loads all that is pending."""
    last = _last_run(instance, ingestion_id)
    after = last.dagster_run.run_id if last is not None else "first"
    return dg.RunRequest(
        run_key=f"{ingestion_id}:lists:{after}",
        tags={INGESTION_TAG: ingestion_id, LISTS_TAG: ingestion_id},
    )


def _last_run(instance: dg.DagsterInstance, ingestion_id: str) -> dg.RunRecord | None:
    found = instance.get_run_records(dg.RunsFilter(tags={LISTS_TAG: ingestion_id}), limit=1)
    return found[0] if found else None
