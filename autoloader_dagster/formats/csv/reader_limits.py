"""What Spark's CSV reader cannot take, and what is refused because of it."""

from typing import TYPE_CHECKING, Literal, Protocol

from autoloader_dagster.formats.csv.options import CsvOptions
from autoloader_dagster.formats.csv.records import records
from autoloader_dagster.formats.outcome import BadFile

if TYPE_CHECKING:
    import numpy as np

    Positions = np.ndarray[tuple[int], np.dtype[np.intp]]

_LF, _CR = 10, 13
# Spark's limit is 20,480. It fails the whole file, not the row.
MAX_COLUMNS = 20_000


class ScannedFile(Protocol):
    """What is asked of a scan of a whole file; see ``RecordScan``."""

    line_ends: set[str]
    quoted_cr: bool
    blank_lines: bool
    begins_blank: bool


def refuse_wide_records(
    block: bytes, starts: "Positions", ends: "Positions", options: CsvOptions, encoding: str
) -> None:
    """Check the records of a block; only a record that is long enough costs anything.

    Args:
        block: Whole lines.
        starts: Where its records begin.
        ends: Where they end.
        options: How the file is written.
        encoding: Of the block.

    Raises:
        BadFile: ``TooManyColumns``: a record has more cells than the limit.
    """
    long = ends - starts > MAX_COLUMNS
    if not long.any():
        return
    delimiter = options.delimiter.encode(encoding, "replace")
    for start, end in zip(starts[long].tolist(), ends[long].tolist(), strict=True):
        if block.count(delimiter, start, end) < MAX_COLUMNS:
            continue
        text = block[start:end].decode(encoding, "replace")
        cells = len(next(records(text, options, multiline=True), []))
        if cells > MAX_COLUMNS:
            raise BadFile(
                "TooManyColumns",
                f"has {cells:,} columns in the record that begins '{text[:30].rstrip()}', and "
                f"{MAX_COLUMNS:,} are the limit; check format.options.delimiter",
            )


def lines_of_blanks(
    characters: "np.ndarray", starts: "Positions", ends: "Positions"
) -> "Positions":
    """Where those of the lines begin that have characters before their line end.

    Args:
        characters: The block.
        starts: Where lines without a record begin.
        ends: Where they end.
    """
    last, before = characters[ends - 1], characters[ends - 2]
    is_lf = last == _LF
    line_end = (is_lf | (last == _CR)).astype(int) + (is_lf & (before == _CR))
    return starts[ends - starts > line_end]


def refuse_lines_of_blanks(scan: ScannedFile, header: bool, width: int) -> None:
    """Refuse what Spark's reader takes for a record in a file that it does not read line by line.

    Args:
        scan: Of the whole file.
        header: Whether the file has one.
        width: How many columns it has.

    Raises:
        BadFile: ``LinesOfBlanks``.
    """
    if header and scan.begins_blank:
        where = "before its header"
    elif width == 1 and scan.blank_lines:
        where = "in a file with one column"
    else:
        return
    raise BadFile(
        "LinesOfBlanks",
        f"has a line of blanks {where}, which Spark takes for a record where values hold line "
        "breaks, or the encoding is UTF-16; remove the line",
    )


def line_end_of(scan: ScannedFile) -> Literal["lf", "crlf", "cr"]:
    """What ends the records of a file that Spark does not read line by line.

    Raises:
        BadFile: ``MixedLineEnds``.
    """
    kinds = scan.line_ends
    if "cr" not in kinds and not (scan.quoted_cr and "crlf" in kinds):
        return "crlf" if "crlf" in kinds else "lf"
    if kinds == {"cr"}:
        return "cr"
    raise BadFile(
        "MixedLineEnds",
        "has values with line breaks, and a CR alone beside line ends of another kind, so Spark "
        "cannot tell where a record ends; fix the line ends",
    )
