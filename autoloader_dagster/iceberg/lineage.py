"""The columns that tell of each row which file and which batch it came from.

Spark names a file by its own form of the address; the form is worked out here once and joined to
the batch's files, so that the table holds the address that the source gave.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from autoloader_dagster.batch_ids import BatchId

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

RESCUED = "_rescued"
SOURCE_FILE = "_source_file"
SOURCE_MODIFIED_AT = "_source_modified_at"
PARTITION_KEY = "_partition_key"
BATCH_ID = "_batch_id"

LINEAGE_COLUMNS: dict[str, tuple[str, str]] = {
    RESCUED: ("string", "What of the row did not fit the columns, as JSON; null where all fitted"),
    SOURCE_FILE: ("string", "The file that the row came from"),
    SOURCE_MODIFIED_AT: ("timestamp", "When that file was last changed"),
    PARTITION_KEY: ("string", "The Dagster partition of that file"),
    BATCH_ID: ("string", "The batch that loaded the row; begins with its UTC time"),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# A name that no column of a table has.
_URI = "_autoloader_uri"

# What java.net.URI quotes in a path: of ASCII all but letters, digits and some punctuation; of the
# rest control and space characters as Java has them (Zs, Zl, Zp), and nothing else. Python's
# isprintable would quote joiners, private-use and new characters too, and miss the row's file.
_QUOTED = re.compile(
    r"[^A-Za-z0-9\-_.!~*'(),;:$&+=@/\u0080-\U0010ffff]"
    r"|[\u0080-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
)
_GLOB = re.compile(r"([\\\[\]{}*?])")


@dataclass(frozen=True, slots=True)
class Lines:
    """The records of a small CSV file.

    Attributes:
        text: The records in UTF-8, separated by NUL, without the header, blank and comment lines.
        count: How many.
        needed: Whether Spark's own reader cannot tell the records of this file apart.
    """

    text: bytes
    count: int
    needed: bool = False


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a batch, as the readers need it.

    Attributes:
        path: The source's address, which becomes ``_source_file``.
        modified_at: Becomes ``_source_modified_at``.
        partition_key: Becomes ``_partition_key``.
        read_from: Where Spark reads it, in raw characters: the file itself or its staged copy.
        lines: Its records, where they go along with the plan and Spark reads nothing.
    """

    path: str
    modified_at: datetime
    partition_key: str | None
    read_from: str
    lines: Lines | None = None


def spark_uri(path: str) -> str:
    """The form in which ``_metadata.file_path`` shows a raw path such as ``s3a://b/a b.csv``."""
    scheme, colon, rest = path.partition(":")
    if not colon or "/" in scheme:
        scheme, rest = "file", path
    if scheme == "file":
        rest = "/" + rest.lstrip("/")
    return f"{scheme}:{_QUOTED.sub(_percent_encoded, rest)}"


def _percent_encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


def glob_escaped(path: str) -> str:
    """A raw path as Spark's readers must be given it, because they take it as a pattern."""
    return _GLOB.sub(r"\\\1", path)


def add_lineage(
    spark: "SparkSession", rows: "DataFrame", files: Sequence[SourceFile], batch_id: BatchId
) -> "DataFrame":
    """Add the lineage columns but ``_rescued`` to rows read from these files.

    With more than one file the rows must have ``_file``, which is ``_metadata.file_path``; a row
    of a file that is not among ``files`` gets a null ``_source_file``, which the audit refuses.
    Rows of files whose lines were sent along carry theirs already.
    """
    from pyspark.sql import functions as F

    batch = F.lit(batch_id).alias(BATCH_ID)
    if files[0].lines is not None:
        return rows.select("*", batch)
    if len(files) == 1:
        (file,) = files
        return rows.drop("_file").select(
            "*",
            F.lit(file.path).alias(SOURCE_FILE),
            F.lit(file.modified_at).alias(SOURCE_MODIFIED_AT),
            F.lit(file.partition_key).cast("string").alias(PARTITION_KEY),
            batch,
        )
    known = spark.createDataFrame(
        [(spark_uri(f.read_from), f.path, f.modified_at, f.partition_key) for f in files],
        f"{_URI} string, {SOURCE_FILE} string, {SOURCE_MODIFIED_AT} timestamp, "
        f"{PARTITION_KEY} string",
    )
    joined = rows.join(F.broadcast(known), F.col("_file") == F.col(_URI), "left")
    return joined.drop("_file", _URI).select("*", batch)


def moment_of(micros: int) -> datetime:
    """The moment of ``unix_micros``, in UTC.

    Times are asked of the server as such numbers: as timestamps the client would give them in this
    machine's zone, without saying so.
    """
    return _EPOCH + timedelta(microseconds=micros)


def micros_of(moment: datetime) -> int:
    """The number that ``moment_of`` takes."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
