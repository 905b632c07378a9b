"""The files that the benchmarks load: orders as CSV, the same for the same arguments."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

HEADER = "id,customer,country,quantity,amount,placed_at,note"
# As the loader infers them, and as the peers are told.
TYPES = (
    "id bigint, customer string, country string, quantity bigint, amount double, "
    "placed_at timestamp, note string"
)
FIRST_DAY = datetime(2026, 1, 1)
_DIFFERENT_ROWS = 1 << 16
_COUNTRIES = ("DE", "FR", "IT", "PL", "US")


@dataclass(frozen=True, slots=True)
class Files:
    """Files that were made.

    Attributes:
        folder: Where they are: below a folder a day, ``day=2026-01-01``.
        paths: All of them.
        rows: Rows in all of them.
        bytes: Size of all of them.
    """

    folder: Path
    paths: tuple[Path, ...]
    rows: int
    bytes: int


def make_files(folder: Path, count: int, size: int, days: int = 1) -> Files:
    """Make CSV files.

    Args:
        folder: Where to.
        count: How many.
        size: Bytes of each, about.
        days: Over so many days they are spread.
    """
    tails = list(_tails())
    paths: list[Path] = []
    rows = total = 0
    for number in range(count):
        day = FIRST_DAY + timedelta(days=number % days)
        path = folder / f"day={day:%Y-%m-%d}" / f"orders_{number:05d}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with path.open("w", encoding="ascii", newline="\n") as file:
            written += file.write(HEADER + "\n")
            while written < size:
                until = rows + min(_DIFFERENT_ROWS, max((size - written) // 75, 1))
                written += file.write(
                    "".join(f"{i},{tails[i % _DIFFERENT_ROWS]}" for i in range(rows, until))
                )
                rows = until
        total += written
        paths.append(path)
    return Files(folder, tuple(paths), rows, total)


def _tails() -> Iterator[str]:
    """Rows without their first cell, as many as a file is likely to repeat them after."""
    chance = random.Random(20260101)
    notes = ("", "", "", "gift", "fragile", '"leave at door, please"')
    for _ in range(_DIFFERENT_ROWS):
        placed = FIRST_DAY + timedelta(seconds=chance.randrange(365 * 86400))
        yield (
            f"customer-{chance.randrange(1_000_000):06d},{chance.choice(_COUNTRIES)},"
            f"{chance.randrange(1, 50)},{chance.randrange(100, 1_000_000) / 100},"
            f"{placed:%Y-%m-%d %H:%M:%S},{chance.choice(notes)}\n"
        )
