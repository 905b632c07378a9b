"""Decides what becomes of a listed file version, given the other versions of its path.

Pure functions over values: the database is in ``discovery.py``, which asks once a listed version
that has no row yet, or one that is to be looked at again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state.records import (
    DISMISSED,
    FILE_CHANGED,
    FILE_GONE,
    NO_PARTITION,
    FileStatus,
    OnChange,
    Place,
)

Outcome = Literal["new", "changed", "unchanged", "held", "skipped", "quarantined", "in_flight"]

_WAITING = ("DISCOVERED", "HELD", "FAILED", "QUARANTINED")


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """A version of the path that has a row."""

    id: int
    version: str
    status: FileStatus
    error_type: str | None
    reason: str | None
    partition_key: str | None
    discovered_at: datetime
    # The spec has no such partition any more.
    misplaced: bool = False

    @property
    def unplaced(self) -> bool:
        """Not loaded, and without a partition to load into: it is placed again."""
        return (
            self.status == "HELD"
            or (self.status == "QUARANTINED" and self.error_type == NO_PARTITION)
            or (self.misplaced and self.status in ("DISCOVERED", "FAILED"))
        )

    @property
    def vanished(self) -> bool:
        """Skipped because the source did not have it, and therefore new when it is listed."""
        return self.status == "SKIPPED" and self.error_type == FILE_GONE


@dataclass(frozen=True, slots=True)
class NewState:
    """What the row of the listed version is to hold."""

    status: FileStatus
    partition_key: str | None
    error_type: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a listed version.

    Attributes:
        outcome: How it counts.
        state: What to write; None to write nothing.
        superseded: Ids of the path's rows that become REPLACED.
        placed_again: Whether the version was known, and without a partition to load into.
    """

    outcome: Outcome
    state: NewState | None = None
    superseded: tuple[int, ...] = ()
    placed_again: bool = False


def decide(
    ref: FileRef,
    known: Sequence[KnownVersion],
    place: Place,
    on_change: OnChange,
    listing_began: datetime,
    now: datetime,
) -> Decision:
    """Decide about one listed version.

    Args:
        ref: The listed version.
        known: Every recorded version of its path, the oldest first, itself included.
        place: Tells where a version belongs; asked only if no earlier version has settled that.
        on_change: What to do when another version is in the table.
        listing_began: When this listing was begun.
        now: The present moment by the same clock.
    """
    own = next((each for each in known if each.version == ref.version), None)
    others = [each for each in known if each is not own]
    if own and own.unplaced:
        return _place_again(ref, own, place)
    if own and own.status != "REPLACED" and not own.vanished:
        return Decision("unchanged")
    if ref.unusable:
        # Not superseding: nothing of another version is to be given up for what cannot be loaded.
        return Decision("quarantined", NewState("QUARANTINED", None, "UnusableFile", ref.unusable))
    if any(each.status == "PROCESSING" for each in others):
        return Decision("in_flight")
    if any(listing_began < each.discovered_at <= now for each in others):
        # A listing that began later was faster and saw another version; ours may be the older.
        # A version of a time to come was recorded while the clock was ahead, and tells nothing.
        return Decision("in_flight")
    waiting = tuple(each.id for each in others if each.status in _WAITING)
    if any(each.status == "SUCCESS" for each in others):
        return _changed(ref, known, waiting, place, on_change)
    if any(each.status == "UNDONE" for each in others):
        return _new(ref, known, waiting, place)
    # A dismissed version keeps its reason, and is not new if the source goes back to it.
    skipped = tuple(
        each.id for each in others if each.status == "SKIPPED" and each.error_type != DISMISSED
    )
    return _new(ref, known, waiting + skipped, place)


def _place_again(ref: FileRef, own: KnownVersion, place: Place) -> Decision:
    placement = place(ref)
    state = NewState(
        placement.status, placement.partition_key, placement.error_type, placement.reason
    )
    as_it_is = NewState(own.status, own.partition_key, own.error_type, own.reason)
    changed = None if state == as_it_is else state
    return Decision(_outcome(placement.status), changed, placed_again=True)


def _new(
    ref: FileRef, known: Sequence[KnownVersion], superseded: tuple[int, ...], place: Place
) -> Decision:
    partition = _settled_partition(known)
    if partition is not None:
        return Decision("new", NewState("DISCOVERED", partition), superseded)
    placement = place(ref)
    state = NewState(
        placement.status, placement.partition_key, placement.error_type, placement.reason
    )
    return Decision(_outcome(placement.status), state, superseded)


def _changed(
    ref: FileRef,
    known: Sequence[KnownVersion],
    superseded: tuple[int, ...],
    place: Place,
    on_change: OnChange,
) -> Decision:
    partition = _settled_partition(known)
    if partition is None:
        partition = place(ref).partition_key
    if on_change == "ignore":
        reason = "another version of this file was loaded, and source.on_change is 'ignore'"
        return Decision("skipped", NewState("SKIPPED", partition, None, reason), superseded)
    if on_change == "fail":
        reason = "another version of this file was loaded, and source.on_change is 'fail'"
        state = NewState("QUARANTINED", partition, FILE_CHANGED, reason)
        return Decision("quarantined", state, superseded)
    # 'replace' too leaves the loaded version as it is: its rows go when these come.
    return Decision("changed", NewState("DISCOVERED", partition), superseded)


def _settled_partition(known: Sequence[KnownVersion]) -> str | None:
    """The partition of the path's first version that was given one that the spec still has."""
    return next(
        (
            each.partition_key
            for each in known
            if each.partition_key is not None and not each.unplaced and not each.misplaced
        ),
        None,
    )


def _outcome(status: Literal["DISCOVERED", "HELD", "QUARANTINED"]) -> Outcome:
    outcomes: dict[str, Outcome] = {
        "DISCOVERED": "new",
        "HELD": "held",
        "QUARANTINED": "quarantined",
    }
    return outcomes[status]
