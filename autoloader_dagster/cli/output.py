"""What a command shows: tables for people, JSON for programs, progress and errors on stderr."""

import csv
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from autoloader_dagster.cli.streams import characters_as_they_are, has_all_characters
from autoloader_dagster.cli.table import print_columns, table_width
from autoloader_dagster.counts import shown_size
from autoloader_dagster.errors import AutoloaderError

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs instead of a table.")
]

# What a pipe or a file gets, so that no path is cut for a terminal that is not there.
_PLAIN_WIDTH = 240
_COLUMNS_ABREAST = 8
_BEYOND_NUMBERS = 2**53
_SHOWN = 40
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


def is_utf_8(text: str) -> bool:
    """Whether a text, which came as bytes of any kind, is UTF-8."""
    return _SURROGATE.search(text) is None


def literal(text: str) -> str:
    """A text whose control characters are escaped, so that a name cannot steer the terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str = "") -> None:
    """One line for people on stdout, without any markup."""
    screen().print(literal(text), markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """One line for people on stderr."""
    screen(stderr=True).print(literal(text), markup=False, soft_wrap=True)


def print_json(data: Any) -> None:
    """One JSON document on stdout.

    JSON has no NaN and no infinity, so they are text, as Spark's ``to_json`` writes them. An
    integer from 2**53 on is text too, because many programs keep no more bits of a number. A struct
    is an object, bytes are hexadecimal, and a key that is no text becomes one.
    """
    text = json.dumps(
        _jsonable(data),
        indent=2,
        ensure_ascii=not has_all_characters(sys.stdout),
        default=str,
        allow_nan=False,
    )
    # A name that is not UTF-8 holds them, and stdout would write bytes that are not JSON.
    text = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    sys.stdout.write(text + "\n")


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """CSV with a header on stdout: a null is an empty cell, a list or a struct is JSON.

    Raises:
        UsageError: The encoding of stdout lacks a character.
    """
    writer = csv.writer(sys.stdout, lineterminator="\n")
    with characters_as_they_are():
        writer.writerow(columns)
        writer.writerows([_csv_cell(value) for value in row] for row in rows)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str | None = None,
) -> None:
    """A table on stdout. A column whose name begins with ``>`` holds numbers.

    A value loses its line breaks, because a name could look like a row.
    """
    shown = ([_plain(_cell(value)) for value in row] for row in rows)
    print_columns(screen(), [literal(name) for name in columns], shown, literal(title or ""))


def print_some(
    columns: Sequence[str], rows: Sequence[Sequence[object]], title: str, where: str
) -> None:
    """The first rows of a table on stdout, and how many are not shown.

    Args:
        columns: As for ``print_table``.
        rows: All of them.
        title: Stands above the table.
        where: What shows all of them, for example ``--json``.
    """
    print_table(columns, rows[:_SHOWN], title)
    if len(rows) > _SHOWN:
        say(f"… and {len(rows) - _SHOWN:,} more; {where} shows all of them")


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows of data, exactly as they are; one below the other where they are too wide for a line."""
    if not columns:
        return
    names = [literal(name) for name in columns]
    cells = [[literal(str(value)) if value is not None else "" for value in row] for row in rows]
    console = screen()
    if len(names) <= _COLUMNS_ABREAST and table_width(names, cells) <= console.width:
        print_columns(console, names, cells, data=True)
        return
    for number, row in enumerate(cells, 1):
        pairs = zip(names, row, strict=True)
        print_columns(console, ("column", "value"), pairs, f"row {number}", data=True)


def print_error(error: AutoloaderError) -> None:
    """``error: what`` and ``-> hint`` on stderr."""
    console = screen(stderr=True)
    console.print(Text.assemble(("error:", "bold red"), " ", literal(error.what)), soft_wrap=True)
    if error.hint:
        console.print(f"  -> {literal(error.hint)}", markup=False, soft_wrap=True)


def snapshot(value: int | None) -> str | None:
    """A snapshot's id for programs: text, because it has more digits than a JSON number holds."""
    return None if value is None else str(value)


def moment(value: datetime | None) -> str | None:
    """A time for programs: ISO 8601 in UTC."""
    return value.isoformat() if value else None


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
        self(f"download {name}: {shown_size(done)} of {shown_size(total)}")


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


def _jsonable(value: Any) -> Any:
    """The value in what JSON has."""
    as_dict = getattr(value, "asDict", None)
    if as_dict is not None:
        value = as_dict()
    if isinstance(value, dict):
        return {_json_key(key): _jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(each) for each in value]
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, int) and abs(value) >= _BEYOND_NUMBERS:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return value


def _json_key(key: object) -> str:
    if isinstance(key, str):
        return key
    simple = _jsonable(key)
    return simple if isinstance(simple, str) else json.dumps(simple, default=str).strip('"')


def _plain(text: str) -> str:
    return literal(text).replace("\n", r"\n")


def _csv_cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    # A struct is a tuple.
    if isinstance(value, list | dict | tuple):
        return json.dumps(_jsonable(value), ensure_ascii=False, default=str)
    # Bytes that are no UTF-8 cannot come out of Spark, but half a surrogate pair could.
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


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
