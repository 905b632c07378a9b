"""Groups of CSV files: every option, and cells, rows, line ends and sizes of every kind.

Hypothesis draws the cells; how they are put together into files is chosen by the same seed.
"""

import gzip
import random
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.differential.drawing import drawn
from tests.differential.harness import Group

HINTS = {
    "id": "bigint",
    "n": "int",
    "amount": "double",
    "dec": "decimal(12,3)",
    "day": "date",
    "at": "timestamp",
    "local_time": "timestamp_ntz",
    "ok": "boolean",
    "note": "string",
    "gr_e_cm": "string",
    "c_1st": "bigint",
}
_NAMES = {
    "local_time": ["local time", "Local_Time"],
    "gr_e_cm": ["Größe (cm)"],
    "c_1st": ["1st"],
    "id": ["id", "ID", " id "],
}
# Sizes that something in the look depends on: lines sent along, the head, a chunk.
_LIMITS = (128 * 2**10, 256 * 2**10, 4 * 2**20)
_LINE_ENDS = ("\n", "\r\n", "\r")

_NUMBERS = st.one_of(
    st.integers(-(2**66), 2**66).map(str),
    st.integers(-1000, 1000).map(str),
    st.floats(allow_nan=False).map(repr),
    st.floats(-1e6, 1e6).map(lambda f: f"{f:.17g}"),
    st.from_regex(r"[+-]?[0-9]{0,22}\.?[0-9]{0,22}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        [
            "12D", "5f", "0x1p3", "1e400", "-1e400", "1e-400", "NaN", "nan", "Infinity", "-inf",
            "+5", "007", "-0", "-0.0", ".5", "5.", ".", "+", "-", "1_000", "1,5", "0.1", "1.10",
            "1e5", "1E+5", "12345678901234567890", "9007199254740993", "9223372036854775808",
            "1e", "0.30000000000000004", "0.33333333333333331", "99999999999999999999.5", "1d",
            "1F", "0X1", "true", "1.5f", "2147483648", "-2147483649", "123456789.123", "1.2345",
            "999999999.9999", "1e3", "٣", "１", "+-1", "--1", "4.9e-324",
            "1.7976931348623157e308", "NAN", "0e0", "00.10", "1.",
        ]
    ),
)  # fmt: skip
_TIMES = st.one_of(
    st.dates().map(str),
    st.datetimes().map(str),
    st.datetimes().map(lambda d: d.isoformat() + "Z"),
    st.from_regex(
        r"[0-9]{4}-[01]?[0-9]-[0-3]?[0-9]([T ][0-2]?[0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
        r"(Z|[+-][01][0-9](:?[0-5][0-9])?)?)?",
        fullmatch=True,
    ),
    st.sampled_from(
        [
            "2024-01", "2024", "2024-1-5", "2024-01-01T", "10000-01-01", "-2024-01-01",
            "0000-01-01", "0001-01-01", "9999-12-31", "2024-02-30", "2024-01-01 24:00",
            "2024-01-01 24:00:00", "2024-01-01 10:00 Europe/Berlin", "12:30", "12:30:00",
            "2024-01-01 10:00:00.123456789", "2024-01-01 10:00:00.123456000", "20240101",
            "2024-01-01 10:00:60", "2024/01/01", "1/2/2026 3:04", "now", "today", "epoch",
            "2024-01-01 10:00:00.", "2024-01-01T10:00:00+0200", "2024-01-01 10:00 UTC",
            "2024-01-01 10:00 PST", "2024-01-01T10:00:00 +02:00", "2024-01-01 10", "T10:00",
            "2024-01-01T10:00:00+02", "9999-12-31 23:59:59.999999-01:00", "+2024-01-01",
        ]
    ),
)  # fmt: skip
_TEXT = st.one_of(
    st.text(max_size=12),
    st.text("ab \"',;|\\\t\n\r#\u00a0é€😀-0", max_size=10),
    st.sampled_from(
        [
            "", " ", "  x ", "\u00a0", "NA", "-", "null", "\\", '\\"', '""', "'", "a\r\nb", "a\nb",
            "a\rb", "\n", "\u2028", "\x0b", "\x1f", "\x7f", "\x85", "\ufeff",
            "\ufeffa", "\ufffd", "#x", "x#", "\u2029",
            "${env:HOME}", "${spark.app.name}", "=1+1", "\\n", "\\N", "a\\", "\\\\", "x\\\\\"",
            "yes", "TRUE", "False", " true", "t", "1", "0",
        ]
    ),
)  # fmt: skip


class Cells:
    """Pools of cells by kind, drawn once for a seed."""

    def __init__(self, seed: int, count: int = 250) -> None:
        self.numbers = drawn(_NUMBERS, count, seed)
        self.times = drawn(_TIMES, count, seed + 1)
        texts = [t for t in drawn(_TEXT, count, seed + 2) if "\0" not in t]
        self.texts = [t for t in texts if t.encode("utf-8", "ignore").decode() == t]

    def one(self, rng: random.Random, column: str) -> str:
        """A cell for a column: mostly of its kind, sometimes of another, often with nothing."""
        kind = HINTS.get(column, "string")
        roll = rng.random()
        if roll < 0.1:
            return ""
        if roll < 0.25 or kind == "string":
            return rng.choice(self.texts)
        if kind == "boolean":
            return rng.choice(["true", "false", "TRUE", "False", " true", "yes", "1", "t"])
        pool = self.numbers if kind in ("bigint", "int", "double", "decimal(12,3)") else self.times
        cell = rng.choice(pool)
        if kind in ("bigint", "int") and rng.random() < 0.5:
            cell = str(rng.randrange(-(10**9), 10**9))
        return rng.choice([f" {cell}", f"{cell}\t"]) if rng.random() < 0.05 else cell


def options_of(rng: random.Random) -> dict[str, Any]:
    """Options of a spec, valid together."""
    options: dict[str, Any] = {}
    if rng.random() < 0.4:
        options["delimiter"] = rng.choice(["\t", ";", "|", " ", "\x01", "§", "a"])
    if rng.random() < 0.3:
        options["quote"] = rng.choice(["'", "", "|", "`"])
    if rng.random() < 0.3:
        options["escape"] = rng.choice(["\\", "", "^"])
    if rng.random() < 0.25:
        options["encoding"] = rng.choice(
            ["iso-8859-1", "us-ascii", "utf-16", "utf-16le", "utf-16be"]
        )
    if rng.random() < 0.3:
        options["multiline"] = rng.choice([True, False])
    if rng.random() < 0.4:
        options["null_values"] = rng.choice(
            [["", "NA"], ["NA"], ["", "NA", "-", "null"], ["-", "NA"], ["NA", ""], []]
        )
    if rng.random() < 0.2:
        options["comment"] = rng.choice(["#", "-", "x"])
    if rng.random() < 0.2:
        options["header"] = False
    signs = [options.get("delimiter", ","), options.get("quote", '"'), options.get("comment")]
    signs = [s for s in signs if s]
    if len(set(signs)) < len(signs) or options.get("escape") in (signs[0], options.get("comment")):
        return options_of(rng)
    if options.get("encoding") == "us-ascii" and options.get("delimiter") == "§":
        return options_of(rng)
    return options


class Files:
    """Makes the files of one group.

    Args:
        rng: Chooses everything.
        cells: Where cells are taken from.
        options: How files are written.
        headers: How many different headers there are.
        padded: Whether files are so large, once decompressed, that Spark's reader opens them: from
            about 130 KB to 1 MB of different records.
    """

    def __init__(
        self,
        rng: random.Random,
        cells: Cells,
        options: Mapping[str, Any],
        headers: int,
        padded: bool = False,
        odd: float = 0.02,
    ) -> None:
        self._rng, self._cells, self._options = rng, cells, options
        self._delimiter = options.get("delimiter", ",")
        self._quote = options.get("quote", '"')
        self._escape = options.get("escape", '"') or '"'
        self._padded, self._odd = padded, odd
        self._is_flat = False
        names = list(HINTS)
        self._headers = [rng.sample(names, rng.choice([1, 2, 3, 5, 8])) for _ in range(headers)]
        if not options.get("header", True):
            # Their types are inferred from the position.
            self._headers = self._headers[:1]

    def one(self) -> bytes:
        """A file."""
        rng = self._rng
        columns = rng.choice(self._headers)
        end = rng.choice(_LINE_ENDS) if rng.random() < 0.4 else "\n"
        mixed = rng.random() < 0.02
        # Without line breaks in values, as in most files, Spark reads line by line.
        self._is_flat = self._padded and rng.random() < 0.5
        lines = []
        if self._options.get("header", True):
            names = [rng.choice(_NAMES.get(c, [c])) for c in columns]
            lines.append(self._line(names))
        faulty = rng.random()
        for _ in range(rng.choice([0, 1, 2, 3, 5, 12])):
            lines.append(self._record(columns))
        if self._padded:
            lines += self._many(columns, rng.choice([130_000, 135_000, 150_000, 300_000]))
            if rng.random() < 0.05:
                lines += self._many(columns, 700_000)
        if rng.random() < 0.5:
            for _ in range(rng.choice([1, 1, 2])):
                lines.insert(rng.randrange(len(lines) + 1), self._no_record())
        if faulty < 0.02 and self._quote:
            lines.insert(rng.randrange(len(lines) + 1), f"{self._quote}open{self._delimiter}x")
        if rng.random() < self._odd and self._quote:
            odd = rng.choice(["{q}a{q}b", "a{q}b", " {q}a{q}", "{q}a{q} ", "{q}{q}a", "a{q}"])
            lines.append(self._delimiter.join([odd.format(q=self._quote)] * len(columns)))
        text = "".join(line + (rng.choice(_LINE_ENDS) if mixed else end) for line in lines)
        tail = rng.random()
        if tail < 0.25:
            text = text.removesuffix(end)
        elif tail < 0.5:
            text += rng.choice([end, end * 2, " " + end, "\u00a0" + end, " ", "\t"])
        if rng.random() < 0.006 and not self._padded:
            text = self._to_a_limit(text, columns, end)
        return self._encoded(text, faulty)

    def _encoded(self, text: str, faulty: float) -> bytes:
        rng, encoding = self._rng, self._options.get("encoding", "utf-8")
        text = "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000)
        if encoding == "utf-16":
            data = text.encode(rng.choice(["utf-16", "utf-16-be"]))
        else:
            codec = {"utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}.get(encoding, encoding)
            data = text.encode(codec, "replace")
            if encoding == "utf-8" and rng.random() < 0.1:
                data = b"\xef\xbb\xbf" + data
        if 0.02 < faulty < 0.03:
            at = rng.randrange(len(data) + 1)
            data = data[:at] + rng.choice([b"\xff", b"\xfc", b"\0", b"\xc3"]) + data[at:]
        if 0.05 < faulty < (0.5 if self._padded else 0.08):
            data = gzip.compress(data, 1, mtime=0)
            if 0.03 < faulty < 0.035:
                data = data[: -rng.randrange(1, 9)]
        return data

    def _line(self, cells: Sequence[str]) -> str:
        return self._delimiter.join(self._written(cell) for cell in cells)

    def _record(self, columns: Sequence[str]) -> str:
        rng = self._rng
        cells = [self._cells.one(rng, column) for column in columns]
        roll = rng.random()
        if roll < 0.03:
            cells = cells[: rng.randrange(len(cells)) or 1]
        elif roll < 0.06:
            cells += [rng.choice(self._cells.texts) for _ in range(rng.choice([1, 2, 30]))]
        elif roll < 0.08:
            cells = [""] * len(cells)
        return self._line(cells)

    def _many(self, columns: Sequence[str], size: int) -> list[str]:
        """Records of about this size together, in any order."""
        kinds = [self._record(columns) for _ in range(400)]
        length = sum(len(kind.encode("utf-8", "replace")) + 1 for kind in kinds)
        return self._rng.choices(kinds, k=size * len(kinds) // length + 1)

    def _written(self, cell: str) -> str:
        quote, escape, rng = self._quote, self._escape, self._rng
        if self._is_flat:
            cell = cell.replace("\n", " ").replace("\r", " ")
        if self._options.get("multiline") is False and rng.random() < 0.98:
            cell = cell.replace("\n", " ").replace("\r", " ")
        if not quote:
            return "".join(c for c in cell if c not in (self._delimiter, "\n", "\r"))
        must = any(c in cell for c in (self._delimiter, "\n", "\r")) or cell.startswith(quote)
        comment = self._options.get("comment")
        must = must or bool(comment and cell.startswith(comment) and rng.random() < 0.8)
        if not must and rng.random() < 0.8:
            return cell
        if escape != quote:
            cell = cell.replace(escape, escape * 2)
            as_escaped = escape + quote if rng.random() < 0.7 else quote * 2
            return quote + cell.replace(quote, as_escaped) + quote
        return quote + cell.replace(quote, quote * 2) + quote

    def _no_record(self) -> str:
        comment = self._options.get("comment")
        choices = ["", "", " ", "  \t ", "\u00a0", "\x0b", "\t\t", self._delimiter * 2]
        if comment:
            choices += [f"{comment} a comment", f'{comment} "with a quote', comment]
        return self._rng.choice(choices)

    def _to_a_limit(self, text: str, columns: Sequence[str], end: str) -> str:
        """Add rows until the file is about as long as one of the limits."""
        limit = self._rng.choice(_LIMITS[:2] if self._rng.random() < 0.9 else _LIMITS)
        limit += self._rng.randrange(-2, 3)
        row = self._line(["1"] * len(columns)) + end
        text += "" if text.endswith(end) else end
        missing = limit - len(text.encode())
        return text + row * (missing // len(row))


def group(seed: int, files: int, padded: bool = False, typed: bool = True) -> Group:
    """A group by its seed.

    Args:
        seed: Makes the same group again.
        files: How many files.
        padded: Whether Spark's reader opens them.
        typed: Whether hints give the types; otherwise they are inferred.
    """
    rng = random.Random(seed)
    options = options_of(rng)
    made = Files(rng, Cells(seed), options, rng.choice([1, 3, 9, 30]), padded)
    spec: dict[str, Any] = {"format": {"type": "csv", "options": options}}
    if typed and options.get("header", True):
        # Not every group has a file with each of these columns.
        spec["schema"] = {"optional_hints": HINTS}
    return Group(
        "csv",
        spec,
        [made.one() for _ in range(files)],
        ".csv",
        f"csv seed {seed}{' padded' if padded else ''}",
    )


def ordinary(seed: int, size: int) -> Group:
    """Files as programs write them, each about so large: they must load.

    Args:
        seed: Chooses the values.
        size: Of each file, in bytes.
    """
    rng = random.Random(seed)
    files = []
    for end in _LINE_ENDS:
        for lines in (False, True):
            for columns in (["id", "note", "amount", "day"], ["note"]):
                text = end.join(
                    [",".join(columns), *_ordinary_rows(rng, columns, size, end, lines)]
                )
                # Blank lines are everywhere; of these no reader makes a record.
                text = rng.choice(["", end]) + text + end * rng.choice([0, 1, 3])
                files.append(rng.choice([b"", b"\xef\xbb\xbf"]) + text.encode())
    files.append(gzip.compress(files[0], mtime=0))
    spec = {"format": {"type": "csv"}, "schema": {"hints": HINTS}}
    return Group("csv", spec, files, ".csv", f"ordinary csv of {size:,} bytes, seed {seed}")


def _ordinary_rows(
    rng: random.Random, columns: list[str], size: int, end: str, lines: bool
) -> list[str]:
    notes = ["plain", "größe €", "x,y", 'say "hi"', " lead", "trail ", "a;b\tc", "5' pipe"]
    rows, length = [], 0
    while length < size:
        note = rng.choice(notes) + str(rng.randrange(100))
        if lines and rng.random() < 0.3:
            note += rng.choice([end, end * 2, f" {end} "]) + rng.choice(["", "z"])
        if rng.random() < 0.3 or any(c in note for c in ',"\r\n'):
            note = '"' + note.replace('"', '""') + '"'
        cells = {"id": str(rng.randrange(10**9)), "amount": repr(rng.random()), "day": "2024-02-29"}
        rows.append(",".join({**cells, "note": note}[c] for c in columns))
        length += len(rows[-1].encode()) + len(end)
    return rows
