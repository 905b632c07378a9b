"""Finds which row of a large text file holds a value, in the head of the file."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.formats.compression import decompressed
from autoloader_dagster.formats.content import Content
from autoloader_dagster.formats.csv.group import CsvGroup
from autoloader_dagster.formats.csv.options import CsvFormat, CsvOptions
from autoloader_dagster.formats.csv.record_scan import RecordScan
from autoloader_dagster.formats.csv.records import records
from autoloader_dagster.formats.json.group import JsonGroup
from autoloader_dagster.formats.json.options import JsonFormat
from autoloader_dagster.formats.outcome import Look, SetAside
from autoloader_dagster.formats.text import checked_text, whole_lines
from autoloader_dagster.sources.base import FileSource
from autoloader_dagster.specs.format import Format

# Of the decompressed text. The rest of a file is not read for the number of a row.
HEAD_LIMIT = 64 * 2**20
# Rows that hold the characters of a value, and are split into cells to see in which column.
_SPLIT = 50_000
# Values that are looked for at once.
_VALUES = 5
# Where the reader puts a whole record that it cannot part into the columns.
RECORD = "_row"

# A column and a value.
Cell = tuple[str, str]


def row_of(
    source: FileSource,
    look: Look,
    format: Format,
    wanted: Sequence[Cell],
    limit: int = HEAD_LIMIT,
) -> tuple[str, Cell] | None:
    """Where the first of some cells is: ``row 7`` or ``line 7``, and the cell.

    None if the head of the file does not hold one of them as it is wanted, or cannot be read.

    Args:
        source: Has the file.
        look: At the file.
        format: How it is written.
        wanted: The cells, as ``_rescued`` has them; the first few are looked for.
        limit: Bytes of the decompressed text after which the search ends.
    """
    wanted = wanted[:_VALUES]
    try:
        chunks = decompressed(Content(source, look.ref).chunks(), look.compression)
        if isinstance(format, CsvFormat) and isinstance(look.group, CsvGroup):
            return _csv_row(_head(chunks, limit), look, format.options, wanted)
        if isinstance(format, JsonFormat) and look.group == JsonGroup("lines") and not look.split:
            return _json_line(_head(chunks, limit), wanted)
    except (AutoloaderError, SetAside):
        # Whatever has happened to the file since, the load itself reports.
        return None
    return None


def _head(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    read = 0
    for chunk in chunks:
        if read + len(chunk) > limit:
            # A row that is cut could pass for another one.
            yield chunk[: chunk.rfind(b"\n", 0, limit - read) + 1]
            return
        yield chunk
        read += len(chunk)


def cell_in_record(
    record: str, columns: Sequence[str], options: CsvOptions, wanted: Collection[Cell]
) -> Cell | None:
    """The first cell of a CSV record that is wanted."""
    if (RECORD, record) in wanted:
        return RECORD, record
    cells = next(records(record, options, multiline=True), [])
    for name, cell in zip(columns, cells, strict=False):
        for value in (cell, cell.strip()):
            if (name, value) in wanted:
                return name, value
    return None


def _csv_row(
    chunks: Iterator[bytes], look: Look, options: CsvOptions, wanted: Sequence[Cell]
) -> tuple[str, Cell] | None:
    # UTF-16 comes out of checked_text as UTF-8.
    encoding = "utf-8" if options.encoding.startswith("utf-16") else options.encoding
    scan = RecordScan(options, encoding)
    needles = _any_of(value.encode(encoding, "replace") for _, value in wanted)
    split = 0
    for block in whole_lines(checked_text(chunks, options.encoding)):
        before = scan.records - options.header
        starts = scan.feed(block).tolist()
        for number, start, end in _holding(block, starts, needles):
            split += 1
            if split > _SPLIT:
                return None
            record = block[start:end].decode(encoding).rstrip("\r\n")
            found = cell_in_record(record, look.columns, options, wanted)
            if found is not None and before + number >= 0:
                return f"row {before + number + 1:,}", found
    return None


def _json_line(chunks: Iterator[bytes], wanted: Sequence[Cell]) -> tuple[str, Cell] | None:
    needles = _any_of(_written(*cell) for cell in wanted)
    before = split = 0
    for block in whole_lines(checked_text(chunks, "utf-8")):
        starts = [0, *(end.end() for end in re.finditer(b"\n", block))]
        for number, start, end in _holding(block, starts, needles):
            split += 1
            if split > _SPLIT:
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


def as_text(value: object) -> str:
    """A JSON value as people are shown it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _written(name: str, value: str) -> bytes:
    """Characters that a line with this cell holds, however its blanks are."""
    if name != RECORD and value[:1] in ("{", "["):
        key = re.match(r'\{("[^"\\]+")', value)
        value = key[1] if key else value[0]
    elif name != RECORD:
        value = json.dumps(value, ensure_ascii=False)[1:-1]
    # Half a pair of UTF-16 is in no file that is UTF-8.
    return value.encode(errors="replace")


_Search = Callable[[bytes, int], re.Match[bytes] | None]


def _any_of(needles: Iterable[bytes]) -> _Search:
    return re.compile(b"|".join(re.escape(each) for each in needles)).search


def _holding(
    block: bytes, starts: Sequence[int], search: _Search
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
