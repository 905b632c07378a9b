"""Finds which record of a CSV file holds a value."""

from collections.abc import Collection, Iterator, Sequence

from autoloader_dagster.formats.csv.lines import SEPARATOR
from autoloader_dagster.formats.csv.options import CsvOptions
from autoloader_dagster.formats.csv.record_scan import RecordScan
from autoloader_dagster.formats.csv.records import records
from autoloader_dagster.formats.outcome import RECORD, Cell, Look
from autoloader_dagster.formats.row_search import MAX_SPLIT, any_of, rows_holding
from autoloader_dagster.formats.text import checked_text, whole_lines
from autoloader_dagster.iceberg.lineage import Lines


def row_in_lines(
    lines: Lines, look: Look, options: CsvOptions, wanted: Sequence[Cell]
) -> tuple[str, Cell] | None:
    """Where the first of some cells is in the records of a small file."""
    every = set(wanted)
    # The records are parted already, so a quoted line break is part of its value.
    for number, line in enumerate(lines.text.split(SEPARATOR), 1):
        there = _cell_in_record(line.decode(), look.columns, options, every)
        if there is not None:
            return f"row {number:,}", there
    return None


def row_in_text(
    chunks: Iterator[bytes], look: Look, options: CsvOptions, wanted: Sequence[Cell]
) -> tuple[str, Cell] | None:
    """Where the first of some cells is in a text."""
    # UTF-16 comes out of checked_text as UTF-8.
    encoding = "utf-8" if options.encoding.startswith("utf-16") else options.encoding
    scan = RecordScan(options, encoding)
    needles = any_of(value.encode(encoding, "replace") for _, value in wanted)
    split = 0
    for block in whole_lines(checked_text(chunks, options.encoding)):
        before = scan.records - options.header
        starts = scan.feed(block).tolist()
        for number, start, end in rows_holding(block, starts, needles):
            split += 1
            if split > MAX_SPLIT:
                return None
            record = block[start:end].decode(encoding).rstrip("\r\n")
            found = _cell_in_record(record, look.columns, options, wanted)
            if found is not None and before + number >= 0:
                return f"row {before + number + 1:,}", found
    return None


def _cell_in_record(
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
