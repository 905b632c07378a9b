"""Searches blocks of text for rows that hold some characters."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

# Rows that hold the characters of a value, and are split into cells to see in which column.
MAX_SPLIT = 50_000

Search = Callable[[bytes, int], re.Match[bytes] | None]


def any_of(needles: Iterable[bytes]) -> Search:
    """Searches for any of these texts."""
    return re.compile(b"|".join(re.escape(each) for each in needles)).search


def rows_holding(
    block: bytes, starts: Sequence[int], search: Search
) -> Iterator[tuple[int, int, int]]:
    """The rows of a block that hold what is searched for: number, start and end of each."""
    if not starts:
        return
    at = starts[0]
    while found := search(block, at):
        number = bisect_right(starts, found.start()) - 1
        at = starts[number + 1] if number + 1 < len(starts) else len(block)
        yield number, starts[number], at
        if at >= len(block):
            return
