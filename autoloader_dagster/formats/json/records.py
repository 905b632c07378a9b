"""The records of a JSON text of any size: values one after the other, arrays, what is below a path.

Spark reads the first value of a file or of a line and drops what follows it. So a text that is not
one record a line is split here, and each record keeps the characters it was written with.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence

from autoloader_dagster.counts import counted
from autoloader_dagster.formats.json.values import Number, decode_at
from autoloader_dagster.formats.outcome import BadFile, beginning
from autoloader_dagster.formats.text import MAX_LINE_BYTES

_BLANKS = re.compile(r"[ \t\r\n]*")
# An error so near to the end of what is read may come from what is not read yet.
_NEAR_END = 32
_KINDS = {"{": "an object", "[": "an array", "n": "null", '"': "a string"}


class Records:
    """Iterates over the records of a text, as pairs of their characters and their parsed value.

    The text is an array of records, one record, or several of them one after the other, with or
    without line breaks or commas in between. With a path each of these values holds its records
    there. One record at a time is in memory.

    Args:
        chunks: The text in UTF-8, without a byte order mark.
        record_path: Where each value keeps its records.
        limit: The longest value, in characters.

    Attributes:
        count: How many records have been found so far.
    """

    def __init__(
        self, chunks: Iterable[bytes], record_path: str | None, limit: int = MAX_LINE_BYTES
    ) -> None:
        self._chunks = iter(chunks)
        self._path = record_path.split(".") if record_path else []
        self._limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at, self._ended = "", 0, False
        self._passed_lines = 0
        self.count = 0

    def __iter__(self) -> Iterator[tuple[str, object]]:
        """Yield each record.

        Raises:
            BadFile: ``NotJson``, ``TruncatedJson``, ``TooDeep``, ``LineTooLong`` or ``NoRecords``.
        """
        after_comma = True
        while sign := self._peek():
            if sign == "," and not after_comma:
                self._at += 1
                after_comma = True
                continue
            after_comma = False
            for record in self._of_value(sign):
                self.count += 1
                yield record

    def _of_value(self, sign: str) -> Iterator[tuple[str, object]]:
        if not self._path:
            if sign == "[":
                yield from self._elements()
            else:
                yield self._value()
        elif sign == "[":
            self._at += 1
            if self._ends("]"):
                return
            while True:
                yield from self._below(self._path, [], in_array=True)
                if self._ends("]", comma=True):
                    return
        else:
            yield from self._below(self._path, [])

    def _below(
        self, path: Sequence[str], passed: Sequence[str], in_array: bool = False
    ) -> Iterator[tuple[str, object]]:
        where = f"at '{'.'.join(passed)}'" if passed else "at the top"
        sign = self._peek()
        if sign != "{":
            kind = _KINDS.get(sign, "a value")
            if in_array:
                raise not_in_array(".".join(self._path), f"there is {kind}")
            raise self._no_records(f"{where} there is {kind}")
        self._at += 1
        found, keys = False, []
        done = self._ends("}")
        while not done:
            if self._peek() != '"':
                raise self._broken("a key in quotes is expected")
            key = str(self._value()[1])
            if self._peek() != ":":
                raise self._broken("':' is expected after a key")
            self._at += 1
            if key != path[0]:
                keys.append(key)
                self._value()
            elif len(path) > 1:
                found = True
                yield from self._below(path[1:], [*passed, key])
            else:
                found = True
                sign = self._peek()
                if sign != "[":
                    kind = _KINDS.get(sign, "a value")
                    raise self._no_records(f"there is {kind}, not an array of records")
                yield from self._elements()
            done = self._ends("}", comma=True)
        if not found:
            names = ", ".join(beginning(name) for name in keys[:10]) or "none"
            if in_array:
                raise not_in_array(".".join(self._path), f"the keys there are: {names}")
            raise self._no_records(f"the keys {where} are: {names}")

    def _elements(self) -> Iterator[tuple[str, object]]:
        self._at += 1
        if self._ends("]"):
            return
        while True:
            yield self._value()
            if self._ends("]", comma=True):
                return

    def _ends(self, closing: str, comma: bool = False) -> bool:
        """Pass the closing bracket, or with ``comma`` else the comma that must be there."""
        sign = self._peek()
        if sign == closing:
            self._at += 1
            return True
        if comma:
            if sign != ",":
                raise self._broken(f"',' or '{closing}' is expected")
            self._at += 1
        return False

    def _peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            found = _BLANKS.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _value(self) -> tuple[str, object]:
        """Pass one value."""
        self._peek()
        while True:
            start = self._at
            try:
                value, end = decode_at(self._text, start)
            except json.JSONDecodeError as error:
                may_go_on = error.pos >= len(self._text) - _NEAR_END or "Unterminated" in error.msg
                if may_go_on and self._more():
                    continue
                if may_go_on and self._is_cut(error):
                    raise self._truncated() from error
                self._at = error.pos
                raise self._broken(error.msg) from error
            except RecursionError as error:
                raise BadFile("TooDeep", "is nested too deeply to be read") from error
            except ValueError as error:
                raise self._broken(str(error)) from error
            # A number at the very end may go on in the next chunk, with '.' or 'e+' here already.
            if isinstance(value, Number) and end >= len(self._text) - 2 and self._more():
                continue
            self._at = end
            written = self._text[start:end]
            if "\n" in written or "\r" in written:
                # Between tokens only: a string may not hold them.
                written = written.replace("\n", " ").replace("\r", " ")
            return written, value

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        return error.pos >= len(self._text.rstrip()) or "Unterminated" in error.msg

    def _more(self) -> bool:
        """Read on: at least as much as is held, so that a long value costs twice its size."""
        if self._ended:
            return False
        kept = self._text[self._at :]
        if len(kept) > self._limit:
            raise BadFile(
                "LineTooLong",
                f"has a value of more than {self._limit:,} characters after "
                f"{counted(self.count, 'record')}",
            )
        parts, size = [kept], 0
        while size <= len(kept):
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
                break
            parts.append(self._decoder.decode(chunk))
            size += len(parts[-1])
        if not size:
            return False
        self._passed_lines += self._text.count("\n", 0, self._at)
        self._text, self._at = "".join(parts), 0
        return True

    def _broken(self, what: str) -> BadFile:
        if not self._text[self._at :].strip():
            return self._truncated()
        line = self._passed_lines + self._text.count("\n", 0, self._at) + 1
        return BadFile(
            "NotJson",
            f"is not JSON from line {line:,} on, after {counted(self.count, 'record')} ({what}): "
            f"'{beginning(self._text[self._at : self._at + 80])}'",
        )

    def _truncated(self) -> BadFile:
        return BadFile(
            "TruncatedJson",
            f"ends in the middle of the document (… {beginning(self._text[-30:])}); "
            "deliver it again whole",
        )

    def _no_records(self, what: str) -> BadFile:
        return BadFile("NoRecords", f"has no '{'.'.join(self._path)}': {what}")


def not_in_array(record_path: str, there: str) -> BadFile:
    """The fault of an array whose elements have nothing at the path of the records."""
    return BadFile(
        "NoRecords",
        f"is an array, and record_path '{record_path}' is looked for in each object of it; "
        f"{there}. If the elements are the records, remove format.options.record_path",
    )
