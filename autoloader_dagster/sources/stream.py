"""The bytes of one version of one file, as a stream that fails as loudly as the source itself."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Protocol

from autoloader_dagster.errors import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 256 * 1024


class Readable(Protocol):
    """What is read from: an open file or the body of an answer."""

    def read(self, size: int, /) -> bytes | None: ...

    def close(self) -> None: ...


def open_stream(
    source: Readable,
    length: int,
    telling: Callable[[], AbstractContextManager[None]],
    cut_short: SourceError,
) -> IO[bytes]:
    """A buffered stream of exactly ``length`` bytes.

    Args:
        source: Stands at the first byte; it is closed with the stream.
        length: Bytes.
        telling: Makes a context that turns what reading raises into ``SourceError``.
        cut_short: Raised if the source ends before ``length`` bytes, so that half a file never
            looks like a whole one.
    """
    raw = _Stream(source, length, telling, cut_short)
    return io.BufferedReader(raw, max(1, min(_BUFFER_BYTES, length)))


class _Stream(io.RawIOBase):
    def __init__(
        self,
        source: Readable,
        length: int,
        telling: Callable[[], AbstractContextManager[None]],
        cut_short: SourceError,
    ) -> None:
        super().__init__()
        self._source = source
        self._left = length
        self._telling = telling
        self._cut_short = cut_short

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        part = memoryview(buffer).cast("B")[: self._left]
        if not part:
            return 0
        with self._telling():
            data = self._source.read(len(part))
        if not data:
            raise self._cut_short
        part[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()
