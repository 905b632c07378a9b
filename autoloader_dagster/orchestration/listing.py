"""Lists a source within the time of a tick, or goes on after it, or asks for a run that lists.

Dagster ends a tick after a minute, with all that it has done. A listing is recorded only when it is
complete. One whose pages come steadily is stopped, and a run lists instead. One that waits for a
page cannot be stopped; for a sensor it goes on, and a later tick reports what it found.
"""

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import dagster as dg

from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration.runs.tags import INGESTION_TAG, LISTS_TAG, ended_at, has_ended
from autoloader_dagster.state.records import Discovery

# What a tick does besides has the rest of Dagster's minute.
TICK_SECONDS = 25.0
_STOPS_WITHIN_SECONDS = 5.0
_SHORTEST_PAUSE = timedelta(seconds=30)
# A run that lists also loads, so the time that it took says little of its listing.
_LONGEST_PAUSE = timedelta(minutes=10)


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
    """A listing in its thread; what both threads write is written under the lock.

    Attributes:
        stop: Whether it is to stop at its next page.
        stopped: Whether it did.
        late: Whether it went on after its tick.
        reported: Whether a later tick has reported what it found.
        again: When the source is listed again, by the monotonic clock.
    """

    stop: bool = False
    stopped: bool = False
    late: bool = False
    reported: bool = False
    listed: int = 0
    began: float = field(default_factory=time.monotonic)
    again: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)
    found: Discovery | None = None
    error: BaseException | None = None

    def outcome(self) -> Discovery:
        """What it found, or the error that ended it."""
        if self.error is not None:
            raise self.error
        if self.found is None:
            raise ListingTooLong(self.listed, goes_on=False)
        return self.found


# By what names an ingestion in Dagster. A tick that finds one here does not begin another.
_under_way: dict[str, _Listing] = {}
# The last one of an ingestion that ended after its tick.
_late: dict[str, _Listing] = {}
_lock = threading.Lock()


def list_within(ingestion: Ingestion, seconds: float, *, finish: bool) -> Discovery:
    """List the source and record what is new, unless it takes longer than this.

    Args:
        ingestion: What to list.
        seconds: How long it may take.
        finish: Whether a listing that cannot be stopped goes on to its end. A later call gives
            what it found, or raises its error.

    Raises:
        ListingTooLong: It does, or another listing of this process is under way.
        SourceError: The source could not be listed; nothing is recorded.
        StateError: The state could not be written.
    """
    with _lock:
        other = _under_way.get(ingestion.loaded.names.unique)
        if other is not None:
            raise ListingTooLong(other.listed, goes_on=True)
        earlier = _unreported(ingestion.loaded.names.unique) if finish else None
        if earlier is not None and time.monotonic() < earlier.again:
            return earlier.outcome()
        listing = _under_way[ingestion.loaded.names.unique] = _Listing()
    # A daemon, so that a source that does not answer keeps no process from ending.
    threading.Thread(
        target=_list, args=(ingestion, listing), name=f"list {ingestion.id}", daemon=True
    ).start()
    if not listing.ended.wait(seconds):
        with _lock:
            listing.stop = True
        listing.ended.wait(min(seconds, _STOPS_WITHIN_SECONDS))
    with _lock:
        goes_on = not listing.stopped and not listing.ended.is_set()
        if goes_on and finish:
            listing.stop, listing.late = False, True
    if not goes_on:
        return listing.outcome()
    if earlier is not None:
        # Old, but nothing newer is known.
        return earlier.outcome()
    raise ListingTooLong(listing.listed, goes_on=True)


def _unreported(unique: str) -> _Listing | None:
    """The listing that ended after its tick and that no tick has reported; now one does."""
    late = _late.get(unique)
    if late is None or late.reported:
        return None
    late.reported = True
    return late


def _list(ingestion: Ingestion, listing: _Listing) -> None:
    def count(listed: int) -> None:
        listing.listed = listed
        with _lock:
            if listing.stop:
                listing.stopped = True
                raise _Stopped

    try:
        listing.found = discover(ingestion, count)
    except _Stopped:
        pass
    except BaseException as error:
        listing.error = error
    finally:
        now = time.monotonic()
        listing.again = now + _pause(timedelta(seconds=now - listing.began)).total_seconds()
        with _lock:
            del _under_way[ingestion.loaded.names.unique]
            if listing.late:
                _late[ingestion.loaded.names.unique] = listing
            listing.ended.set()


def _pause(took: timedelta) -> timedelta:
    """How long a sensor does not list after a listing, or a run that listed, that took so long."""
    return min(max(took, _SHORTEST_PAUSE), _LONGEST_PAUSE)


def why_not_to_list(
    instance: dg.DagsterInstance,
    unique: str,
    now: datetime | None = None,
    *,
    pause: bool,
) -> str | None:
    """Why a tick does not list now, in words; None if it does.

    Args:
        instance: Where the runs are.
        unique: What names the ingestion in Dagster.
        now: The time; the clock by default.
        pause: Whether to wait as long after a run that listed, or after a listing that ended
            after its tick, as that took; ten minutes at most.
    """
    last = _last_run(instance, unique)
    if last is not None and not has_ended(last):
        run_id = last.dagster_run.run_id[:8]
        return f"run {run_id} lists the source ({last.dagster_run.status.value.lower()})"
    if not pause:
        return None
    with _lock:
        late = _late.get(unique)
    if late is not None and late.reported and late.found is not None:
        seconds = late.again - time.monotonic()
        if seconds > 0:
            return f"the source was listed, and is listed again in {int(seconds)} s"
    if last is None or last.end_time is None:
        return None
    took = timedelta(seconds=last.end_time - (last.start_time or last.end_time))
    moment = now or datetime.now(timezone.utc)
    again = ended_at(last, moment) + _pause(took)
    if moment >= again:
        return None
    return (
        f"run {last.dagster_run.run_id[:8]}, which lists the source and loads its files, ended "
        f"after {int(took.total_seconds())} s; the source is listed again in "
        f"{int((again - moment).total_seconds())} s"
    )


def listing_run(instance: dg.DagsterInstance, ingestion: Ingestion) -> dg.RunRequest:
    """Ask for a run that lists the source itself and loads all that is pending."""
    unique = ingestion.loaded.names.unique
    last = _last_run(instance, unique)
    after = last.dagster_run.run_id if last is not None else "first"
    return dg.RunRequest(
        run_key=f"{ingestion.id}:lists:{after}",
        tags={INGESTION_TAG: ingestion.id, LISTS_TAG: unique},
    )


def _last_run(instance: dg.DagsterInstance, unique: str) -> dg.RunRecord | None:
    found = instance.get_run_records(dg.RunsFilter(tags={LISTS_TAG: unique}), limit=1)
    return found[0] if found else None
