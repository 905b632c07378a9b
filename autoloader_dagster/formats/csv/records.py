"""The cells of records, split as Spark's reader splits them; for headers and samples.

Not Python's ``csv`` module, because that takes escapes outside of quotes too, joins what is
around quotes, and refuses long values.
"""

import re
from collections.abc import Iterator

from autoloader_dagster.formats.csv.options import CsvOptions

_LINE = re.compile(r"[^\r\n]*")
_LINE_END = re.compile(r"\r\n|\r|\n|\Z")
# What Java's trim() takes off.
_BLANKS = "".join(map(chr, range(33)))


def records(text: str, options: CsvOptions, multiline: bool) -> Iterator[list[str]]:
    """The cells of each record in order, without blank and comment lines.

    Args:
        text: Whole lines.
        options: How the file is written.
        multiline: Whether a quoted value may go on in the next line.
    """
    if not options.quote:
        multiline = False
    cells = _Cells(options, multiline)
    at = 0
    while at < len(text):
        line = _line_at(text, at)
        if not (line.strip(_BLANKS) or options.delimiter in line) or (
            options.comment and line.startswith(options.comment)
        ):
            at += len(line)
        elif not options.quote or (not multiline and options.quote not in line):
            yield line.split(options.delimiter)
            at += len(line)
        else:
            found, at = cells.at(text, at)
            yield found
        end = _LINE_END.match(text, at)
        at = end.end() if end else at + 1


def _line_at(text: str, at: int) -> str:
    line = _LINE.match(text, at)
    return line[0] if line else ""


class _Cells:
    def __init__(self, options: CsvOptions, multiline: bool) -> None:
        self._delimiter, self._quote = options.delimiter, options.quote
        delimiter, quote = re.escape(options.delimiter), re.escape(options.quote)
        ends = "" if multiline else r"\r\n"
        if options.escape == options.quote:
            within = f"[^{quote}{ends}]|{quote}{quote}"
            self._escaped = re.compile(f"{quote}({quote})")
        elif options.escape:
            escape = re.escape(options.escape)
            within = (
                f"[^{quote}{escape}{ends}]|{escape}[^{ends}]"
                if ends
                else (f"[^{quote}{escape}]|{escape}.")
            )
            self._escaped = re.compile(f"{escape}([{quote}{escape}])")
        else:
            within, self._escaped = f"[^{quote}{ends}]", None
        after = rf"(?={delimiter}|\r|\n|\Z)"
        # Quotes in any other place are characters like others.
        self._cell = re.compile(
            f"{quote}((?:{within})*){quote}{after}|([^{delimiter}\\r\\n]*)", re.DOTALL
        )

    def at(self, text: str, at: int) -> tuple[list[str], int]:
        cells = []
        while True:
            found = self._cell.match(text, at)
            if found is None:
                return cells, at
            quoted, plain = found.groups()
            if quoted is not None and self._escaped:
                quoted = self._escaped.sub(r"\1", quoted)
            cells.append(plain if quoted is None else quoted)
            at = found.end()
            if not text.startswith(self._delimiter, at):
                return cells, at
            at += 1
