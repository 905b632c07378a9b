"""Keeps times inside the range that both databases, their drivers and every time zone can hold.

A file may carry any time: year 1 from a broken clock, year 9999 from a placeholder. Python has no
time before year 1 or after year 9999, and a shift to a time zone must not leave that range.
"""

from datetime import datetime, timezone

_EARLIEST = datetime(1, 1, 2, tzinfo=timezone.utc)
_LATEST = datetime(9999, 12, 30, tzinfo=timezone.utc)


def storable(moment: datetime) -> datetime:
    """The moment in UTC, moved inside the range if it is less than two days from its ends."""
    try:
        return min(max(moment.astimezone(timezone.utc), _EARLIEST), _LATEST)
    except OverflowError:
        return _EARLIEST if moment.year == 1 else _LATEST
