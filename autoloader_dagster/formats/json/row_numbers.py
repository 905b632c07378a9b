"""Finds which line of JSON lines holds a value."""

import json
import re
from collections.abc import Collection, Iterator, Sequence

from autoloader_dagster.formats.json.values import as_text
from autoloader_dagster.formats.outcome import RECORD, Cell
from autoloader_dagster.formats.row_search import MAX_SPLIT, any_of, rows_holding
from autoloader_dagster.formats.text import checked_text, whole_lines


def line_in_text(chunks: Iterator[bytes], wanted: Sequence[Cell]) -> tuple[str, Cell] | None:
    """Where the first of some cells is in a text."""
    needles = any_of(_written(*cell) for cell in wanted)
    before = split = 0
    for block in whole_lines(checked_text(chunks, "utf-8")):
        starts = [0, *(end.end() for end in re.finditer(b"\n", block))]
        for number, start, end in rows_holding(block, starts, needles):
            split += 1
            if split > MAX_SPLIT:
                return None
            found = _cell_in_line(block[start:end], wanted)
            if found is not None:
                return f"line {before + number + 1:,}", found
        before += len(starts) - 1
    return None


def _cell_in_line(line: bytes, wanted: Collection[Cell]) -> Cell | None:
    text = line.decode().strip()
    if (RECORD, text) in wanted:
        return RECORD, text
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    cells = ((name, as_text(value)) for name, value in record.items())
    return next((cell for cell in cells if cell in wanted), None)


def _written(name: str, value: str) -> bytes:
    """Characters that a line with this cell holds, however its blanks are."""
    if name != RECORD and value[:1] in ("{", "["):
        key = re.match(r'\{("[^"\\]+")', value)
        value = key[1] if key else value[0]
    elif name != RECORD:
        value = json.dumps(value, ensure_ascii=False)[1:-1]
    # Half a pair of UTF-16 is in no file that is UTF-8.
    return value.encode(errors="replace")
