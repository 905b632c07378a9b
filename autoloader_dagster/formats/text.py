"""Text that is checked while it streams by: byte order marks, encodings, NUL, line lengths."""

import codecs
from collections.abc import Iterator

from autoloader_dagster.formats.content import gather
from autoloader_dagster.formats.outcome import BadFile, beginning

MAX_LINE_BYTES = 64 * 2**20

_UTF8_BOM = codecs.BOM_UTF8
_UTF16_BOMS = {codecs.BOM_UTF16_LE: "utf-16le", codecs.BOM_UTF16_BE: "utf-16be"}
_CODECS = {"utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}
_TAR_MARK = slice(257, 262)


def checked_text(
    chunks: Iterator[bytes], encoding: str, hint: str = "see format.options.encoding"
) -> Iterator[bytes]:
    """The text without its byte order mark, in an encoding in which ASCII is ASCII.

    UTF-16 comes out as UTF-8, everything else as it is.

    Args:
        chunks: The content, decompressed.
        encoding: As the spec says.
        hint: What to do about a wrong encoding.

    Raises:
        BadFile: ``WrongEncoding``, ``NulBytes``, ``EmptyFile`` or, for a tar archive,
            ``UnsupportedCompression``.
    """
    first, _ = gather(chunks, 512)
    if not first:
        raise BadFile("EmptyFile", "is empty (0 bytes)")
    if first[_TAR_MARK] == b"ustar":
        raise BadFile("UnsupportedCompression", "is a tar archive; deliver its files one by one")
    mark, found = _byte_order_mark(first)
    if encoding == "utf-16":
        # Java's default without a mark, where Python would take the machine's.
        encoding = "utf-16be" if found is None else found
    # ASCII is a part of UTF-8, so a mark before it does no harm.
    expected = "utf-8" if encoding == "us-ascii" else encoding
    if found is not None and found != expected:
        raise BadFile(
            "WrongEncoding",
            f"begins with the byte order mark of {found.upper()}, and {encoding} was expected; "
            f"{hint}",
        )
    rest = _after(first[len(mark) :], chunks)
    if encoding in _CODECS:
        return _without_nul(_transcoded(rest, encoding, hint), hint)
    return _verified(_without_nul(rest, hint), encoding, len(mark), hint)


def whole_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks that each hold whole lines, whichever of LF, CRLF and CR ends them.

    Raises:
        BadFile: ``LineTooLong``: 64 MiB without the end of a line.
    """
    carry = b""
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if not end:
            # A CR at the very end may be one half of a CRLF.
            end = chunk.rfind(b"\r", 0, -1) + 1
        if end:
            yield carry + chunk[:end] if carry else chunk[:end]
            carry = chunk[end:]
        else:
            carry += chunk
            if len(carry) > MAX_LINE_BYTES:
                raise BadFile(
                    "LineTooLong",
                    f"has a line of more than {MAX_LINE_BYTES // 2**20} MiB "
                    f"(it begins '{beginning(carry)}')",
                )
    if carry:
        yield carry


def _byte_order_mark(first: bytes) -> tuple[bytes, str | None]:
    if first.startswith(_UTF8_BOM):
        return _UTF8_BOM, "utf-8"
    for mark, name in _UTF16_BOMS.items():
        if first.startswith(mark):
            return mark, name
    return b"", None


def _after(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from chunks


def _without_nul(chunks: Iterator[bytes], hint: str) -> Iterator[bytes]:
    for chunk in chunks:
        at = chunk.find(b"\0")
        if at >= 0:
            # In UTF-16 every second byte of Western text is NUL.
            sample = chunk[:4096]
            if sample.count(b"\0") * 3 > len(sample):
                raise BadFile(
                    "WrongEncoding", f"looks like UTF-16 without a byte order mark; {hint}"
                )
            before = f" after '{beginning(chunk[max(at - 30, 0) : at])}'" if at else ""
            raise BadFile("NulBytes", f"holds a NUL byte{before}, so it is damaged or not text")
        yield chunk


def _verified(chunks: Iterator[bytes], encoding: str, offset: int, hint: str) -> Iterator[bytes]:
    if encoding == "iso-8859-1":
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder("ascii" if encoding == "us-ascii" else "utf-8")()
    pending = 0
    for chunk in chunks:
        if pending or not chunk.isascii():
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _wrong_encoding(encoding, error, offset - pending, hint) from error
            pending = len(decoder.getstate()[0])
        offset += len(chunk)
        yield chunk
    if pending:
        raise BadFile("WrongEncoding", f"ends in the middle of a {encoding} character; {hint}")


def _transcoded(chunks: Iterator[bytes], encoding: str, hint: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(_CODECS[encoding])()
    offset, pending = 2, 0
    try:
        for chunk in chunks:
            pending = len(decoder.getstate()[0])
            text = decoder.decode(chunk)
            offset += len(chunk)
            if text:
                yield text.encode()
        pending = len(decoder.getstate()[0])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _wrong_encoding(encoding, error, offset - pending, hint) from error


def _wrong_encoding(encoding: str, error: UnicodeDecodeError, offset: int, hint: str) -> BadFile:
    around = error.object[max(error.start - 20, 0) : error.start + 20]
    shown = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in around)
    return BadFile(
        "WrongEncoding",
        f"is not {encoding}: byte {offset + error.start:,} does not belong there (… {shown} …); "
        f"{hint}",
    )
