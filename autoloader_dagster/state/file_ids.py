"""Writes a set of file ids as text: ``1-5000,5003``. The files of a batch mostly lie together."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence


def write_ids(ids: Iterable[int]) -> str:
    """Write the ids in rising order, neighbours as a range."""
    ranges: list[list[int]] = []
    for each in sorted(ids):
        if ranges and each == ranges[-1][1] + 1:
            ranges[-1][1] = each
        else:
            ranges.append([each, each])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def read_ids(text: str) -> list[int]:
    """Read what ``write_ids`` wrote."""
    ids: list[int] = []
    for part in text.split(",") if text else ():
        low, _, high = part.partition("-")
        ids.extend(range(int(low), int(high or low) + 1))
    return ids


def holds(text: str, ids: Sequence[int]) -> bool:
    """Whether one of the ids, in rising order, is among those that ``write_ids`` wrote."""
    for part in text.split(",") if text else ():
        low, _, high = part.partition("-")
        at = bisect_left(ids, int(low))
        if at < len(ids) and ids[at] <= int(high or low):
            return True
    return False
