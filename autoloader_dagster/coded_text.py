"""Decodes the base64 and the hexadecimal digits in a text, so that secrets are found in them.

A library may code more than the secret: ``user:secret``, or a whole message. So the text is decoded
rather than the secret coded. Where a run of letters began is not known; each beginning is tried.
"""

import re
from binascii import a2b_base64, unhexlify
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Within base64: + and / as addresses, JSON and HTML have them, and breaks of lines.
_BACKSLASHES = r"(?:\\|%(?:25)*5[Cc]){1,8}"
_PLUS = rf"%(?:25)*2[Bb]|{_BACKSLASHES}u002[Bb]|&#43;|&#[xX]2[Bb];"
_SLASH = rf"(?:{_BACKSLASHES})?%(?:25)*2[Ff]|{_BACKSLASHES}(?:/|u002[Ff])|&#47;|&#[xX]2[Ff];"
_BREAK = rf"[\r\n][ \t]*|{_BACKSLASHES}(?:[rn]|01[25])|%(?:25)*0[AaDd]|&#1[03];"
_ESCAPE = re.compile(f"(?P<plus>{_PLUS})|(?P<slash>{_SLASH})|{_BREAK}")
_PLAIN = re.compile("[A-Za-z0-9+/_-]*")
# Those for addresses have - and _ in the place of + and /.
_USUAL = str.maketrans("-_", "+/")
# A shorter run holds no secret.
_LEAST = 8


@dataclass(frozen=True)
class _Coding:
    """How bytes are written as letters.

    Attributes:
        runs: Letters that follow each other.
        bits: Of a letter.
        unit: So many letters are whole bytes.
        zero: The letter without a bit.
        decode: The bytes of whole units.
    """

    runs: re.Pattern[str]
    bits: int
    unit: int
    zero: str
    decode: Callable[[str], bytes]


_LETTERS = "[A-Za-z0-9+/_-]"
_CODINGS = (
    _Coding(
        re.compile(
            rf"(?=[A-Za-z0-9+/_%\\&\r\n-]{{{_LEAST}}}){_LETTERS}+"
            # Nothing follows that could fail, so that nothing is tried twice.
            rf"(?:{_PLUS}|{_SLASH}|{_BREAK}|{_LETTERS}+)*"
        ),
        bits=6,
        unit=4,
        zero="A",
        decode=a2b_base64,
    ),
    _Coding(
        re.compile(f"[0-9A-Fa-f]{{{2 * _LEAST},}}"), bits=4, unit=2, zero="0", decode=unhexlify
    ),
)


class Decoded:
    """What the runs of a text may say, one after the other.

    Attributes:
        text: Its bytes as Latin-1, so that each byte is one character.
    """

    def __init__(self, text: str, runs: "_Runs", skipped: int) -> None:
        self.text = text
        self._runs = runs
        self._skipped = skipped

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where the letters of a part of the text are in the text that was decoded."""
        bits = self._runs.coding.bits
        first = self._skipped + start * 8 // bits
        last = self._skipped + -(-end * 8 // bits) - 1
        return self._runs.place(first)[0], self._runs.place(last)[1]


class _Runs:
    """The runs of one coding in a text, put together; each begins with a unit of its own."""

    def __init__(self, source: str, coding: _Coding) -> None:
        self.coding = coding
        self._source = source
        self._spans: list[tuple[int, int]] = []
        self._starts: list[int] = []
        parts: list[str] = []
        at = 0
        for found in coding.runs.finditer(source):
            letters = _letters(found[0])
            if len(letters) < _LEAST:
                continue
            # What follows a run is not its continuation.
            letters += coding.zero * (-len(letters) % coding.unit + coding.unit)
            self._spans.append(found.span())
            self._starts.append(at)
            parts.append(letters)
            at += len(letters)
        self.letters = "".join(parts)

    def place(self, number: int) -> tuple[int, int]:
        """Where a letter is in the text."""
        run = bisect_right(self._starts, number) - 1
        start, end = self._spans[run]
        first, last = _place(self._source[start:end], number - self._starts[run])
        return start + first, start + last


def decoded(source: str) -> Iterator[Decoded]:
    """Each text that the runs of base64 and hexadecimal digits may mean."""
    for coding in _CODINGS:
        runs = _Runs(source, coding)
        for skipped in range(coding.unit if runs.letters else 0):
            letters = runs.letters[skipped:]
            whole = letters[: len(letters) - len(letters) % coding.unit]
            yield Decoded(coding.decode(whole).decode("latin-1"), runs, skipped)


def _letters(run: str) -> str:
    if not _PLAIN.fullmatch(run):
        run = _ESCAPE.sub(_unescaped, run)
    return run.translate(_USUAL)


def _unescaped(escape: re.Match[str]) -> str:
    return "+" if escape["plus"] else "/" if escape["slash"] else ""


def _place(run: str, number: int) -> tuple[int, int]:
    """Where a letter of a run is in it, with the escape that it is written as."""
    at = 0
    for escape in _ESCAPE.finditer(run):
        plain = escape.start() - at
        if number < plain:
            break
        number -= plain
        at = escape.end()
        if _unescaped(escape):
            if number == 0:
                return escape.span()
            number -= 1
    place = min(at + number, len(run) - 1)
    return place, place + 1
