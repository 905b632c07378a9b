"""What an oracle expects of one file, and how a table's rows are held against it."""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


class Any_:
    """A value that the oracle does not predict."""

    def __repr__(self) -> str:
        return "ANY"


ANY = Any_()


@dataclass(frozen=True)
class Row:
    """One expected row.

    Attributes:
        values: Column -> value; columns that are null may be absent.
        rescued: The texts in ``_rescued`` in order, or whether there are any; None where either is
            right. A function is asked whether the text is right.
    """

    values: Mapping[str, Any]
    rescued: tuple[str, ...] | bool | Callable[[str | None], bool] | None = False


@dataclass(frozen=True)
class Expected:
    """What must become of one file.

    Attributes:
        rows: The rows in the table, in any order; None if the file must be quarantined.
        or_quarantined: Whether quarantine is right as well (a documented ambiguity).
        anything: Whether the file is not predicted at all; only the counts must agree.
    """

    rows: Sequence[Row] | None
    or_quarantined: bool = False
    anything: bool = False


QUARANTINED = Expected(None)
UNPREDICTED = Expected((), anything=True)


FoundRow = tuple[Mapping[str, Any], str | None]


@dataclass(frozen=True)
class Found:
    """What the table and the state hold of one file.

    Attributes:
        status: In the state.
        reason: Error type and message.
        rows: The rows in the table: column -> value, and the text in ``_rescued``.
        counted: Rows and bad rows in the state.
    """

    status: str
    reason: str = ""
    rows: Sequence[FoundRow] = field(default=())
    counted: tuple[int, int] = (0, 0)


def difference(expected: Expected, found: Found) -> str | None:
    """What is wrong with a file, in words; None if nothing is."""
    if found.status == "QUARANTINED":
        if found.rows:
            return f"quarantined, but {len(found.rows)} rows are in the table"
        if expected.rows is None or expected.or_quarantined or expected.anything:
            return None
        return f"quarantined ({found.reason}); expected {len(expected.rows)} rows"
    if found.status == "FAILED" and expected.anything and found.reason.startswith("Unreadable"):
        # Neither reader reads it; it is tried again before it is quarantined.
        return None
    if found.status != "SUCCESS":
        return f"is {found.status} ({found.reason})"
    bad = sum(rescued is not None for _, rescued in found.rows)
    if found.counted != (len(found.rows), bad):
        return f"counted {found.counted}, but the table has {(len(found.rows), bad)}"
    if expected.anything:
        return None
    if expected.rows is None:
        return f"loaded with {len(found.rows)} rows; expected it to be quarantined"
    if len(expected.rows) != len(found.rows):
        return f"has {len(found.rows)} rows, expected {len(expected.rows)}" + _sample(
            expected, found
        )
    return _unmatched(expected, found)


def _unmatched(expected: Expected, found: Found) -> str | None:
    rows = expected.rows or ()
    exact = Counter((_key(row.values), row.rescued) for row in rows if _is_exact(row))
    of_texts = any(isinstance(rescued, tuple) for _, rescued in exact)
    left = []
    for values, rescued in found.rows:
        values_key = _key(values)
        forms = [rescued is not None, *([_texts(rescued)] if of_texts and rescued else [])]
        key = next(((values_key, f) for f in forms if exact[values_key, f] > 0), None)
        if key:
            exact[key] -= 1
        else:
            left.append((values, rescued))
    row, left = _paired([row for row in rows if not _is_exact(row)], left)
    if row:
        return f"no row is {dict(row.values)} (rescued: {row.rescued}); left: {left[:3]}"
    missing = list(exact.elements())
    if missing:
        return f"no row is {missing[0]}; instead: {left[:3]}"
    return None


def _sample(expected: Expected, found: Found) -> str:
    return f"; expected {[dict(r.values) for r in expected.rows or ()][:3]}, found {found.rows[:3]}"


def _is_exact(row: Row) -> bool:
    return isinstance(row.rescued, bool | tuple) and all(v is not ANY for v in row.values.values())


def _matches(row: Row, values: Mapping[str, Any], rescued: str | None) -> bool:
    if callable(row.rescued):
        if not row.rescued(rescued):
            return False
    elif row.rescued is not None and bool(row.rescued) != (rescued is not None):
        return False
    if isinstance(row.rescued, tuple) and _texts(rescued) != tuple(sorted(row.rescued)):
        return False
    return all(
        value is ANY or same(value) == same(values.get(name)) for name, value in row.values.items()
    ) and all(value is None or name in row.values for name, value in values.items())


def _texts(rescued: str | None) -> tuple[str, ...]:
    return tuple(sorted(map(str, json.loads(rescued or "{}").values())))


def _key(values: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset((name, same(v)) for name, v in values.items() if v is not None)


def same(value: Any) -> Any:
    """A hashable form in which equal values are equal, and no others."""
    if isinstance(value, float):
        # The bits of what is no number are nobody's value.
        return ("float", "nan") if math.isnan(value) else ("float", value, math.copysign(1, value))
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, Decimal):
        return ("decimal", value)
    if isinstance(value, dict):
        return ("dict", frozenset((k, same(v)) for k, v in value.items()))
    if isinstance(value, list | tuple):
        return ("list", tuple(same(v) for v in value))
    return value


def _paired(rows: Sequence[Row], found: Sequence[FoundRow]) -> tuple[Row | None, list[FoundRow]]:
    """A row that no found one is left for, however they are paired, and those without a pair.

    Source: augmenting paths in a bipartite graph (Kuhn).
    """
    pair_of: dict[int, Row] = {}
    # From the end, where a list is shortened at no cost; most rows are in the order of the file.
    free = list(range(len(found)))

    def pair(row: Row, tried: set[int]) -> bool:
        at = next((n for n in reversed(range(len(free))) if _matches(row, *found[free[n]])), None)
        i = free.pop(at) if at is not None else None
        if i is None:
            # One that is taken, if another one is left for the row that has it.
            i = next((i for i in pair_of if i not in tried and given_up(row, i, tried)), None)
        if i is None:
            return False
        pair_of[i] = row
        return True

    def given_up(row: Row, i: int, tried: set[int]) -> bool:
        if not _matches(row, *found[i]):
            return False
        tried.add(i)
        return pair(pair_of[i], tried)

    last_first = list(reversed(rows))
    # Those that fit few rows first, so that a pair is seldom given up again.
    hard_first = sorted(last_first, key=lambda row: sum(v is ANY for v in row.values.values()))
    lonely = next((row for row in hard_first if not pair(row, set())), None)
    return lonely, [found[i] for i in free]
