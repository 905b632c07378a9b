"""What CSV files must share to be read by one reader."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CsvGroup:
    """What CSV files must share to be read by one reader.

    Attributes:
        header: The names as they are in the first record, without a byte order mark; they may be
            empty or repeat. ``column_1``, ``column_2``, … where the files have no header.
        multiline: Whether a quoted value holds a line break, so that no line can be read alone.
        line_end: What ends each record of a file with ``multiline``, because Spark must be told;
            ``crlf`` also where some end with LF. Otherwise ``lf``.
    """

    header: tuple[str, ...]
    multiline: bool
    line_end: Literal["lf", "crlf", "cr"] = "lf"
