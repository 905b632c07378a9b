"""Finds a secret in a text in the forms in which libraries write it.

They quote and escape it character by character, once or several times, one on top of the other,
and which characters depends on what is beside it. No escape touches ASCII letters and digits. So
these are compared, and whatever an escape can write may be between them.
"""

import html
import re
from collections.abc import Iterator
from functools import cache, cached_property

# What is shorter is a word rather than a secret, and every message would hold it.
SHORTEST = 6
# What is shorter is struck as a word of its own only: 'postgres' is a part of other words.
_WHOLE_WORD_BELOW = 16
# With fewer letters and digits, the other characters are compared too.
_ENOUGH_LETTERS = 12
# A part of a secret that is no word of a language: letters with digits among them.
_PIECE = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{10,}")
# Temporary tokens and keys are that long, and messages cut them.
_LONG = 256
_HEAD = 32
_MOST_CHUNKS = 64

_PARTS = re.compile(r"[A-Za-z0-9]+|[ \t\r\n]+|\\+|.", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z0-9]+")

# The characters that escapes begin and end with are escaped themselves.
_BACKSLASH = r"(?:\\|%(?:25)*5[Cc]|&#92;|&#[xX]5[Cc];|\\u005[Cc]|\\134)"
_BACKSLASHES = f"{_BACKSLASH}{{1,16}}"
_AMPERSAND = (
    rf"(?:&|%(?:25)*26|{_BACKSLASHES}u0026)(?:amp(?:;|%(?:25)*3[Bb]|{_BACKSLASHES}u003[Bb]))*"
)
_HASH = rf"(?:#|%(?:25)*23|{_BACKSLASHES}u0023)"
_SEMICOLON = rf"(?:;|%(?:25)*3[Bb]|{_BACKSLASHES}u003[Bb])"
# A word begins, or an escape has just ended: \n %2F \x1b \u00e9 \303, escaped again or not.
_BEFORE = re.compile(
    "|".join(
        [
            r"(?<![^\W_])",
            *(rf"(?<=%{'25' * again}[0-9A-Fa-f]{{2}})" for again in range(3)),
            *(
                f"(?<={backslash}{escape})"
                for backslash in (r"\\", "%5[Cc]", "%255[Cc]")
                for escape in (
                    "[abfnrtv]", "x[0-9A-Fa-f]{2}", "[0-7]{3}", "u[0-9A-Fa-f]{4}",
                    "U[0-9A-Fa-f]{8}",
                )
            ),
        ]
    )
)  # fmt: skip
_AFTER = re.compile(r"(?![^\W_])")


class Form:
    """One text that must not be seen: a secret, or a part of it.

    Args:
        text: As it was read.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts = _PARTS.findall(text)
        letters = _LETTERS.findall(text)
        # A message may hold the beginning of a long one alone.
        shown = text if len(text) < _LONG else text[:_HEAD]
        self._anchor = max(_LETTERS.findall(shown), key=len, default="")
        self._is_word = len(text) < _WHOLE_WORD_BELOW
        count = sum(map(len, letters))
        # Many short runs of letters are found in many ways, and say little by themselves.
        self._is_loose = not self._is_word and count >= max(_ENOUGH_LETTERS, 3 * len(letters))
        self._first = self._parts.index(letters[0]) if letters else 0

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Each place in a text where it is, in any form."""
        if self._anchor not in text:
            return
        for found in self._rest.finditer(text):
            start = self._start(text, found.start())
            if start is not None and (not self._is_word or self._is_one(text, start, found.end())):
                yield start, found.end()

    def _start(self, text: str, letters: int) -> int | None:
        """Where it begins, before its first letter."""
        if not self._first:
            return letters
        near = max(0, letters - 32 * sum(map(len, self._parts[: self._first])))
        found = self._lead.search(text[near:letters])
        return near + found.start() if found else None

    def _is_one(self, text: str, start: int, end: int) -> bool:
        """Whether it is a word of its own there."""
        begins = not self._text[0].isalnum() or _BEFORE.match(text, start) is not None
        return begins and (not self._text[-1].isalnum() or _AFTER.match(text, end) is not None)

    @cached_property
    def _lead(self) -> re.Pattern[str]:
        maybe = "?" if self._is_loose else ""
        lead = "".join(f"(?:{_exact(part)}){maybe}" for part in self._parts[: self._first])
        return re.compile(rf"(?:{lead})\Z")

    @cached_property
    def _rest(self) -> re.Pattern[str]:
        """From its first letter on; a pattern that begins with letters is found fast."""
        parts = self._parts[self._first :]
        steps = list(_loose(parts) if self._is_loose else _tight(parts))
        if len(self._text) < _LONG:
            return re.compile("".join(pattern for pattern, _ in steps))
        return re.compile(_cut(steps, max(_HEAD, len(self._text) // _MOST_CHUNKS)))


def forms(secret: str) -> list[Form]:
    """The secret, and its parts that may be shown alone: lines, and runs that are no words."""
    texts = {secret: None}
    texts |= dict.fromkeys(line for line in secret.splitlines() if len(line) >= SHORTEST)
    if len(secret) < _LONG:
        texts |= dict.fromkeys(_PIECE.findall(secret))
    return [Form(text) for text in texts]


def _cut(steps: list[tuple[str, int]], size: int) -> str:
    """A pattern for as much of a secret as a message shows, at least its beginning."""
    chunks, length = [""], 0
    for pattern, count in steps:
        if length >= (_HEAD if len(chunks) == 1 else size):
            chunks.append("")
            length = 0
        chunks[-1] += pattern
        length += count
    return "(?:".join(chunks) + ")?" * (len(chunks) - 1) + r"[^\s\"'<>\x00]*"


def _loose(parts: list[str]) -> Iterator[tuple[str, int]]:
    """The letters, and between them what escapes may have made of the other characters.

    Each pattern is given with the number of characters that it is for.
    """
    between: list[str] = []
    for part in parts:
        if not _LETTERS.fullmatch(part):
            between.append(part)
            continue
        # No step ends with what is between: it would take what follows a secret that was cut.
        count = sum(map(len, between))
        gap = _gap(count) if between else ""
        between = []
        for letters, length in _pieces(part):
            yield gap + letters, count + length
            gap, count = "", 0
    for part in between:
        yield f"(?:{_exact(part)})?", len(part)


def _tight(parts: list[str]) -> Iterator[tuple[str, int]]:
    for part in parts:
        if _LETTERS.fullmatch(part):
            yield from _pieces(part)
        else:
            yield _exact(part), len(part)


def _pieces(letters: str) -> Iterator[tuple[str, int]]:
    for at in range(0, len(letters), 4):
        yield letters[at : at + 4], len(letters[at : at + 4])


def _gap(count: int) -> str:
    signs = f"[^A-Za-z0-9]{{1,{24 * count}}}"
    escape = rf"{signs}(?:(?<=[%\\&#])|(?<=amp;))[A-Za-z0-9]{{1,16}}?"
    # As little as possible, for it is not the letters' own.
    return f"(?:{escape}){{0,{8 * count}}}?[^A-Za-z0-9]{{0,{24 * count}}}"


def _exact(part: str) -> str:
    if _LETTERS.fullmatch(part):
        return part
    if part[0] in " \t\r\n":
        # A line that was broken elsewhere, or joined, has others.
        one = rf"\s|\+|%(?:25)*(?:20|2[Bb]|09|0[AaDd])|{_BACKSLASHES}[nrt]"
        return f"(?:{one}){{0,{3 * len(part)}}}"
    if part[0] == "\\":
        return f"{_BACKSLASH}{{{len(part)},{16 * len(part)}}}"
    return _one_character(part)


@cache
def _one_character(character: str) -> str:
    code = ord(character)
    raw = character.encode("utf-8", "surrogateescape")
    wide = character.encode("utf-16-be", "surrogatepass")
    units = [wide[at : at + 2].hex() for at in range(0, len(wide), 2)]
    percent = "".join(f"%(?:25)*{_hex(f'{byte:02x}')}" for byte in raw)
    escapes = [f"x{_hex(f'{code:02x}')}"] if code < 256 else []
    escapes.append(f"{_BACKSLASHES}u".join(["", *map(_hex, units)])[len(_BACKSLASHES) :])
    octal = "".join(f"{_BACKSLASHES}{byte:03o}" for byte in raw)
    escapes.append(octal[len(_BACKSLASHES) :])
    if code >= 128:
        bytes_ = "".join(f"{_BACKSLASHES}x{_hex(f'{byte:02x}')}" for byte in raw)
        escapes.append(bytes_[len(_BACKSLASHES) :])
        escapes.append(f"U{_hex(f'{code:08x}')}")
    short = character.encode("unicode_escape", "surrogatepass").decode()
    if code < 128 and len(short) == 2:  # \n and its like
        escapes.append(short[1])
    entities = [f"{_HASH}(?:0*{code}|[xX]0*{_hex(f'{code:x}')})"]
    if re.match("&[a-z]", named := html.escape(character)):
        entities.append(named[1:-1])
    if character == "'":
        entities.append("apos")
    # SQL and CSV double the quotes in a text.
    plain = [re.escape(character) + ("{1,2}" if character in "'\"" else ""), percent]
    plain.append(f"{_AMPERSAND}(?:{'|'.join(entities)}){_SEMICOLON}")
    if code >= 128:  # its bytes as Latin-1 reads them
        plain.append(re.escape(raw.decode("latin-1")))
    return f"(?:{_BACKSLASH}{{0,16}}(?:{'|'.join(plain)})|{_BACKSLASHES}(?:{'|'.join(escapes)}))"


def _hex(digits: str) -> str:
    return "".join(
        digit if digit.isdigit() else f"[{digit}{digit.upper()}]" for digit in digits.lower()
    )
