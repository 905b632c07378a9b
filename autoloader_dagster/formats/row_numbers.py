"""Finds which row of a large text file holds a value, in the head of the file."""

from collections.abc import Iterator, Sequence

from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.formats.base import file_format
from autoloader_dagster.formats.compression import decompressed
from autoloader_dagster.formats.content import Content
from autoloader_dagster.formats.outcome import BadFile, Cell, Look
from autoloader_dagster.sources.base import FileSource
from autoloader_dagster.specs.section import FormatSection

# Of the decompressed text. The rest of a file is not read for the number of a row.
HEAD_LIMIT = 64 * 2**20
# Values that are looked for at once.
_VALUES = 5


def row_of(
    source: FileSource,
    look: Look,
    section: FormatSection,
    wanted: Sequence[Cell],
    limit: int = HEAD_LIMIT,
) -> tuple[str, Cell] | None:
    """Where the first of some cells is: ``row 7`` or ``line 7``, and the cell.

    None if the head of the file does not hold one of them as it is wanted, or cannot be read.

    Args:
        source: Has the file.
        look: At the file.
        section: How it is written.
        wanted: The cells, as ``_rescued`` has them; the first few are looked for.
        limit: Bytes of the decompressed text after which the search ends.
    """
    reader = file_format(section)
    if not reader.finds_rows(look):
        return None
    try:
        chunks = decompressed(Content(source, look.ref).chunks(), look.compression)
        return reader.row_of(_head(chunks, limit), section, look, wanted[:_VALUES])
    except (AutoloaderError, BadFile):
        # Whatever has happened to the file since, the load itself reports.
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
