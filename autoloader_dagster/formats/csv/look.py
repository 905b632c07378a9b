"""The look at a CSV file: its header, whether values hold line breaks, and whether it is CSV."""

import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from autoloader_dagster.formats.compression import bytes_for_spark, decompressed
from autoloader_dagster.formats.content import HEAD_BYTES, Content, gather
from autoloader_dagster.formats.csv.group import CsvGroup
from autoloader_dagster.formats.csv.line_check import can_check_lines
from autoloader_dagster.formats.csv.lines import inline_lines, is_small
from autoloader_dagster.formats.csv.options import CsvOptions
from autoloader_dagster.formats.csv.reader_limits import (
    MAX_COLUMNS,
    line_end_of,
    refuse_lines_of_blanks,
)
from autoloader_dagster.formats.csv.record_scan import RecordScan
from autoloader_dagster.formats.csv.records import records
from autoloader_dagster.formats.large_text import LARGE_BYTES
from autoloader_dagster.formats.outcome import BadFile, Look, TakeSample, beginning
from autoloader_dagster.formats.slices import Slices
from autoloader_dagster.formats.text import checked_text, whole_lines

_MARKUP = re.compile(r"<(?:!doctype\b|!--|\?xml\b|html\b|head\b|body\b)", re.IGNORECASE)
_JSON_START = re.compile(r'\{\s*(?:"[^"]*"\s*:|\}|$)|\[\s*(?:\{|\[|$)|\[\s*"[^"]*"\s*[,\]]')

# Of a large file, beside its beginning.
_SLICES, _SLICE_BYTES = 8, 32 * 2**10
# Blanks up to here mean nothing.
_BLANKS = "".join(map(chr, range(33)))


def look_at_csv(content: Content, options: CsvOptions, look: Look) -> tuple[Look, TakeSample]:
    """Look at one CSV file.

    The whole file is read, and so every byte of it is checked, whatever the options are: neither a
    quote that swallows lines nor a wrong encoding is noticed by Spark. Of a large file that is
    ordinary so far only a part is read, and ``csv_line_check`` has Spark check the rest.

    Args:
        content: The file.
        options: How it is written.
        look: What is known of it already.

    Returns:
        The look without a sample, and what takes the sample from memory.

    Raises:
        BadFile: The file is bad.
        SourceError: The source cannot be read.
    """
    # Before the check for damaged text, which it would pass for.
    if content.head.startswith(b"PAR1"):
        raise BadFile("NotCsv", "is a Parquet file; set format.type: parquet")
    # UTF-16 comes out of checked_text as UTF-8.
    encoding = "utf-8" if options.encoding.startswith("utf-16") else options.encoding
    text = checked_text(decompressed(content.chunks(), look.compression), options.encoding)
    blocks = whole_lines(text)
    # Half a head, because the last line of a chunk can go on in the next one.
    first, whole = gather(blocks, HEAD_BYTES // 2)
    if not first:
        raise BadFile("EmptyFile", "is empty: it holds nothing but a byte order mark")
    _refuse_other_formats(first[:HEAD_BYTES].decode(encoding, "replace"), options)
    scan, slices = RecordScan(options, encoding), Slices()
    lines = unchecked = None
    if whole and is_small(first):
        lines = inline_lines(scan.cut(first), options, encoding)
    else:
        unchecked = _scan(content, options, look, itertools.chain([first], blocks), scan, slices)
    multiline = options.multiline is True or scan.multiline
    # Read line by line, records of blanks alone are dropped, and UTF-16 is damaged.
    as_document = multiline or scan.blank_records or options.encoding.startswith("utf-16")
    head = _cut(first)
    whole = whole and len(head) == len(first)
    text_head = head.decode(encoding)
    header = _header(text_head, options, multiline, whole)
    count = scan.records - options.header
    line_end: Literal["lf", "crlf", "cr"] = "lf"
    if as_document:
        try:
            line_end = line_end_of(scan)
            refuse_lines_of_blanks(scan, options.header, len(header))
        except BadFile:
            if lines is None and count > 0:
                raise
            lines = lines and replace(lines, needed=True)
    group = CsvGroup(header, as_document, line_end)
    # Of a file with line breaks in values no part but the first can be split into records.
    rest = b"" if multiline or whole else slices.text()
    if unchecked is not None and look.compression == "none":
        rest = content.slices(_SLICES, _SLICE_BYTES)
    # What is not checked may be anything.
    rest_text = rest.decode(encoding, "strict" if unchecked is None else "replace")

    def take_sample(rows: int) -> tuple[tuple[object, ...], ...]:
        return _sample(text_head, rest_text, options, len(header), multiline, whole, rows)

    return replace(
        look,
        group=group,
        columns=header,
        rows=count if unchecked is None else None,
        empty=not count and unchecked is None,
        lines=lines,
        unchecked_bytes=unchecked,
    ), take_sample


def _scan(
    content: Content,
    options: CsvOptions,
    look: Look,
    blocks: Iterable[bytes],
    scan: RecordScan,
    slices: Slices,
) -> int | None:
    """Scan a file to its end, or until Spark can go on.

    Returns:
        How many bytes the text of a large file has, modulo 2**32; None if all were scanned.
    """
    large = bytes_for_spark(content, look.compression) if can_check_lines(options) else None
    # No place in a compressed text can be reached but through what is before it.
    enough, read = LARGE_BYTES if look.compression == "gzip" else 0, 0
    for block in blocks:
        scan.feed(block)
        slices.feed(block)
        read += len(block)
        if large is not None and read >= enough and scan.is_ordinary:
            return large
    scan.finish()
    return None


def _refuse_other_formats(text: str, options: CsvOptions) -> None:
    text = text.lstrip()
    line = re.match(r"[^\r\n]*", text)
    if text.startswith("<") and (
        # '<DATE>,<TIME>,<CLOSE>' is the header of real CSV files.
        _MARKUP.match(text) or "</" in text[:1000]
    ):
        raise BadFile(
            "NotCsv",
            f"begins with '{beginning(text)}', which is a web page or an error message, not CSV",
        )
    if line and _JSON_START.match(line[0]) and not _is_json_cell(line[0], options.delimiter):
        raise BadFile(
            "NotCsv",
            f"begins with '{beginning(text)}', which is JSON; if that is what it should be, "
            "set format.type: json",
        )


def _is_json_cell(line: str, delimiter: str) -> bool:
    """Whether the line begins with a JSON value that is one cell among others."""
    try:
        _, end = json.JSONDecoder().raw_decode(line)
    except (ValueError, RecursionError):
        return False
    return line[end : end + 1] == delimiter


def _cut(block: bytes) -> bytes:
    """At most 256 KiB of the block if its first line is shorter than that."""
    if len(block) <= HEAD_BYTES:
        return block
    line_end = b"\n" if b"\n" in block else b"\r"
    cut = block.rfind(line_end, 0, HEAD_BYTES) + 1
    return block[: cut or block.find(line_end) + 1 or len(block)]


def _header(text: str, options: CsvOptions, multiline: bool, whole: bool) -> tuple[str, ...]:
    first = next(records(text, options, multiline), None)
    if first is None:
        if not whole:
            raise BadFile("NotCsv", "begins with more than 256 KiB of blank or comment lines")
        raise BadFile("EmptyFile", "is empty: it holds nothing but blank or comment lines")
    if len(first) > MAX_COLUMNS:
        raise BadFile(
            "TooManyColumns",
            f"has {len(first):,} columns, and {MAX_COLUMNS:,} are the limit; "
            "see whether format.options.delimiter is right",
        )
    name = first[0]
    if options.header and len(first) == 1 and name.strip(_BLANKS) and not name.strip():
        raise BadFile(
            "BlankHeader",
            f"begins with a line of blanks that are not ASCII ({name[:5]!a}) instead of a header; "
            "remove the line, or set format.options.header to false",
        )
    names = first if options.header else [f"column_{i}" for i in range(1, len(first) + 1)]
    return tuple(names)


def _sample(
    head: str,
    rest: str,
    options: CsvOptions,
    width: int,
    multiline: bool,
    whole: bool,
    wanted: int,
) -> tuple[tuple[object, ...], ...]:
    taken = list(records(head, options, multiline))
    if options.header:
        del taken[:1]
    if multiline and not whole:
        # The last record may be cut; a line is not.
        del taken[-1:]
    taken += records(rest, options, multiline=False)
    # The first ones, for people to see, and the others evenly.
    first = min(wanted // 2, len(taken))
    step = max((len(taken) - first) // max(wanted - first, 1), 1)
    taken = taken[:first] + taken[first::step]
    nulls = {"", *options.null_values}
    # A row of another width is malformed, and says nothing about the columns.
    return tuple(
        tuple(None if cell in nulls else cell for cell in row) for row in taken if len(row) == width
    )
