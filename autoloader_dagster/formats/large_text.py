"""Large texts are checked where the data is, so that no byte of them passes through this process.

The look reads the beginning of a large file and a few slices. One Spark job then reads the lines of
all large files of a batch, and tells of each file whether every line of it is *ordinary*: by itself
what the format expects. A file that is not, or that Spark cannot read, is read whole by the look,
which finds what is wrong with it. So Spark's answer only ever spares a look, and is never a reason
to refuse a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoloader_dagster.formats.content import SIZE_MODULO
from autoloader_dagster.formats.reading import ReadContext, load_files, reader
from autoloader_dagster.formats.text import MAX_LINE_BYTES
from autoloader_dagster.iceberg.lineage import SourceFile, spark_uri

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn

# A text from this size on is read by Spark rather than by the look.
LARGE_BYTES = 64 * 2**20
# Spark cuts a longer line, which would fill its memory; the number of bytes tells.
_LONGEST_LINE = "mapreduce.input.linerecordreader.line.maxlength"
# Spark shows the first levels of a plan on its pages and in its event log, with the source's keys.
_HIDING_LEVELS = 4
_TEXT_OF: Mapping[str, str] = {
    "utf-8": "value",
    "us-ascii": "value",
    "iso-8859-1": "decode(cast(value as binary), 'ISO-8859-1')",
}
_IS_ENCODED: Mapping[str, str] = {
    "utf-8": "is_valid_utf8(value)",
    "us-ascii": "(is_valid_utf8(value) and octet_length(value) = char_length(value))",
    "iso-8859-1": "true",
}


@dataclass(frozen=True, slots=True)
class LineCheck:
    """What is asked of each line of a text, which LF ends.

    Attributes:
        encoding: Of the text: ``utf-8``, ``us-ascii`` or ``iso-8859-1``.
        ordinary: SQL that is true of a line that is ordinary; the line is ``line``.
        record: SQL that is true of a line that is a record.
    """

    encoding: str
    ordinary: str
    record: str


@dataclass(frozen=True, slots=True)
class TextFacts:
    """What Spark has found in one text.

    Attributes:
        ordinary: Whether all lines are.
        records: How many lines are records.
        text_bytes: Bytes of all lines, each with one for its end.
    """

    ordinary: bool
    records: int
    text_bytes: int

    def is_whole(self, text_bytes: int) -> bool:
        """Whether Spark has seen all bytes of a text.

        Args:
            text_bytes: How many there are, modulo 2**32, without a byte order mark.
        """
        # The last line may have no end.
        return (self.text_bytes - text_bytes) % SIZE_MODULO in (0, 1)


def can_check(encoding: str) -> bool:
    """Whether Spark can check a text in this encoding."""
    return encoding in _TEXT_OF


def check_lines(
    context: ReadContext, check: LineCheck, files: Sequence[SourceFile]
) -> dict[str, TextFacts]:
    """Read all lines of these files in one Spark job; what it has found, by path.

    Args:
        context: The session, and the source's options.
        check: What is asked of each line.
        files: Texts without compression or under the suffix of theirs.
    """
    from pyspark.sql import functions as F

    options = {"lineSep": "\n", _LONGEST_LINE: str(MAX_LINE_BYTES)}
    lines = load_files(context, reader(context).options(**options), "text", files)
    path = lines.metadataColumn("_metadata").getField("file_path")
    text = F.expr(_TEXT_OF[check.encoding])
    lines = lines.select("value", text.alias("line"), path.alias("path"))
    for _ in range(_HIDING_LEVELS):
        lines = lines.select("*")
    is_text = f"{_IS_ENCODED[check.encoding]} and not contains(line, char(0))"
    facts: list[SparkColumn] = [
        F.expr(f"bool_and({is_text} and ({check.ordinary}))").alias("ordinary"),
        F.expr(f"count_if({check.record})").alias("records"),
        F.expr("sum(octet_length(value) + 1)").alias("text_bytes"),
    ]
    path_of = {spark_uri(file.read_from): file.path for file in files}
    return {
        path_of[row["path"]]: TextFacts(row["ordinary"], row["records"], row["text_bytes"])
        for row in lines.groupBy("path").agg(*facts).collect()
        if row["path"] in path_of
    }
