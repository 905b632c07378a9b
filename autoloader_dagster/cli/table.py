"""Tables for people that keep each id in one piece, however narrow the terminal is.

What is too wide loses columns, the least important first, and then has its long texts below the
rows. An id, a path or a number is never folded, because it could not be copied then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

# The columns whose values are prose and may be folded between words.
_PROSE = ("reason", "meaning", "trigger", "broken because")
# The columns that a narrow table can do without, the first of them first. '--json' has them all.
_DISPENSABLE = (
    "seconds", "kind", "tenant", "source", "changed", "changed (UTC)", "size", "began (UTC)",
    "run", "processing", "held", "in the files", "trigger", "snapshot", "rows loaded", "error",
    "partition", "bad rows", "last load (UTC)",
)  # fmt: skip
_STATUS_COLUMNS = ("status", "was")
_COLOURS = {
    "SUCCESS": "green", "RECORDED": "green", "active": "green",
    "DISCOVERED": "cyan", "PROCESSING": "cyan", "CLAIMED": "cyan", "WRITTEN": "cyan",
    "HELD": "yellow", "SKIPPED": "yellow", "RELEASED": "yellow", "paused": "yellow",
    "ORPHAN": "yellow", "REPLACED": "dim", "UNDONE": "dim",
    "FAILED": "red", "QUARANTINED": "red", "BROKEN": "red",
}  # fmt: skip
_GAP = "  "
_NARROWEST_PROSE = 24
_INDENT = "    "


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    number: bool
    cells: tuple[str, ...]
    is_data: bool = False

    @property
    def prose(self) -> bool:
        return self.name in _PROSE and not self.is_data

    @property
    def width(self) -> int:
        return max(map(_width, (self.name, *self.cells)))

    @property
    def least(self) -> int:
        return min(self.width, _NARROWEST_PROSE) if self.prose else self.width


def print_columns(
    console: Console,
    names: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str = "",
    *,
    data: bool = False,
) -> None:
    """Print a table as wide as the console, or wider if its ids are.

    Args:
        console: Where to.
        names: The columns; one whose name begins with ``>`` holds numbers.
        rows: A text for each column.
        title: Stands above the table.
        data: Whether the columns are those of somebody's data, of which each is shown as it is.
    """
    cells = list(zip(*rows, strict=True)) or [()] * len(names)
    columns = [
        _Column(name if data else name.removeprefix(">"), name.startswith(">") > data, each, data)
        for name, each in zip(names, cells, strict=True)
    ]
    beside, below = columns, []
    if not data and _least(columns) > console.width:
        filled = [column for column in columns if any(column.cells)]
        beside, below = _fitting(filled or columns, console.width)
    dropped = [c for c in columns if c not in (*beside, *below) and any(c.cells)]
    widths = _widths(beside, console.width)
    if title:
        _print(console, Text(title, "bold"))
    _print(console, _line([[Text(c.name, "bold")] for c in beside], beside, widths)[0])
    for number in range(len(cells[0]) if cells else 0):
        wrapped = [
            _wrapped(console, column, number, width)
            for column, width in zip(beside, widths, strict=True)
        ]
        for line in _line(wrapped, beside, widths):
            _print(console, line)
        for column in below:
            text = Text(column.cells[number])
            for part in text.wrap(console, max(console.width - len(_INDENT), 1)) if text else ():
                part.rstrip()
                _print(console, Text(_INDENT) + part)
    if dropped:
        names_of = ", ".join(column.name for column in dropped)
        console.print(Text(f"not shown, for lack of width: {names_of}", "dim"))


def table_width(names: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """The width of a table of which nothing is folded."""
    columns = list(zip(names, *rows, strict=True))
    return sum(max(map(_width, each)) for each in columns) + len(_GAP) * (len(columns) - 1)


def _fitting(columns: list[_Column], width: int) -> tuple[list[_Column], list[_Column]]:
    """The columns that are shown beside each other, and those whose texts go below the rows."""
    shown = _without_dispensable(columns, width)
    prose = [column for column in columns if column.prose]
    if _least(shown) <= width or len(prose) == len(columns):
        return shown, []
    return _without_dispensable([c for c in columns if c not in prose], width), prose


def _without_dispensable(columns: list[_Column], width: int) -> list[_Column]:
    """The columns without the fewest that make them fit; with all of them if nothing does."""
    order = [c for name in _DISPENSABLE for c in columns[1:] if c.name == name]
    dropped: list[_Column] = []
    for column in order:
        if _least([c for c in columns if c not in dropped]) <= width:
            break
        dropped.append(column)
    # The last one may have made room for one of those before it.
    for column in reversed(dropped[:-1]):
        if _least([c for c in columns if c not in dropped or c is column]) <= width:
            dropped.remove(column)
    return [c for c in columns if c not in dropped]


def _least(columns: list[_Column]) -> int:
    return sum(column.least for column in columns) + len(_GAP) * (len(columns) - 1)


def _widths(columns: list[_Column], width: int) -> list[int]:
    """The least of each column, and the rest of the room for the prose."""
    widths = [column.least for column in columns]
    room = width - _least(columns)
    for number, column in enumerate(columns):
        more = max(min(column.width - widths[number], room), 0)
        widths[number] += more
        room -= more
    return widths


def _wrapped(console: Console, column: _Column, number: int, width: int) -> list[Text]:
    cell = column.cells[number]
    has_colour = column.name in _STATUS_COLUMNS and not column.is_data
    style = _COLOURS.get(cell, "") if has_colour else ""
    text = Text(cell, style)
    if not column.prose:
        return [Text(line, style) for line in cell.split("\n")]
    lines = list(text.wrap(console, max(width, 1)))
    for line in lines:
        line.rstrip()
    return lines or [Text()]


def _line(cells: list[list[Text]], columns: list[_Column], widths: list[int]) -> list[Text]:
    """The lines of one row, whose cells have some lines each."""
    lines: list[Text] = []
    for height in range(max(map(len, cells))):
        line = Text()
        for lines_of, column, width in zip(cells, columns, widths, strict=True):
            part = lines_of[height].copy() if height < len(lines_of) else Text()
            blanks = " " * (width - _width(part.plain))
            if line or column is not columns[0]:
                line.append(_GAP)
            line.append_text(Text(blanks) + part if column.number else part + Text(blanks))
        line.rstrip()
        lines.append(line)
    return lines


def _print(console: Console, line: Text) -> None:
    # The terminal folds a line that is too long, and what is copied from there is whole.
    console.print(line, soft_wrap=True)


def _width(cell: str) -> int:
    return max(map(cell_len, cell.split("\n")))
