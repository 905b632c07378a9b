"""What a command shows: tables for people, JSON for programs, progress and errors on stderr."""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoloader_dagster.errors import AutoloaderError

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs instead of a table.")
]

# What a pipe or a file gets, so that no path is cut for a terminal that is not there.
_PLAIN_WIDTH = 240
_COLUMNS_ABREAST = 8
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CONTROL = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def screen(*, stderr: bool = False) -> Console:
    """The console of stdout or stderr; wide where it is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH
    # ':smile:' in a name is text.
    return Console(file=stream, width=width, highlight=False, emoji=False)


def literal(text: str) -> str:
    """A text whose control characters are escaped, so that a name cannot steer the terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str = "") -> None:
    """One line for people on stdout, without any markup."""
    screen().print(literal(text), markup=False, soft_wrap=True)


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    text = json.dumps(data, indent=2, ensure_ascii=False, default=str)
    # A name that is not UTF-8 holds them, and stdout would write bytes that are not JSON.
    text = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    sys.stdout.write(text + "\n")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str | None = None,
    *,
    line_breaks: bool = False,
) -> None:
    """A table on stdout. A column whose name begins with ``>`` holds numbers.

    Args:
        columns: Their names.
        rows: A value for each column.
        title: Stands above the table.
        line_breaks: Whether a value keeps its line breaks. Else a name could look like a row.
    """
    table = Table(
        title=Text(literal(title)) if title else None,
        title_justify="left",
        title_style="bold",
        box=None,
    )
    for column in columns:
        number = column.startswith(">")
        table.add_column(
            Text(literal(column.removeprefix(">"))),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=number,
        )
    for row in rows:
        cells = [literal(_cell(value)) for value in row]
        table.add_row(*(Text(cell if line_breaks else cell.replace("\n", r"\n")) for cell in cells))
    screen().print(table)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows of data, exactly as they are; one below the other if they have many columns."""
    if len(columns) <= _COLUMNS_ABREAST:
        print_table(columns, ([_data(value) for value in row] for row in rows), line_breaks=True)
        return
    for number, row in enumerate(rows, 1):
        pairs = zip(columns, map(_data, row), strict=True)
        print_table(("column", "value"), pairs, f"row {number}", line_breaks=True)


def print_error(error: AutoloaderError) -> None:
    """``error: what`` and ``-> hint`` on stderr."""
    console = screen(stderr=True)
    console.print(Text.assemble(("error:", "bold red"), " ", literal(error.what)), soft_wrap=True)
    if error.hint:
        console.print(f"  -> {literal(error.hint)}", markup=False, soft_wrap=True)


def moment(value: datetime | None) -> str | None:
    """A time for programs: ISO 8601 in UTC."""
    return value.isoformat() if value else None


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class Progress:
    """Says on stderr what is being done; one line that changes, and only on a terminal."""

    def __init__(self, console: Console | None) -> None:
        self._status = console.status("") if console else None

    def __call__(self, text: str) -> None:
        if self._status is not None:
            self._status.update(Text(literal(text)))
            self._status.start()

    def done(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()

    def download(self, name: str, done: int, total: int) -> None:
        """Progress of a download, as ``spark.jars`` tells it."""
        self(f"download {name}: {size(done)} of {size(total)}")


@contextmanager
def progress() -> Iterator[Progress]:
    """Progress for the block.

    Dagster sends stderr to a file while a step runs, to keep its log; so this writes to a copy.
    """
    if not sys.stderr.isatty():
        yield Progress(None)
        return
    with os.fdopen(os.dup(sys.stderr.fileno()), "w") as stream:
        shown = Progress(Console(file=stream, highlight=False, emoji=False))
        try:
            yield shown
        finally:
            shown.done()


def _data(value: object) -> str | None:
    # No thousands: a year is a number too.
    return None if value is None else str(value)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)
