"""Compression by the first bytes of a file, and a check that the whole stream is sound.

Spark chooses the codec by the file's name and reads a truncated stream up to its end before it
fails, so both are settled here.
"""

import bz2
import codecs
import io
import re
import zlib
from collections.abc import Callable, Iterator
from typing import cast

from autoloader_dagster.formats.content import CHUNK_BYTES, SIZE_MODULO, Content
from autoloader_dagster.formats.outcome import BadFile, Compression

SUFFIXES: dict[Compression, str] = {"none": "", "gzip": ".gz", "bzip2": ".bz2", "zstd": ".zst"}

# Names that make Spark apply a codec, and those that it reads well.
_CODEC_NAME = re.compile(r"\.(gz|bz2|zst|deflate|lz4|snappy)$", re.IGNORECASE)
_BZIP2 = re.compile(rb"BZh[1-9](?:\x31\x41\x59\x26\x53\x59|\x17\x72\x45\x38\x50\x90)")
_UNSUPPORTED = (
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive without files"),
    (b"\x04\x22\x4d\x18", "an lz4 file"),
    (b"\xff\x06\x00\x00sNaPpY", "a snappy file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"\x1f\x9d", "a file made by 'compress' (.Z)"),
)


def detect(head: bytes, name: str) -> Compression:
    """The compression that the first bytes show.

    Args:
        head: The first bytes.
        name: The file's name, for the one format that has no mark of its own (lzma).

    Raises:
        BadFile: ``UnsupportedCompression``.
    """
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if _BZIP2.match(head):
        return "bzip2"
    for mark, what in _UNSUPPORTED:
        if head.startswith(mark):
            raise _unsupported(what)
    if name.lower().endswith(".lzma") and head.startswith(b"\x5d\x00\x00"):
        raise _unsupported("an lzma file")
    return "none"


def fits_name(compression: Compression, name: str) -> bool:
    """Whether Spark, going by the name, would apply this compression and no other."""
    codec = _CODEC_NAME.search(name)
    return (f".{codec[1].lower()}" if codec else "") == SUFFIXES[compression]


def decompressed(chunks: Iterator[bytes], compression: Compression) -> Iterator[bytes]:
    """The content, in chunks of at most 4 MiB however far it expands.

    Raises:
        BadFile: The stream is cut short or damaged (``TruncatedGzip``, ``CorruptZstd``, …), or
            there is nothing in it (``EmptyFile``).
    """
    if compression == "gzip":
        return _not_empty(_gunzip, chunks)
    if compression == "bzip2":
        return _not_empty(_bunzip2, chunks)
    if compression == "zstd":
        return _not_empty(_unzstd, chunks)
    return chunks


def _not_empty(
    unpack: Callable[[Iterator[bytes]], Iterator[bytes]], chunks: Iterator[bytes]
) -> Iterator[bytes]:
    read = 0

    def counted() -> Iterator[bytes]:
        nonlocal read
        for data in chunks:
            read += len(data)
            yield data

    empty = True
    for out in unpack(counted()):
        empty = empty and not out
        yield out
    if empty:
        raise BadFile("EmptyFile", f"is empty: nothing is in the compressed file ({read} bytes)")


def bytes_for_spark(content: Content, compression: Compression) -> int | None:
    """How many bytes of a text Spark has to check, modulo 2**32; None if it is to be read whole.

    They are without a byte order mark of UTF-8, which Spark passes over.
    """
    if compression not in ("none", "gzip"):
        return None
    size = content.bytes_of_large_text(compression == "gzip")
    if size is None:
        return None
    start = next(decompressed(iter([content.head]), compression))
    mark = len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
    return (size - mark) % SIZE_MODULO


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    member, read = zlib.decompressobj(wbits=31), 0
    try:
        for data in chunks:
            read += len(data)
            while data:
                if member.eof:
                    member = zlib.decompressobj(wbits=31)
                yield member.decompress(data, CHUNK_BYTES)
                data = member.unused_data if member.eof else member.unconsumed_tail
        if not member.eof:
            yield member.flush()
    except zlib.error as error:
        raise _corrupt("gzip", read, error) from error
    if not member.eof:
        raise _truncated("gzip", read)


def _bunzip2(chunks: Iterator[bytes]) -> Iterator[bytes]:
    stream, read = bz2.BZ2Decompressor(), 0
    for data in chunks:
        read += len(data)
        while data or not (stream.needs_input or stream.eof):
            if stream.eof:
                stream = bz2.BZ2Decompressor()
            try:
                out = stream.decompress(data, CHUNK_BYTES)
            except (OSError, ValueError) as error:
                raise _corrupt("bzip2", read, error) from error
            yield out
            data = stream.unused_data if stream.eof else b""
    if not stream.eof:
        raise _truncated("bzip2", read)


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    import pyarrow as pa

    raw = _ChunkFile(chunks)
    # Typed for the path-like and file-like objects that the stubs know.
    stream = pa.input_stream(pa.PythonFile(cast(io.IOBase, raw), mode="r"), compression="zstd")
    while True:
        try:
            out = stream.read(CHUNK_BYTES)
        except OSError as error:
            if raw.failure is not None:
                raise raw.failure from None
            if "Truncated" in str(error):
                raise _truncated("zstd", raw.read_bytes) from error
            raise _corrupt("zstd", raw.read_bytes, error) from error
        if not out:
            return
        yield out


class _ChunkFile(io.RawIOBase):
    """Chunks as a file; an error of the source is kept, for Arrow would wrap it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""
        self.read_bytes = 0
        self.failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return b""
                self._rest = chunk
        except Exception as error:
            self.failure = error
            raise OSError("the source failed") from error
        size = len(self._rest) if size < 0 else size
        data, self._rest = self._rest[:size], self._rest[size:]
        self.read_bytes += len(data)
        return data


def _unsupported(what: str) -> BadFile:
    return BadFile(
        "UnsupportedCompression",
        f"is {what}; deliver it plain, or as gzip, bzip2 or zstd",
    )


def _truncated(name: str, read: int) -> BadFile:
    return BadFile(
        f"Truncated{name.capitalize()}",
        f"ends in the middle of its {name} stream, after {read:,} bytes; deliver it again whole",
    )


def _corrupt(name: str, read: int, error: Exception) -> BadFile:
    return BadFile(
        f"Corrupt{name.capitalize()}",
        f"is damaged: its {name} stream fails within the first {read:,} bytes ({error}); "
        "deliver it again",
    )
