"""Matches a path against wildcards and fields, in a time that grows with the path's length only.

It finds what a greedy regular expression finds, by another way: from the end of the path it notes
for each part of the pattern where the rest can match, and then reads the path once from its start.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a pattern.

    Attributes:
        regex: Of what it takes, for a part of fixed length; else empty.
        least: How many characters it takes at least; None for a part of fixed length.
        crosses: Whether it takes ``/``.
        optional_folders: Whether it takes whole folders with their ``/``, or nothing (``**/``).
        field: The name of the field that it reads.
    """

    regex: str
    least: int | None = None
    crosses: bool = False
    optional_folders: bool = False
    field: str | None = None


class PathMatcher:
    """Matches whole paths.

    Args:
        parts: The pattern. No field is read twice.
    """

    def __init__(self, parts: list[Part]) -> None:
        self._parts = [(part, re.compile(part.regex, re.DOTALL)) for part in parts]

    def fields(self, path: str) -> dict[str, str] | None:
        """What the fields hold; None if the path does not match."""
        ends_of = self._ends(path)
        if ends_of is None:
            return None
        found: dict[str, str] = {}
        at = 0
        for (part, _), ends in zip(self._parts, ends_of, strict=True):
            end = ends[at]
            if part.field is not None:
                found[part.field] = path[at:end]
            at = end
        return found

    def _ends(self, path: str) -> list[list[int]] | None:
        """For each part: where it ends best if it begins at a place; -1 where it cannot begin."""
        size = len(path)
        rest = [False] * size + [True]
        all_ends: list[list[int]] = []
        for part, regex in reversed(self._parts):
            ends = _ends_of(part, regex, path, rest)
            rest = [end >= 0 for end in ends]
            all_ends.append(ends)
        return all_ends[::-1] if rest[0] else None


def _ends_of(part: Part, regex: re.Pattern[str], path: str, rest: list[bool]) -> list[int]:
    size = len(path)
    ends = [-1] * (size + 1)
    if part.least is None:
        for at in range(size + 1):
            match = regex.match(path, at)
            if match and rest[match.end()]:
                ends[at] = match.end()
        return ends
    # The last place, from here on, where the rest can begin.
    furthest = -1
    for at in range(size, -1, -1):
        if at < size and path[at] == "/" and not part.crosses:
            furthest = -1
        if part.optional_folders:
            if rest[at] and furthest < 0 and at and path[at - 1] == "/":
                furthest = at
            ends[at] = furthest if furthest > at else (at if rest[at] else -1)
            continue
        if rest[at] and furthest < 0:
            furthest = at
        ends[at] = furthest if furthest >= at + part.least else -1
    return ends
