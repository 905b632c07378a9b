"""Groups of JSON files: every layout and option, numbers, keys, broken records, sizes.

Hypothesis draws the values; how they are put together into files is chosen by the same seed.
"""

import bz2
import gzip
import json
import random
import re
from collections.abc import Callable
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
    "ok": "boolean",
    "note": "string",
    "deep": "string",
}
# Keys that need care on the way; each has a column of its own.
_ODD_KEYS = (
    "", "a.b", "x[0]", "$", 'quo"te', "back\\slash", "it's", "${env:HOME}", "`tick`", "new\nline",
    "ctl\u0001", "k" * 300, "😀", "é", "]", "_rescued2", "1st", "{", "}{", "},{", "p}{q", "\u2028x",
)  # fmt: skip
# Sizes that something depends on: the head, a small document, a chunk, a document that is parsed.
_LIMITS = (256 * 2**10, 2**20, 4 * 2**20, 32 * 2**20)

_NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-1000, 1000).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1e6, 1e6).map(lambda f: f"{f:.4f}"),
    st.from_regex(r"-?(0|[1-9][0-9]{0,45})(\.[0-9]{1,45})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        [
            "1.10", "100.0", "1e400", "-1e400", "1E3", "1e-5", "-0", "-0.0", "0", "0.0", "1.5",
            "123456789012345678901234567890123456789012", "0." + "0" * 45 + "1", "9007199254740993",
            "9223372036854775808", "-9223372036854775808", "1" * 38, "9" * 39, "1" + "0" * 40,
            "0.1000", "12.50", "1" * 1200, "1e99999", "2147483648", "123456789.1234", "6.7",
        ]
    ),
)  # fmt: skip
_TEXTS = st.one_of(
    st.text(max_size=12),
    st.text('ab "\\{}[],:\t\n0.1e5é€😀-', max_size=12),
    st.sampled_from(
        [
            "", " ", "}{", '"}{"', "},{", "]", "\\", '\\"', "1.10", "1e400", '1.10, "x": 2.50',
            "\\ud800", "null", "true", "3", "6.7", "\x01", "\x7f", "\x85", "\u2028", "\ufeff",
            "${env:HOME}", "//", "/* c */", "'", "NaN", "\r\n", "😀", "2024-01-05", ", 1.50]",
            "2024-01-05T10:00:00.000Z", "yes", "n:1.0", "a" * 40, "[1.0,", "-0,", ".0}",
        ]
    ),
)  # fmt: skip
_BROKEN = (
    '{"id":6} garbage', '{"id":1', '{"id":}', "{'id':1}", '{"id":NaN}', '{"id":Infinity}', "nope",
    '{"id":01}', '{"id":1.}', '{"id":.5}', '{"id":+1}', '{"id":1e}', '{"id":1}// c', '{"id":1,}',
    '{"id":1}]', ']]', '{"id":1}],[{"id":2}', '{"id":1}],0]', '{"id":[1,2,]}', '{"id":[{}{}]}',
    '{"note":"a\tb"}', '{"note":"\\x"}', '{"note":"\\udfaa"}', '{"\\udfaa":0}',
    '{"note":"\\ud83d"}', '{"note":"\\ud83d\\ude00"}', '{"note":"\\\\ud83d"}', '{"id":1,"id":2}',
    '{"deep":{"a":1,"a":2}}', '{"id":1 2}', '{1:2}', '{"id":1.50 2.50}', '{"a":1.0, 2.0:3.0}',
    '{"id" 1}', '{,}', '{}}',
    "/**/{}", '{"id":1};', '{"id":1}\x0b', '\ufeff{"id":1}', '{"id":1}"x"', '{"id":1}5', "1 2", "5",
    "null", "true", '"x"', "[]", "[1]", '[{"id":1}]', "[[]]", "{}", '{"id":tru}', '{"deep":' * 50,
    '{"deep":' + "[" * 1100 + "]" * 1100 + "}", "[" * 3000, '{"id":1}{"id":2}', '{"id":1},{"id":2}',
    '{"id":1} {"id":2}{"id":3}', '{"id":1},', '{"note":"}{"}{"id":2}', '{"id":1.10}{"id":2.50}',
    '{"id":1}[{"id":2}]', '{"id":1}\u00a0', '{"deep":[1.0}{2.0]}', "{\"note\":\"'\"}",
)  # fmt: skip


class Values:
    """Pools of values, drawn once for a seed, as JSON texts."""

    def __init__(self, seed: int, count: int = 250) -> None:
        self.numbers = drawn(_NUMBERS, count, seed)
        texts = [text for text in drawn(_TEXTS, count, seed + 1) if "\0" not in text]
        self.texts = [t for t in texts if t.encode("utf-8", "ignore").decode() == t]

    def text(self, rng: random.Random) -> str:
        return json.dumps(rng.choice(self.texts), ensure_ascii=rng.random() < 0.5)

    def one(self, rng: random.Random, key: str) -> str:
        """A value for a key: mostly of its kind, sometimes of another, or nothing."""
        roll, kind = rng.random(), HINTS.get(key, "string")
        if roll < 0.08:
            return "null"
        if roll < 0.16:
            return rng.choice(["true", "false", "[]", "{}", self.text(rng)])
        if key == "deep" or roll < 0.2:
            return self._nested(rng, 0)
        if kind == "boolean":
            return rng.choice(["true", "false", '"true"'])
        if kind in ("date", "timestamp"):
            return rng.choice(
                ['"2024-01-05"', '"2024-01-05T10:00:00Z"', "20240105", self.text(rng)]
            )
        if kind == "string" and roll < 0.6:
            return self.text(rng)
        if kind in ("bigint", "int") and rng.random() < 0.6:
            return str(rng.randrange(-(10**9), 10**9))
        return rng.choice(self.numbers)

    def _nested(self, rng: random.Random, depth: int) -> str:
        gap = rng.choice(["", " ", "\t"])
        if depth > 3 or rng.random() < 0.3:
            return rng.choice([rng.choice(self.numbers), self.text(rng), "null", "true"])
        parts = [self._nested(rng, depth + 1) for _ in range(rng.choice([0, 1, 2, 4]))]
        if rng.random() < 0.5:
            return "[" + f"{gap},{gap}".join(parts) + gap + "]"
        pairs = [f'{gap}"{"zyxw"[i]}"{gap}:{gap}{part}' for i, part in enumerate(parts)]
        return "{" + ",".join(pairs) + "}"


class Files:
    """Makes the files of one group."""

    def __init__(self, rng: random.Random, values: Values, options: dict[str, Any]) -> None:
        self._rng, self._values, self._options = rng, values, options
        self._odd_keys = rng.random() < 0.5

    def one(self, large: bool = False) -> bytes:
        """A file; a large one is about as long as one of the limits."""
        rng = self._rng
        records = [self._record() for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 9]))]
        broken = rng.random()
        if broken < 0.35:
            for _ in range(rng.choice([1, 1, 3])):
                records.insert(rng.randrange(len(records) + 1), rng.choice(_BROKEN))
        make: Callable[[list[str]], str] = rng.choice(
            [self._lines, self._lines, self._lines, self._array, self._arrays, self._joined]
        )
        path = self._options.get("record_path")
        if path and rng.random() < 0.9:
            make = self._below
        elif self._options.get("layout") == "lines" and rng.random() < 0.8:
            make = self._lines
        text = make(records)
        if rng.random() < 0.3:
            text = _compact(text)
        if large:
            text = self._padded(text)
        if rng.random() < 0.03:
            text = text[: rng.randrange(len(text) + 1)]
        data = text.encode("utf-8", "ignore")
        roll = rng.random()
        if roll < 0.05:
            data = b"\xef\xbb\xbf" + data
        elif roll < 0.06:
            data = text.encode("utf-16", "ignore")
        elif roll < 0.08:
            at = rng.randrange(len(data) + 1)
            data = data[:at] + rng.choice([b"\xff", b"\xc3", b"\0", b"\xed\xa0\x80"]) + data[at:]
        roll = rng.random()
        if large or roll < 0.05:
            data = gzip.compress(data, 1, mtime=0)
        elif roll < 0.06:
            data = bz2.compress(data)
        return data

    def _record(self) -> str:
        rng = self._rng
        keys = rng.sample(list(HINTS), rng.choice([0, 1, 2, 3, 6]))
        if self._odd_keys and rng.random() < 0.3:
            keys.append(rng.choice(_ODD_KEYS))
        rng.shuffle(keys)
        gap = rng.choice(["", "", " "])
        quoted = [json.dumps(key, ensure_ascii=rng.random() < 0.5) for key in keys]
        pairs = [
            f"{name}:{gap}{self._values.one(rng, key)}"
            for name, key in zip(quoted, keys, strict=True)
        ]
        return "{" + f",{gap}".join(pairs) + "}"

    def _pretty(self, record: str) -> str:
        return re.sub(
            r"^\{(?=.)|(?<=.)\}$", lambda m: f"{m[0]}\n" if m[0] == "{" else "\n}", record
        )

    def _lines(self, records: list[str]) -> str:
        rng = self._rng
        end = rng.choice(["\n", "\n", "\n", "\r\n", "\r"])
        lines = [record.replace("\n", " ") for record in records]
        if rng.random() < 0.2:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(["", " ", "\t"]))
        return end.join(lines) + (end if rng.random() < 0.7 else "")

    def _array(self, records: list[str]) -> str:
        gap = self._rng.choice(["", "\n", " ", "\r\n"])
        return f"[{gap}" + f",{gap}".join(records) + f"{gap}]" + self._rng.choice(["", "\n"])

    def _arrays(self, records: list[str]) -> str:
        rng = self._rng
        cuts = sorted(rng.randrange(len(records) + 1) for _ in range(rng.choice([1, 2])))
        parts = [records[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        return rng.choice(["", "\n", ","]).join(self._array(part) for part in parts)

    def _joined(self, records: list[str]) -> str:
        rng = self._rng
        if rng.random() < 0.5:
            records = [self._pretty(record) for record in records]
        return rng.choice(["", "\n", " ", ",", ",\n"]).join(records) + rng.choice(["", "\n", ","])

    def _below(self, records: list[str]) -> str:
        rng, path = self._rng, self._options["record_path"].split(".")
        documents = []
        for part in (records, *([records[:1]] if rng.random() < 0.3 else [])):
            text = self._array(part) if rng.random() < 0.95 else rng.choice(["null", "{}", "5"])
            for key in reversed(path):
                before = rng.choice(["", '"v": 1.50, ', '"x": {"r": [1]}, '])
                after = rng.choice(["", "", ', "y": "}{"'])
                text = f'{{{before}"{key}": {text}{after}}}'
            documents.append(text)
        if rng.random() < 0.2:
            return "[" + ",".join(documents) + "]"
        return rng.choice(["", "\n", ","]).join(documents)

    def _padded(self, text: str) -> str:
        """Repeat blanks inside the text until it is about as long as one of the limits."""
        rng = self._rng
        limit = rng.choice(_LIMITS[:3] if rng.random() < 0.9 else _LIMITS) + rng.randrange(-2, 3)
        tokens = re.finditer(r'"(?:[^"\\]|\\.)*"|[}\]]', text)
        places = [m.end() for m in tokens if m[0][0] != '"'] or [len(text)]
        at = rng.choice(places)
        blanks = rng.choice([" ", "\n", " " * 99 + "\n"])
        missing = max(limit - len(text.encode("utf-8", "ignore")), 0)
        return text[:at] + (blanks * (missing // len(blanks) + 1))[:missing] + text[at:]


def _compact(text: str) -> str:
    """A document as most programs write it, without blanks; unchanged if it is not sound JSON.

    Most of its fractions become integers, because a text with one is read in another way.
    """

    def number(written: str) -> object:
        value = float(written)
        return int(value) if abs(value) < 1e30 else value

    try:
        value = json.loads(text, parse_float=number)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError, OverflowError):
        return text


def group(seed: int, files: int, large: int = 0) -> Group:
    """A group by its seed.

    Args:
        seed: Makes the same group again.
        files: How many files.
        large: How many of them are large.
    """
    rng = random.Random(seed)
    options: dict[str, Any] = {}
    roll = rng.random()
    if roll < 0.25:
        options["record_path"] = rng.choice(["r", "data.items"])
    elif roll < 0.6:
        options["layout"] = rng.choice(["lines", "document", "auto"])
    made = Files(rng, Values(seed), options)
    spec: dict[str, Any] = {"format": {"type": "json", "options": options}}
    if rng.random() < 0.7:
        spec["schema"] = {"hints": HINTS}
    return Group(
        "json",
        spec,
        [made.one(large=i < large) for i in range(files)],
        ".json",
        f"json seed {seed}",
    )
