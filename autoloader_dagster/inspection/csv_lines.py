"""What a small CSV file holds, as the lines that Spark is to parse.

The look reads a small file whole, so its lines can go to Spark with the plan. Spark then opens no
file, which costs it more than parsing one, and parses exactly what was looked at.
"""

from autoloader_dagster.inspection.content import HEAD_BYTES
from autoloader_dagster.inspection.outcome import Lines
from autoloader_dagster.specs.format import CsvOptions

# Half a head, so that the look has it in one piece. From some 200 KB on, Spark's own reader wins.
INLINE_FILE_BYTES = HEAD_BYTES // 2
# Of a batch; further files are read by Spark. This process holds it five times over while it is
# sent, and Spark's driver once.
INLINE_BATCH_BYTES = 32 * 2**20

# What Java's trim() takes off, so that what is blank for Spark's reader is blank here.
_TRIMMED = bytes(range(33))


def inline_lines(text: bytes, options: CsvOptions, multiline: bool) -> Lines | None:
    """The records of a whole file; None if Spark had better read it.

    Args:
        text: All of it, without a byte order mark.
        options: How it is written.
        multiline: Whether a value may go on in the next line.
    """
    # UTF-16 is read by Spark as if values had line breaks, for which other rules hold.
    if multiline or len(text) > INLINE_FILE_BYTES or options.encoding.startswith("utf-16"):
        return None
    if options.encoding == "iso-8859-1":
        text = text.decode(options.encoding).encode()
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    text = text.removesuffix(b"\n")
    if options.comment or _may_have_blank_lines(text):
        text = b"\n".join(_records(text, options.comment))
    if options.header:
        text = text.partition(b"\n")[2]
    return Lines(text, text.count(b"\n") + 1) if text else None


def _may_have_blank_lines(text: bytes) -> bool:
    # Most files have no line that begins with a blank, which is found faster than by its lines.
    import numpy as np

    signs = np.frombuffer(text, np.uint8)
    begin = np.flatnonzero(signs[:-1] == ord("\n")) + 1
    return text[:1] <= b" " or bool((signs[begin] <= ord(" ")).any())


def _records(text: bytes, comment: str | None) -> list[bytes]:
    lines = [line for line in text.split(b"\n") if line.strip(_TRIMMED)]
    if not comment:
        return lines
    sign = comment.encode()
    return [line for line in lines if not line.startswith(sign)]
