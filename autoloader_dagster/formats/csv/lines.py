"""What a small CSV file holds, as the records that Spark is to parse.

The look reads a small file whole, so its records can go to Spark with the plan. Spark then opens no
file, which costs it more than parsing one, and parses exactly what was looked at.
"""

from autoloader_dagster.formats.content import HEAD_BYTES
from autoloader_dagster.formats.csv.options import CsvOptions
from autoloader_dagster.iceberg.lineage import Lines

# Half a head, so that the look has it in one piece. From some 200 KB on, Spark's own reader wins.
INLINE_FILE_BYTES = HEAD_BYTES // 2
# Of a batch; further files are read by Spark. This process holds it five times over while it is
# sent, and Spark's driver once.
INLINE_BATCH_BYTES = 32 * 2**20

# Between two records: no file has it, because the look refuses NUL.
SEPARATOR = b"\0"


def is_small(text: bytes) -> bool:
    """Whether the records of this whole file should go along with the plan."""
    return len(text) <= INLINE_FILE_BYTES


def inline_lines(records: list[bytes], options: CsvOptions, encoding: str) -> Lines | None:
    """The records of a small file without its header; None if there are none.

    Args:
        records: All of them.
        options: How they are written.
        encoding: Of the records.
    """
    if options.header:
        records = records[1:]
    if not records:
        return None
    text = SEPARATOR.join(records)
    if encoding == "iso-8859-1":
        text = text.decode(encoding).encode()
    return Lines(text, len(records))
