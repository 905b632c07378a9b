"""Names a bad row of a file with its number, column and value, so that a person can find it."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from autoloader_dagster.inspection.csv_lines import SEPARATOR
from autoloader_dagster.inspection.csv_records import records
from autoloader_dagster.inspection.outcome import Bad, CsvGroup, Look
from autoloader_dagster.loading.frame import Readable
from autoloader_dagster.specs.format import CsvFormat
from autoloader_dagster.specs.model import IngestionSpec

# So many bad rows are read again of all files whose reasons name one.
ROWS_READ = 1_000
_FILES_NAMED = 20
_SHOWN = 60
# Where the reader puts a whole record that it cannot part into the columns.
_RECORD = "_row"


def name_bad_rows(
    spec: IngestionSpec,
    bad: Mapping[str, Bad],
    readable: Sequence[Readable],
    misfits: Callable[[Sequence[Readable]], Iterable[tuple[str, str]]],
) -> dict[str, Bad]:
    """The same reasons, each with a bad row of its file.

    Args:
        spec: How the files are written.
        bad: Files that are quarantined for their bad rows.
        readable: All files.
        misfits: Reads files and gives the path and ``_rescued`` of some bad rows.
    """
    chosen = [item for item in readable if item.file.path in bad][:_FILES_NAMED]
    rescued: dict[str, list[str]] = defaultdict(list)
    for path, text in misfits(chosen) if chosen else ():
        rescued[path].append(text)
    named = dict(bad)
    for item in chosen:
        row = bad_row(spec, item.look, rescued[item.file.path])
        if row is not None:
            reason = bad[item.file.path]
            named[item.file.path] = Bad(reason.error_type, f"{reason.message}; {row}")
    return named


def bad_row(spec: IngestionSpec, look: Look, rescued: Sequence[str]) -> str | None:
    """The first of some bad rows in words, such as ``row 2: n is 'x'``; None without any.

    Args:
        spec: How the file is written.
        look: At the file. Only of a small CSV file are the numbers of its rows known here.
        rescued: What ``_rescued`` has of its bad rows.
    """
    found = [values for values in map(_values, rescued) if values]
    if not found:
        return None
    if isinstance(spec.format, CsvFormat) and isinstance(look.group, CsvGroup) and look.lines:
        wanted = {(name, value) for values in found for name, value in values.items()}
        # The records are parted already, so a quoted line break is part of its value.
        for number, line in enumerate(look.lines.text.split(SEPARATOR), 1):
            record = line.decode()
            if (_RECORD, record) in wanted:
                return f"row {number}: {_in_words(_RECORD, record)}"
            cells = next(records(record, spec.format.options, multiline=True), [])
            for name, cell in zip(look.columns, cells, strict=False):
                for value in (cell, cell.strip()):
                    if (name, value) in wanted:
                        return f"row {number}: {_in_words(name, value)}"
    return f"one of them: {_in_words(*next(iter(found[0].items())))}"


def _values(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
        if value is not None
    }


def _in_words(name: str, value: str) -> str:
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    if name == _RECORD:
        return f"it has not the cells of the header: {shown!r}"
    return f"{name} is {shown!r}"
