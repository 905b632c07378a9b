"""Whether a quoted CSV value holds a line break, and whether every quote is closed.

A file without such values can be read line by line and split; one with them cannot. Spark does not
notice a wrong choice, nor a quote that never closes, so the whole file is scanned.

Most blocks are settled by arithmetic on the positions of quotes and line ends. That is exact as
long as every quote stands where RFC 4180 puts one: an opening one at the beginning of a value, a
closing one at its end, or two beside each other. A block with a quote elsewhere, such as the inch
sign in ``5" pipe``, is read sign by sign, as Spark's parser would.
"""

import re

from autoloader_dagster.inspection.outcome import SetAside
from autoloader_dagster.specs.format import CsvOptions

_LF, _CR = 10, 13


class QuoteScan:
    """Reads a file once, in blocks of whole lines.

    Args:
        options: How the files are written; ``quote`` must not be empty.
        encoding: Of the blocks.

    Attributes:
        multiline: Whether a quoted value with a line break was seen so far.
    """

    def __init__(self, options: CsvOptions, encoding: str) -> None:
        self.multiline = False
        self._quote = _encoded(options.quote, encoding)
        self._delimiter = _encoded(options.delimiter, encoding)
        self._comment = _encoded(options.comment, encoding) if options.comment else None
        escape = _encoded(options.escape, encoding)
        # A doubled quote counts as one whatever the escape sign is, as it does in Spark.
        self._escape = escape if escape != self._quote else b""
        self._open = False
        self._lines = 0
        self._opened_at = 0
        quote, delimiter = re.escape(self._quote), re.escape(self._delimiter)
        # The quote comes first, for re then jumps from quote to quote.
        opening = rb"%s(?:(?<=\A%s)|(?<=[\r\n]%s)|(?<=%s%s))"
        self._opening = re.compile(opening % (quote, quote, quote, delimiter, quote))
        if self._comment:
            comment = rb"(?:\A|(?<=[\r\n]))(%s[^\r\n]*)" % re.escape(self._comment)
            self._opening = re.compile(comment + rb"|" + self._opening.pattern)
        escaped = (
            [re.escape(self._escape) + rest for rest in (quote, rb".")] if self._escape else []
        )
        self._in_quotes = re.compile(rb"|".join([*escaped, quote * 2, quote]), re.DOTALL)

    def feed(self, block: bytes) -> None:
        """Take the next block.

        Raises:
            SetAside: ``UnbalancedQuotes``: a value over several lines ends where none can.
        """
        if self._quote not in block:
            self._lines += _line_ends(block)
        elif not self._is_plain(block) or not self._feed_by_position(block):
            self._feed_by_sign(block)

    def finish(self) -> None:
        """Say that there are no more blocks.

        Raises:
            SetAside: ``UnbalancedQuotes``: a quote was opened and never closed.
        """
        if self._open:
            raise _unbalanced(self._opened_at, "is never closed")

    def _is_plain(self, block: bytes) -> bool:
        return (
            len(self._quote) == len(self._delimiter) == 1
            and not (self._escape and self._escape in block)
            and not (self._comment and self._comment in block)
        )

    def _feed_by_position(self, block: bytes) -> bool:
        """Settle a block by arithmetic; False, with nothing changed, where that is not exact."""
        import numpy as np

        signs = np.frombuffer(block, np.uint8)
        quote, delimiter = self._quote[0], self._delimiter[0]
        quotes = np.flatnonzero(signs == quote)
        opening, closing = quotes[int(self._open) :: 2], quotes[1 - int(self._open) :: 2]
        # Position 0 begins a line; there is nothing before it.
        before = signs[opening[1:] - 1] if opening.size and opening[0] == 0 else signs[opening - 1]
        # A quote at the very end of a block ends the file.
        last = closing.size and closing[-1] == signs.size - 1
        after = signs[closing[:-1] + 1] if last else signs[closing + 1]
        for neighbours in (before, after):
            fits = neighbours == delimiter
            for sign in (_LF, _CR, quote):
                fits |= neighbours == sign
            if not fits.all():
                return False
        line_end = _LF if b"\n" in block else _CR
        ends = np.flatnonzero(signs == line_end)
        if not self.multiline:
            breaks = ends
            if line_end == _LF and b"\r" in block:
                breaks = np.flatnonzero((signs == _LF) | (signs == _CR))
            inside = (np.searchsorted(quotes, breaks) + int(self._open)) & 1
            self.multiline = bool(inside.any())
        if quotes.size & 1:
            self._open = not self._open
        if self._open and opening.size:
            self._opened_at = self._lines + int(np.searchsorted(ends, opening[-1])) + 1
        self._lines += ends.size
        return True

    def _feed_by_sign(self, block: bytes) -> None:
        at, start = 0, -1
        while True:
            if not self._open:
                opening = self._opening.search(block, at)
                if opening is None:
                    break
                at = opening.end()
                if opening[0] != self._quote:
                    # A comment line.
                    continue
                self._open, start = True, at
            end = self._closing(block, at)
            if end < 0:
                # The block's end is a line's end, or the file's.
                self.multiline = True
                if start >= 0:
                    self._opened_at = self._line(block, start)
                break
            if start < 0 or _has_line_end(block, start, end):
                self.multiline = True
                if not self._ends_value(block, end):
                    raise _unbalanced(
                        self._opened_at if start < 0 else self._line(block, start),
                        f"closes in the middle of a value on line {self._line(block, end):,}",
                    )
            self._open, at, start = False, end, end
        self._lines += _line_ends(block)

    def _closing(self, block: bytes, at: int) -> int:
        """Where the closing quote ends; -1 if this block does not close the value."""
        for sign in self._in_quotes.finditer(block, at):
            if sign[0] == self._quote:
                return sign.end()
        return -1

    def _ends_value(self, block: bytes, at: int) -> bool:
        return at == len(block) or block[at] in (_LF, _CR) or block.startswith(self._delimiter, at)

    def _line(self, block: bytes, at: int) -> int:
        return self._lines + block.count(b"\n" if b"\n" in block else b"\r", 0, at) + 1


def _has_line_end(block: bytes, start: int, end: int) -> bool:
    return block.find(b"\n", start, end) >= 0 or block.find(b"\r", start, end) >= 0


def _encoded(sign: str, encoding: str) -> bytes:
    try:
        return sign.encode(encoding)
    except UnicodeEncodeError:
        # A sign that the encoding lacks is not in the file; these bytes will not be found either.
        return sign.encode()


def _line_ends(block: bytes) -> int:
    import numpy as np

    signs = np.frombuffer(block, np.uint8)
    return int(np.count_nonzero(signs == (_LF if b"\n" in block else _CR)))


def _unbalanced(line: int, what: str) -> SetAside:
    return SetAside(
        "UnbalancedQuotes",
        f"has a quote on line {line:,} that {what}, so values would swallow lines; mend the file, "
        "or set format.options.quote to '' if its quotes mean nothing",
    )
