"""What a look at one file can find."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal

from autoloader_dagster.errors import SourceAccessDenied
from autoloader_dagster.iceberg.lineage import Lines
from autoloader_dagster.sources.base import FileRef

Compression = Literal["none", "gzip", "bzip2", "zstd"]


# Takes about so many rows.
TakeSample = Callable[[int], tuple[tuple[object, ...], ...]]


@dataclass(frozen=True, slots=True)
class Bad:
    """Why a file is bad.

    Attributes:
        error_type: A short name for the kind of fault, such as ``TruncatedGzip``.
        message: What is wrong and what to do, written to follow the file's name.
    """

    error_type: str
    message: str


class BadFile(Exception):
    """Ends the look at a file that is bad; never leaves this package.

    Attributes:
        bad: The reason.
    """

    def __init__(self, error_type: str, message: str) -> None:
        self.bad = Bad(error_type, message)
        super().__init__(message)


# What files must share to be read by one reader; each format has its own.
Group = Hashable
# Where a reader puts a whole record that it cannot part into the columns.
RECORD = "_row"
# A column and a value, as ``_rescued`` has them.
Cell = tuple[str, str]
# A CSV cell or a JSON string, a JSON number or boolean, a nested JSON value, or nothing.
Value = object


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in one file.

    Attributes:
        ref: The file, as it was listed.
        bad: Why it is quarantined; None for a good file.
        changed: The file is not the listed version any more; ``bad`` says so too.
        denied: Permission to read the file was denied; ``bad`` says so too.
        compression: By the first bytes, whatever the name says.
        stage_as: The suffix of the copy that Spark is given, where it would misread the name or
            cannot reach the file; None for a file that is read in place.
        group: What it shares with others that one reader may read; None for a bad file.
        columns: Names as the file has them, in order: the header, the top-level keys found, or
            the columns of the footer.
        sample: Some records, each with one value a column; None for no value.
        rows: Exact number of rows: from a footer, or as the look has counted a CSV file's records.
        empty: A good file without rows, which is not given to Spark.
        split: The copy that Spark is given holds one record a line, whatever the file's layout is.
        lines: What a small file holds, which goes to Spark in place of its name; None where Spark
            reads the file.
        unchecked_bytes: How many bytes the text has, modulo 2**32, if it is so large that only a
            part was read and Spark has to check the rest; else None.
    """

    ref: FileRef
    bad: Bad | None = None
    changed: bool = False
    denied: SourceAccessDenied | None = None
    compression: Compression = "none"
    stage_as: str | None = None
    group: Group | None = None
    columns: tuple[str, ...] = ()
    sample: tuple[tuple[Value, ...], ...] = ()
    rows: int | None = None
    empty: bool = False
    split: bool = False
    lines: Lines | None = None
    unchecked_bytes: int | None = None


def beginning(data: bytes | str, length: int = 40) -> str:
    """The first characters of a text for a message: one line, printable, bounded."""
    start = data[: 4 * length]
    text = start if isinstance(start, str) else start.decode("utf-8", "replace")
    text = text.strip()[:length]
    return "".join(sign if sign.isprintable() else "·" for sign in text)
