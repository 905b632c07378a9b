"""The bytes of one file, read from its source in bounded pieces."""

import functools
import io
from collections.abc import Iterable, Iterator
from typing import IO

from autoloader_dagster.errors import FileChanged
from autoloader_dagster.sources.base import FileRef, FileSource

# Enough for a header and a sample; a file of this size takes one request.
HEAD_BYTES = 256 * 2**10
CHUNK_BYTES = 4 * 2**20
TAIL_BYTES = 64 * 2**10
# The size of a text is told modulo this, as gzip has it.
SIZE_MODULO = 2**32
# Text seldom shrinks to less than a twentieth of its size.
GZIP_AT_BEST = 20


class Content:
    """One version of one file. The head is read at once, the rest only when it is asked for.

    Args:
        source: Where the file is.
        ref: The listed version.
        head_bytes: How much is read at once.
        large_bytes: From this size on the text is too large to be read whole; None for no limit.

    Raises:
        FileChanged: The file has not the listed number of bytes, or the source noticed a change.
        SourceError: The source cannot be read.
    """

    def __init__(
        self,
        source: FileSource,
        ref: FileRef,
        head_bytes: int = HEAD_BYTES,
        large_bytes: int | None = None,
    ) -> None:
        self._source = source
        self._large_bytes = large_bytes
        self.ref = ref
        self.head = self.range(0, min(head_bytes, ref.size))

    def chunks(self) -> Iterator[bytes]:
        """All bytes from the first, in chunks of at most 4 MiB."""
        if self.head:
            yield self.head
        read = len(self.head)
        if read < self.ref.size:
            with self._source.open(self.ref, read) as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    read += len(chunk)
                    yield chunk
        self._expect(self.ref.size, read)

    @functools.cached_property
    def tail(self) -> bytes:
        """The last 64 KiB at most."""
        length = min(TAIL_BYTES, self.ref.size)
        if self.ref.size == len(self.head):
            return self.head[-length:]
        return self.range(self.ref.size - length, length)

    def bytes_of_large_text(self, gzipped: bool) -> int | None:
        """How many bytes the text has, modulo 2**32, if it is too large to be read whole.

        Args:
            gzipped: Whether the file is; else it is the text.
        """
        if self._large_bytes is None:
            return None
        if not gzipped:
            return self.ref.size % SIZE_MODULO if self.ref.size >= self._large_bytes else None
        # A smaller file is read whole, without asking for its end first.
        if self.ref.size < self._large_bytes // GZIP_AT_BEST:
            return None
        inflated = int.from_bytes(self.tail[-4:], "little")
        return inflated if max(inflated, self.ref.size) >= self._large_bytes else None

    def slices(self, count: int, length: int) -> bytes:
        """The whole lines of so many slices of a text, spread evenly over all of it."""
        taken = []
        for number in range(1, count + 1):
            start = self.ref.size * number // (count + 1)
            data = self.range(start, min(length, self.ref.size - start))
            taken.append(data[data.find(b"\n") + 1 : data.rfind(b"\n") + 1])
        return b"".join(taken)

    def range(self, start: int, length: int) -> bytes:
        """Exactly these bytes."""
        if not length:
            return b""
        with self._source.open(self.ref, start, length) as stream:
            data = _read_all(stream, length)
        self._expect(length, len(data))
        return data

    def _expect(self, expected: int, read: int) -> None:
        if read != expected:
            raise FileChanged(
                f"{self.ref.path} gave {read} of the {expected} bytes that were listed",
                "The next listing finds the new version.",
            )


class SeekableContent(io.RawIOBase):
    """A file of a source as a seekable file that keeps what it has read of the end.

    Only the ranges that are asked for are read, so a reader of footers costs one or two requests.

    Attributes:
        failure: What the source raised while it was read; libraries wrap or swallow it.
    """

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._content = content
        self._source_size = content.ref.size
        self._tail = content.tail
        self._at = 0
        self.failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source_size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def read(self, size: int = -1) -> bytes:
        rest = max(self._source_size - self._at, 0)
        size = rest if size < 0 else min(size, rest)
        start = self._at - (self._source_size - len(self._tail))
        if start >= 0:
            data = self._tail[start : start + size]
        else:
            try:
                data = self._content.range(self._at, size)
            except Exception as error:
                self.failure = error
                raise OSError("the source failed") from error
        self._at += len(data)
        return data


def gather(chunks: Iterator[bytes], limit: int, have: bytes = b"") -> tuple[bytes, bool]:
    """Take chunks until there are ``limit`` bytes.

    Returns:
        The bytes, and whether there are no more.
    """
    parts, size = [have], len(have)
    while size < limit:
        chunk = next(chunks, None)
        if chunk is None:
            return b"".join(parts), True
        parts.append(chunk)
        size += len(chunk)
    return b"".join(parts), False


def last_bytes(chunks: Iterable[bytes], have: bytes = b"", length: int = TAIL_BYTES) -> bytes:
    """Take all chunks and keep the last bytes."""
    tail = have[-length:]
    for chunk in chunks:
        tail = (tail + chunk)[-length:] if len(chunk) < length else chunk[-length:]
    return tail


def _read_all(stream: IO[bytes], length: int) -> bytes:
    parts = []
    while length > 0 and (part := stream.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
