"""Notices a CSV file whose cells are plainly parted by another character than the spec says."""

from collections.abc import Iterable

from autoloader_dagster.formats.outcome import Look

_DELIMITERS = {",": "','", ";": "';'", "\t": r"'\t'", "|": "'|'"}


def delimiter_note(looks: Iterable[Look], delimiter: str) -> str | None:
    """Names the first file that plainly has another delimiter, and what to write into the spec."""
    for look in looks:
        found = other_delimiter(look, delimiter)
        if found is not None:
            return (
                f"{look.ref.relative_path} has one column, '{look.columns[0]}', and its cells seem "
                f"to be separated by {found}; set format.options.delimiter: {found}"
            )
    return None


def other_delimiter(look: Look, delimiter: str) -> str | None:
    """The delimiter to write into the spec; None if nothing speaks against the one that is there.

    The file has one column, and its header and each of the first rows hold the other delimiter,
    all of them equally often.
    """
    if len(look.columns) != 1 or not look.sample:
        return None
    lines = [look.columns[0], *(str(row[0]) for row in look.sample if row and row[0] is not None)]
    for other, written in _DELIMITERS.items():
        counts = {line.count(other) for line in lines}
        if other != delimiter and len(counts) == 1 and counts != {0}:
            return written
    return None
