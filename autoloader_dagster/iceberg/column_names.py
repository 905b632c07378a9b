"""From the names in a file to the names of table columns."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

# How names of files become names of columns.
NameStyle = Literal["normalised", "original"]
_MAX_LENGTH = 255
# Iceberg's own columns, and ours.
RESERVED = frozenset(
    {
        "_file",
        "_pos",
        "_deleted",
        "_spec_id",
        "_partition",
        "_row_id",
        "_last_updated_sequence_number",
        "_source_file",
        "_source_modified_at",
        "_partition_key",
        "_batch_id",
        "_rescued",
        # The key of a whole record in _rescued.
        "_row",
    }
)


def normalise(
    names: Sequence[str],
    style: NameStyle = "normalised",
    known: Mapping[str, str] | None = None,
    *,
    by_position: bool = True,
    columns: Iterable[str] = (),
) -> list[str]:
    """Give every name of a file a column, all different without regard to case.

    A name's column does not depend on its position or on the file's other names, so that the same
    name has the same column in every file; two kinds of names are exceptions. An empty name is
    called by its position. Of names that come out the same in one file, the first keeps the column
    and the others get ``_2``, ``_3``: which one is first can differ between files, and ``known``
    settles it for names that were seen before.

    Args:
        names: As the file has them.
        style: ``normalised``: lower case, NFKC, every run of characters but a-z and 0-9 becomes one
            ``_``. ``original``: as they are, as far as a table can have them.
        known: The columns of names that were met before.
        by_position: Whether a blank name is called by its position; else ``column_empty``, as a
            key of a JSON object has no position.
        columns: The table's columns. Spark and Iceberg ignore the case of letters, so a name that
            differs from one of these or of ``known`` in case alone is spelled as that one.

    Returns:
        One column for each name, in the same order.
    """
    bases = [
        _base(name, str(i) if by_position else "empty", style) for i, name in enumerate(names, 1)
    ]
    found: list[str | None] = [None] * len(names)
    taken: set[str] = set()

    def settle(candidates: Iterable[str | None]) -> None:
        for i, column in enumerate(candidates):
            if found[i] is None and column is not None and column.lower() not in taken:
                found[i] = column
                taken.add(column.lower())

    settle((known or {}).get(name) for name in names)
    # A name that is written comes before one that is made of a position: elsewhere the first may
    # be alone.
    settle(base if name.strip() else None for name, base in zip(names, bases, strict=True))
    settle(bases)
    # Tried last: where the next repetition of a name goes on to count.
    counts: dict[str, int] = {}
    different = [
        column if column is not None else _next_free(base, taken, counts)
        for column, base in zip(found, bases, strict=True)
    ]
    spelled = {column.lower(): column for column in (*(known or {}).values(), *columns)}
    return [spelled.get(column.lower(), column) for column in different]


def _base(name: str, position: str, style: str) -> str:
    if not name.strip():
        return f"column_{position}"
    if style == "original":
        return ("c" + name if name.lower() in RESERVED else name)[:_MAX_LENGTH]
    base = re.sub(r"[^a-z0-9]+", "_", unicodedata.normalize("NFKC", name).lower()).strip("_")
    if not base:
        # No character is left, as in a Greek name; a position would mix up files of another order.
        digest = hashlib.blake2b(name.strip().encode("utf-8", "surrogatepass"), digest_size=4)
        return f"column_{digest.hexdigest()}"
    return (f"c_{base}" if base[0].isdigit() else base)[:_MAX_LENGTH]


def _next_free(base: str, taken: set[str], counts: dict[str, int]) -> str:
    count = counts.get(base.lower(), 2)
    while True:
        suffix = f"_{count}"
        column = base[: _MAX_LENGTH - len(suffix)] + suffix
        count += 1
        if column.lower() not in taken:
            taken.add(column.lower())
            counts[base.lower()] = count
            return column
