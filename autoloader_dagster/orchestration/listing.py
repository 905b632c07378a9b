"""Lists a source within the time of a tick, or goes on after it, or asks for a run that lists.

Dagster ends a tick after a minute, with all that it has done. A listing is recorded only when it is
complete. One whose pages come steadily is stopped, and a run lists instead. One that waits for a
page cannot be stopped; for a sensor it goes on, and a later tick reports what it found. One that
makes no progress for ten minutes is given up, and another one begins.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import dagster as dg

from autoloader_dagster.counts import counted
from autoloader_dagster.errors import AutoloaderError, StateError
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration.background import Background, Work
from autoloader_dagster.orchestration.runs.tags import (
    LISTS_TAG,
    ended_at,
    has_ended,
    run_failure,
    tags_of,
)
from autoloader_dagster.sources.steady import PATIENCE_SECONDS, no_page_came
from autoloader_dagster.state.records import Discovery

# What a tick does besides has the rest of Dagster's minute.
TICK_SECONDS = 25.0
_STOPS_WITHIN_SECONDS = 5.0
_LOOKS_EVERY_SECONDS = 5.0
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
        super().__init__(
            f"{counted(listed, 'file was', 'files were')} listed before the time was over"
        )
        self.listed = listed
        self.goes_on = goes_on


class _Stopped(Exception):
    pass


@dataclass(eq=False)
class _Listing(Work):
    """A listing in its thread; what both threads write is written under the lock.

    Attributes:
        stop: Whether it is to stop at its next page.
        stopped: Whether it did.
        late: Whether it went on after its tick.
        reported: Whether a later tick has reported what it found.
        listed: How many files it has listed.
        steps: How many steps of recording them it has begun.
        again: When the source is listed again, by the monotonic clock.
    """

    ingestion: Ingestion
    stop: bool = False
    stopped: bool = False
    late: bool = False
    reported: bool = False
    listed: int = 0
    steps: int = 0
    again: float = 0.0
    found: Discovery | None = None

    def progress(self) -> object:
        """What is listed, left out by the filters, and recorded so far."""
        return self.listed, self.ingestion.source.left_out, self.steps

    def outcome(self) -> Discovery:
        """What it found, or the error that ended it."""
        if self.error is not None:
            raise self.error
        if self.found is None:
            raise ListingTooLong(self.listed, goes_on=False)
        return self.found

    def end(self, name: str) -> None:
        """Keep what it found for a later tick, unless it was given up."""
        now = time.monotonic()
        self.again = now + _pause(timedelta(seconds=now - self.began)).total_seconds()
        if not self.given_up:
            _stuck.pop(name, None)
            if self.late:
                _late[name] = self

    def why_given_up(self, patience: float) -> AutoloaderError:
        """What to say of a listing that has made no progress for so long."""
        if self.steps:
            return StateError(
                f"A listing of {counted(self.listed, 'file')} was given up, because the state "
                f"database recorded nothing of it for {patience / 60:.0f} minutes",
                "Check the state database, and the network to it.",
            )
        return no_page_came(self.ingestion.spec.source.url, self.listed, patience)


# A tick that finds one at work here does not begin another.
_listings: Background[_Listing] = Background("list")
# Of runs, which wait for theirs.
_of_runs: Background[_Listing] = Background("list in a run")
# By what names an ingestion in Dagster: the last one that ended after its tick, and the last one
# that was given up, until a listing ends.
_late: dict[str, _Listing] = {}
_stuck: dict[str, _Listing] = {}


def list_within(
    ingestion: Ingestion, seconds: float, *, finish: bool, patience: float = PATIENCE_SECONDS
) -> Discovery:
    """List the source and record what is new, unless it takes longer than this.

    Args:
        ingestion: What to list.
        seconds: How long it may take.
        finish: Whether a listing that cannot be stopped goes on to its end. A later call gives
            what it found, or raises its error.
        patience: How long such a listing may make no progress. Then it is given up, nothing that
            it finds is recorded any more, and another one begins.

    Raises:
        ListingTooLong: It does, or another listing of this process is under way.
        SourceError: The source could not be listed; nothing is recorded.
        StateError: The state could not be written.
    """
    unique = ingestion.loaded.names.unique
    with _listings.lock:
        other = _listings.at_work(unique)
        if other is not None:
            if not other.made_no_progress_for(patience):
                raise _not_ended(unique, other, patience, finish=finish)
            _listings.give_up(unique)
            _stuck[unique] = other
        if _listings.is_full(unique):
            # A run has a process of its own, which ends with all that hangs in it.
            raise ListingTooLong(0, goes_on=False)
        earlier = _unreported(unique) if finish else None
        if earlier is not None and time.monotonic() < earlier.again:
            return earlier.outcome()
        listing = _Listing(ingestion)
        _listings.begin(unique, listing, lambda: _list(listing, _listings.lock))
    if not listing.ended.wait(seconds):
        with _listings.lock:
            listing.stop = True
        listing.ended.wait(min(seconds, _STOPS_WITHIN_SECONDS))
    with _listings.lock:
        goes_on = not listing.stopped and not listing.ended.is_set()
        if goes_on and finish:
            listing.stop, listing.late = False, True
    if not goes_on:
        return listing.outcome()
    if earlier is not None:
        # Old, but nothing newer is known.
        return earlier.outcome()
    raise _not_ended(unique, listing, patience, finish=finish)


def _not_ended(
    unique: str, listing: _Listing, patience: float, *, finish: bool
) -> AutoloaderError | ListingTooLong:
    """What to raise of a listing under way; after one that was given up, why, until a page comes.

    The first tick that finds it under way notes how far it is.
    """
    listing.made_no_progress_for(patience)
    stuck = _stuck.get(unique)
    if stuck is not None and finish and not listing.listed:
        return stuck.why_given_up(patience)
    return ListingTooLong(listing.listed, goes_on=True)


def _unreported(unique: str) -> _Listing | None:
    """The listing that ended after its tick and that no tick has reported; now one does."""
    late = _late.get(unique)
    if late is None or late.reported:
        return None
    late.reported = True
    return late


def list_to_its_end(
    ingestion: Ingestion, progress: Callable[[int], None], patience: float = PATIENCE_SECONDS
) -> Discovery:
    """List the source and record what is new, however long it takes, as long as it goes on.

    Args:
        ingestion: What to list.
        progress: Called with the number of files listed so far, every few seconds.
        patience: How long it may make no progress. Then nothing that it finds is recorded any more.

    Raises:
        SourceError: The source could not be listed, or no page came for so long.
        StateError: The state could not be written.
    """
    listing = _Listing(ingestion)
    name = f"{ingestion.id} {id(listing)}"
    _of_runs.begin(name, listing, lambda: _list(listing, _of_runs.lock))
    try:
        while not listing.ended.wait(min(patience, _LOOKS_EVERY_SECONDS)):
            progress(listing.listed)
            if listing.made_no_progress_for(patience):
                raise listing.why_given_up(patience)
    finally:
        with _of_runs.lock:
            if not listing.ended.is_set():
                _of_runs.give_up(name)
    return listing.outcome()


def _list(listing: _Listing, lock: AbstractContextManager[object]) -> None:
    def count(listed: int) -> None:
        with lock:
            listing.listed = listed
            if listing.stop or listing.given_up:
                listing.stopped = True
                raise _Stopped

    def check() -> None:
        with lock:
            listing.steps += 1
            if listing.given_up:
                raise _Stopped

    with suppress(_Stopped):
        listing.found = discover(listing.ingestion, count, check)


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
    with _listings.lock:
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
        f"run {last.dagster_run.run_id[:8]}, which lists the source and loads its files, "
        f"{_how_it_ended(instance, last.dagster_run, took)}; the source is listed again in "
        f"{int((again - moment).total_seconds())} s"
    )


def _how_it_ended(instance: dg.DagsterInstance, run: dg.DagsterRun, took: timedelta) -> str:
    after = f"after {int(took.total_seconds())} s"
    if run.status == dg.DagsterRunStatus.CANCELED:
        return f"was canceled {after}"
    if run.status != dg.DagsterRunStatus.FAILURE:
        return f"ended {after}"
    failure = run_failure(instance, run.run_id)
    return f"failed {after}" + (f" ({failure.what.splitlines()[0]})" if failure else "")


def listing_run(instance: dg.DagsterInstance, ingestion: Ingestion) -> dg.RunRequest:
    """Ask for a run that lists the source itself and loads all that is pending."""
    unique = ingestion.loaded.names.unique
    last = _last_run(instance, unique)
    after = last.dagster_run.run_id if last is not None else "first"
    return dg.RunRequest(
        run_key=f"{ingestion.id}:lists:{after}",
        tags=tags_of(ingestion.id) | {LISTS_TAG: unique},
    )


def _last_run(instance: dg.DagsterInstance, unique: str) -> dg.RunRecord | None:
    found = instance.get_run_records(dg.RunsFilter(tags={LISTS_TAG: unique}), limit=1)
    return found[0] if found else None
