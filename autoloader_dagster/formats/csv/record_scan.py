"""Where the records of a CSV text are, whether values hold line breaks, and whether quotes close.

This is the one definition of a record: the look counts by it, the lines that go to Spark are cut by
it, and the audit compares its count with the rows that were written. A record ends with a line that
ends outside of quotes. A line without any character but blanks (up to U+0020, as Java's ``trim``)
and without a delimiter is no record, and neither is a comment line.

Most blocks are settled by arithmetic on the positions of quotes and line ends. That is exact as
long as every quote is where RFC 4180 puts one: an opening one at the beginning of a value, a
closing one at its end, or two beside each other. A block with a quote elsewhere, such as the inch
sign in ``5" pipe``, is read character by character, as Spark's parser would.
"""

import re
from typing import TYPE_CHECKING

from autoloader_dagster.formats.csv.options import CsvOptions
from autoloader_dagster.formats.csv.reader_limits import lines_of_blanks, refuse_wide_records
from autoloader_dagster.formats.outcome import BadFile

if TYPE_CHECKING:
    import numpy as np

    Positions = np.ndarray[tuple[int], np.dtype[np.intp]]

_LF, _CR, _BLANK = 10, 13, 32


class RecordScan:
    """Reads a file once, in blocks of whole lines.

    Args:
        options: How the files are written.
        encoding: Of the blocks.

    Attributes:
        multiline: Whether a quoted value with a line break was seen so far.
        records: How many records were seen so far, the header included.
        blank_records: Whether a record has no characters but blanks, so that Spark's reader drops
            it when it reads line by line.
        line_ends: The line ends seen so far outside of quotes: ``lf``, ``crlf`` and ``cr``.
        quoted_cr: Whether a CR without LF was seen inside of quotes.
        blank_lines: Whether a line of blanks, not an empty one, was seen outside of quotes.
        begins_blank: Whether there is such a line before the first record.
    """

    def __init__(self, options: CsvOptions, encoding: str) -> None:
        self.multiline = self.blank_records = self.quoted_cr = False
        self.blank_lines = self.begins_blank = False
        self.records = 0
        self.line_ends: set[str] = set()
        self._options, self._encoding = options, encoding
        self._may_be_multiline = options.multiline is not False
        self._quote = encoded(options.quote, encoding)
        self._delimiter = encoded(options.delimiter, encoding)
        self._comment = encoded(options.comment, encoding) if options.comment else None
        escape = encoded(options.escape, encoding)
        self._escape = escape if escape != self._quote else b""
        # With another escape character Spark takes a doubled quote as the end of the value and a
        # quote that means nothing.
        self._doubles = escape == self._quote
        self._open = False
        self._lines = 0
        self._opened_at = 0
        if self._quote:
            self._compile()

    def _compile(self) -> None:
        quote, delimiter = re.escape(self._quote), re.escape(self._delimiter)
        # The quote comes first, because re then jumps from quote to quote.
        opening = rb"%s(?:(?<=\A%s)|(?<=[\r\n]%s)|(?<=%s%s))"
        self._opening = re.compile(opening % (quote, quote, quote, delimiter, quote))
        if self._comment:
            comment = rb"(?:\A|(?<=[\r\n]))(%s[^\r\n]*)" % re.escape(self._comment)
            self._opening = re.compile(comment + rb"|" + self._opening.pattern)
        escaped = (
            [re.escape(self._escape) + rest for rest in (quote, rb".")] if self._escape else []
        )
        doubled = [quote * 2] if self._doubles else []
        self._in_quotes = re.compile(rb"|".join([*escaped, *doubled, quote]), re.DOTALL)
        # A record over several lines must be unmistakable, because Spark's parser is given it whole
        # and would drop what comes after the end that it sees.
        others = rb"[^%s%s]" % (quote, re.escape(self._escape))
        within = rb"|".join([others, *escaped, *doubled])
        plain = rb"(?!%s)(?:(?!%s)[^\r\n])*" % (quote, delimiter)
        value = rb"(?:%s(?:%s)*%s|%s)" % (quote, within, quote, plain)
        self._whole_record = re.compile(rb"%s(?:%s%s)*" % (value, delimiter, value), re.DOTALL)

    def feed(self, block: bytes) -> "Positions":
        """Take the next block, and give the positions at which the records that begin in it begin.

        Raises:
            BadFile: ``UnbalancedQuotes``: a value over several lines ends where none can, or
                there is one although the spec says that there are none.
        """
        return self._scan(block)[0]

    @property
    def is_ordinary(self) -> bool:
        """Whether each line was a record by itself so far, or none, and ended with LF or CRLF."""
        unusual = self.multiline or self.blank_records or self._open
        return not unusual and "cr" not in self.line_ends

    def cut(self, text: bytes) -> list[bytes]:
        """The records of a whole text, without their line ends, as ``feed`` counts them.

        Raises:
            BadFile: As ``feed`` and ``finish``.
        """
        starts, ends = self._scan(text)
        self.finish()
        found = []
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if text.endswith(b"\r\n", start, end):
                end -= 2
            elif text.endswith((b"\n", b"\r"), start, end):
                end -= 1
            record = text[start:end]
            if self.multiline and _has_line_end(text, start, end):
                self._check_whole(record, text.count(b"\n", 0, start) + 1)
            found.append(record)
        return found

    def _check_whole(self, record: bytes, line: int) -> None:
        if not self._whole_record.fullmatch(record):
            raise _unbalanced(line, "is in the middle of a value, in a record over several lines")

    def finish(self) -> None:
        """Say that there are no more blocks.

        Raises:
            BadFile: ``UnbalancedQuotes``: a quote was opened and never closed.
        """
        if self._open:
            raise _unbalanced(self._opened_at, "is never closed")

    def _scan(self, block: bytes) -> tuple["Positions", "Positions"]:
        """Take a block; where the records that begin in it begin, and where their lines end."""
        import numpy as np

        characters = np.frombuffer(block, np.uint8)
        ends = self._all_line_ends(block, characters)
        began_open = self._open
        if self._quote and self._quote in block:
            inside = self._by_position(block, characters, ends) if self._is_plain(block) else None
            if inside is None:
                inside = self._by_character(block, ends)
        else:
            inside = np.full(ends.shape, self._open)
        if inside.any():
            self._has_line_break_in_quotes(int(np.argmax(inside)))
            self.quoted_cr |= bool((characters[ends[inside]] == _CR).any())
        outside = ends[~inside] if self.multiline else ends
        self._lines += ends.size
        self._note_kinds(block, characters, outside)
        # A segment is what is between two line ends outside of quotes.
        ends = outside + 1
        starts = np.concatenate(([0], ends))
        if ends.size and ends[-1] == len(block):
            starts = starts[:-1]
        else:
            ends = np.concatenate((ends, [len(block)]))
        if began_open:
            # It was counted in the block where it began.
            starts, ends = starts[1:], ends[1:]
        is_record = self._are_records(block, characters, starts, ends)
        starts, ends = starts[is_record], ends[is_record]
        self.records += starts.size
        refuse_wide_records(block, starts, ends, self._options, self._encoding)
        return starts, ends

    def _has_line_break_in_quotes(self, line_end: int) -> None:
        if not self.multiline and not self._may_be_multiline:
            raise BadFile(
                "UnbalancedQuotes",
                f"has a quoted value on line {self._lines + line_end + 1:,} that goes on in the "
                "next line; fix the file, or set format.options.multiline to auto",
            )
        self.multiline = True

    def _all_line_ends(self, block: bytes, characters: "np.ndarray") -> "Positions":
        """The last byte of every LF, CRLF and CR."""
        import numpy as np

        if b"\r" not in block:
            return np.flatnonzero(characters == _LF)
        if b"\n" not in block:
            return np.flatnonzero(characters == _CR)
        is_cr = characters == _CR
        # A CR before an LF is a part of that line end.
        is_cr[:-1] &= characters[1:] != _LF
        return np.flatnonzero(is_cr | (characters == _LF))

    def _note_kinds(self, block: bytes, characters: "np.ndarray", outside: "Positions") -> None:
        if b"\r" not in block:
            if outside.size:
                self.line_ends.add("lf")
            return
        is_lf = characters[outside] == _LF
        lf = outside[is_lf]
        # The byte before the first one is the last one, which is no CR before an LF.
        crlf = characters[lf - 1] == _CR
        for kind, there in (("cr", ~is_lf), ("crlf", crlf), ("lf", ~crlf)):
            if there.any():
                self.line_ends.add(kind)

    def _are_records(
        self, block: bytes, characters: "np.ndarray", starts: "Positions", ends: "Positions"
    ) -> "np.ndarray":
        import numpy as np

        first = characters[starts] if starts.size else characters[:0]
        are = first > _BLANK
        blank = starts[:0]
        doubtful = np.flatnonzero(~are)
        if doubtful.size:
            # Most lines begin with another character, which settles them faster.
            written = np.flatnonzero(characters > _BLANK)
            from_, to = starts[doubtful], ends[doubtful]
            has_some = np.searchsorted(written, from_) < np.searchsorted(written, to)
            if self._delimiter <= b" " and len(self._delimiter) == 1:
                delimiters = np.flatnonzero(characters == self._delimiter[0])
                of_blanks = ~has_some & (
                    np.searchsorted(delimiters, from_) < np.searchsorted(delimiters, to)
                )
                self.blank_records |= bool(of_blanks.any())
                has_some |= of_blanks
            are[doubtful] = has_some
            blank = lines_of_blanks(characters, from_[~has_some], to[~has_some])
        if self._comment:
            for i in np.flatnonzero(first == self._comment[0]).tolist():
                if block.startswith(self._comment, starts[i]):
                    are[i] = False
        if blank.size:
            self.blank_lines = True
            self.begins_blank |= not self.records and not (starts[are][:1] < blank[0]).any()
        return are

    def _is_plain(self, block: bytes) -> bool:
        return (
            len(self._quote) == len(self._delimiter) == 1
            and not (self._escape and self._escape in block)
            and not (self._comment and self._comment in block)
        )

    def _by_position(
        self, block: bytes, characters: "np.ndarray", ends: "Positions"
    ) -> "np.ndarray | None":
        """Which line ends are inside of quotes; None, with nothing changed, if it is not exact."""
        import numpy as np

        quote, delimiter = self._quote[0], self._delimiter[0]
        quotes = np.flatnonzero(characters == quote)
        opening, closing = quotes[int(self._open) :: 2], quotes[1 - int(self._open) :: 2]
        # Position 0 begins a line; there is nothing before it.
        first = opening[1:] if opening.size and opening[0] == 0 else opening
        before = characters[first - 1]
        # A quote at the very end of a block ends the file.
        last = closing.size and closing[-1] == characters.size - 1
        after = characters[closing[:-1] + 1] if last else characters[closing + 1]
        for neighbours in (before, after):
            fits = neighbours == delimiter
            for character in (_LF, _CR, quote if self._doubles else _LF):
                fits |= neighbours == character
            if not fits.all():
                return None
        inside = ((np.searchsorted(quotes, ends) + int(self._open)) & 1).astype(bool)
        if quotes.size & 1:
            self._open = not self._open
        if self._open and opening.size:
            self._opened_at = self._lines + int(np.searchsorted(ends, opening[-1])) + 1
        return inside

    def _by_character(self, block: bytes, ends: "Positions") -> "np.ndarray":
        import numpy as np

        # Where quoted values begin and end, in turns.
        bounds: list[int] = [0] if self._open else []
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
                bounds.append(at)
            end = self._closing(block, at)
            if end < 0:
                # The block's end is a line's end, or the file's.
                if start >= 0:
                    self._opened_at = self._line(block, start)
                break
            bounds.append(end)
            if (start < 0 or _has_line_end(block, start, end)) and not self._ends_value(block, end):
                raise _unbalanced(
                    self._opened_at if start < 0 else self._line(block, start),
                    f"closes in the middle of a value on line {self._line(block, end):,}",
                )
            self._open, at, start = False, end, end
        return (np.searchsorted(np.array(bounds, np.intp), ends, side="right") & 1).astype(bool)

    def _closing(self, block: bytes, at: int) -> int:
        """Where the closing quote ends; -1 if this block does not close the value."""
        for found in self._in_quotes.finditer(block, at):
            if found[0] == self._quote:
                return found.end()
        return -1

    def _ends_value(self, block: bytes, at: int) -> bool:
        return at == len(block) or block[at] in (_LF, _CR) or block.startswith(self._delimiter, at)

    def _line(self, block: bytes, at: int) -> int:
        return self._lines + block.count(b"\n" if b"\n" in block else b"\r", 0, at) + 1


def encoded(character: str, encoding: str) -> bytes:
    """A character of the options as it is in the blocks."""
    try:
        return character.encode(encoding)
    except UnicodeEncodeError:
        # What the encoding lacks is not in the file; these bytes will not be found either.
        return character.encode()


def _has_line_end(block: bytes, start: int, end: int) -> bool:
    return block.find(b"\n", start, end) >= 0 or block.find(b"\r", start, end) >= 0


def _unbalanced(line: int, what: str) -> BadFile:
    return BadFile(
        "UnbalancedQuotes",
        f"has a quote on line {line:,} that {what}, so values would swallow lines; fix the file, "
        "or set format.options.quote to '' if its quotes mean nothing",
    )
