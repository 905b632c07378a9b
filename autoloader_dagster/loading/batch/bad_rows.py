"""Names a bad row of a file with its number, column and value, so that a person can find it."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from autoloader_dagster.counts import counted
from autoloader_dagster.formats.base import FileFormat, Readable, file_format
from autoloader_dagster.formats.json.values import as_text
from autoloader_dagster.formats.outcome import RECORD, Bad, Cell, Look
from autoloader_dagster.formats.row_numbers import row_of
from autoloader_dagster.iceberg.required import Refused
from autoloader_dagster.iceberg.sql import quoted
from autoloader_dagster.sources.base import FileSource
from autoloader_dagster.specs.model import IngestionSpec

# So many bad rows are read again of all files whose reasons name one.
ROWS_READ = 1_000
_FILES_NAMED = 20
_SHOWN = 60


def name_bad_rows(
    spec: IngestionSpec,
    bad: Mapping[str, Bad],
    readable: Sequence[Readable],
    misfits: Callable[[Sequence[Readable]], Iterable[tuple[str, str]]],
    source: FileSource,
) -> dict[str, Bad]:
    """The same reasons, each with a bad row of its file.

    The number of the row is known of small CSV files, which are in memory, and of the first one of
    the others, whose head is read again for it.

    Args:
        spec: How the files are written.
        bad: Files that are quarantined for their bad rows.
        readable: All files.
        misfits: Reads files and gives the path and ``_rescued`` of some bad rows.
        source: Has the files.
    """
    chosen = [item for item in readable if item.file.path in bad][:_FILES_NAMED]
    rescued: dict[str, list[str]] = defaultdict(list)
    for path, text in misfits(chosen) if chosen else ():
        rescued[path].append(text)
    named = dict(bad)
    unread: FileSource | None = source
    for item in chosen:
        row = bad_row(spec, item.look, rescued[item.file.path], unread)
        if item.look.lines is None:
            unread = None
        if row is not None:
            reason = bad[item.file.path]
            named[item.file.path] = Bad(reason.error_type, f"{reason.message}; {row}")
    return named


def too_few_values(spec: IngestionSpec, refused: Mapping[str, Refused]) -> dict[str, Bad]:
    """The reasons of files with rows that the table refuses.

    Args:
        spec: Its table.
        refused: What is refused of each file.
    """
    table = spec.table.name
    return {
        path: Bad(
            "NullNotAllowed",
            f"has {counted(rows, 'row')} without a value in column '{column}', which is NOT NULL "
            f"in {table}; correct the file, or let the column be empty (ALTER TABLE {table} ALTER "
            f"COLUMN {quoted(column)} DROP NOT NULL) and retry it",
        )
        for path, (column, rows) in refused.items()
    }


def bad_row(
    spec: IngestionSpec, look: Look, rescued: Sequence[str], source: FileSource | None = None
) -> str | None:
    """The first of some bad rows in words, such as ``row 2: n is 'x'``; None without any.

    Args:
        spec: How the file is written.
        look: At the file.
        rescued: What ``_rescued`` has of its bad rows.
        source: Has the file, whose head may be read for the number of the row.
    """
    found = [values for values in map(_values, rescued) if values]
    if not found:
        return None
    wanted = list(dict.fromkeys(cell for values in found for cell in values.items()))
    reader = file_format(spec.format)
    there = reader.row_in_look(spec.format, look, wanted)
    if there is None and source is not None:
        there = row_of(source, look, spec.format, wanted)
    where, cell = there or ("one of them", wanted[0])
    return f"{where}: {_in_words(reader, cell)}"


def _values(text: str) -> dict[str, str]:
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {name: as_text(value) for name, value in values.items() if value is not None}


def _in_words(reader: FileFormat, cell: Cell) -> str:
    name, value = cell
    shown = repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")
    return f"{reader.broken_record} {shown}" if name == RECORD else f"{name} is {shown}"
