"""The first and last records of a CSV text, split as Spark's reader splits them."""

import csv
import itertools
from collections.abc import Iterator

from autoloader_dagster.specs.format import CsvOptions

_LINE_ENDS = "\r\n"


def records(text: str, options: CsvOptions, multiline: bool) -> Iterator[list[str]]:
    """Records in order, without blank and comment lines.

    Args:
        text: Whole lines.
        options: How the file is written.
        multiline: Whether a quoted value may go on in the next line.

    Raises:
        csv.Error: A quoted value of more than 131,072 characters.
    """
    lines = _Lines(text, options, multiline)
    while (line := lines.next_first()) is not None:
        if not options.quote or options.quote not in line:
            # No quote, nothing to undo; the csv module would also take escapes outside of quotes.
            yield line.rstrip(_LINE_ENDS).split(options.delimiter)
        elif multiline:
            yield next(_reader(lines.from_here(line), options))
        else:
            yield next(_reader(iter([line.rstrip(_LINE_ENDS)]), options))


class _Lines:
    """Lines of which the first of a record is chosen and the others are taken as they come."""

    def __init__(self, text: str, options: CsvOptions, multiline: bool) -> None:
        self._rest = iter(_split(text))
        self._comment = options.comment
        self._multiline = multiline

    def next_first(self) -> str | None:
        for line in self._rest:
            # Line by line Spark trims before it calls a line blank, but not in multi-line files.
            content = line.rstrip(_LINE_ENDS) if self._multiline else line.strip()
            if content and not (self._comment and line.startswith(self._comment)):
                return line
        return None

    def from_here(self, line: str) -> Iterator[str]:
        # Not a generator with 'yield from', which would close the rest when the reader is let go.
        return itertools.chain([line], self._rest)


def _split(text: str) -> Iterator[str]:
    # str.splitlines would also split at form feeds, U+2028 and others.
    start = 0
    while start < len(text):
        lf = text.find("\n", start)
        end = len(text) if lf < 0 else lf + 1
        cr = text.find("\r", start, end)
        if cr >= 0 and text[cr : cr + 2] != "\r\n":
            end = cr + 1
        yield text[start:end]
        start = end


def _reader(lines: Iterator[str], options: CsvOptions) -> Iterator[list[str]]:
    return csv.reader(
        lines,
        delimiter=options.delimiter,
        quotechar=options.quote,
        escapechar=options.escape if options.escape not in ("", options.quote) else None,
    )
