"""The forms in which libraries write a secret, as regular expressions.

They quote and escape it character by character, once or several times, and which characters
depends on what is beside it: ``repr`` of a whole message escapes other quotes than ``repr`` of
the secret does. So each character matches itself and all its escapes.
"""

import base64
import html
import re
from functools import cache, lru_cache

# What is shorter is struck as a word of its own only: 'postgres' is a part of other words.
_WHOLE_WORD_BELOW = 16
# A word begins, or an escape has just ended: \n %2F \x1b \u00e9.
_BEFORE = (
    r"(?:(?<![^\W_])|(?<=\\[abfnrtv])|(?<=%5[Cc][abfnrtv])|(?<=%[0-9A-Fa-f]{2})"
    r"|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))"
)
_AFTER = r"(?![^\W_])"
# Each time that a text is escaped, its backslashes double; four times.
_BACKSLASH = r"(?:\\|%(?:25)*5[Cc])"
_BACKSLASHES = f"{_BACKSLASH}{{1,16}}"
_MAYBE_BACKSLASHES = f"{_BACKSLASH}{{0,16}}"
_BLANK = re.compile(r"[ \t\r\n]+")
_RUN = re.compile(r"[ \t\r\n]+|\\+|[A-Za-z0-9_.~-]+|.", re.DOTALL)
_LEAST_BASE64 = 8
# Temporary tokens and keys are that long; a part of them as long as this is no word.
_LONG = 256
_HEAD = 32


@lru_cache(maxsize=1000)
def forms(secret: str) -> str:
    """A pattern that matches the secret in each of its forms, the longest form first."""
    pattern = "".join(_escaped(run) for run in _RUN.findall(secret))
    if len(secret) < _WHOLE_WORD_BELOW:
        before = _BEFORE if secret[0].isalnum() else ""
        after = _AFTER if secret[-1].isalnum() else ""
        pattern = f"{before}{pattern}{after}"
    return "|".join([pattern, *_cut_form(secret), *_base64_forms(secret)])


def _cut_form(secret: str) -> list[str]:
    """The beginning of a long secret, and what is left of the rest: servers cut long messages."""
    if len(secret) < _LONG:
        return []
    head = "".join(_escaped(run) for run in _RUN.findall(secret[:_HEAD]))
    return [rf"{head}[^\s\"'<>]*"]


def _escaped(run: str) -> str:
    if _BLANK.fullmatch(run):
        # A line that was broken elsewhere, or joined, has others.
        one = rf"\s|\+|%(?:25)*(?:20|2[Bb]|09|0[AaDd])|{_BACKSLASHES}[nrt]"
        return f"(?:{one}){{0,{3 * len(run)}}}"
    if run[0] == "\\":
        return rf"(?:\\|%(?:25)*5[Cc]|&#92;|&#x5[Cc];){{{len(run)},{16 * len(run)}}}"
    if len(run) > 1 or re.fullmatch(r"[A-Za-z0-9_.~-]", run):
        return re.escape(run)
    return _one_character(run)


@cache
def _one_character(character: str) -> str:
    code = ord(character)
    raw = character.encode("utf-8", "surrogateescape")
    wide = character.encode("utf-16-be", "surrogatepass")
    units = [wide[at : at + 2].hex() for at in range(0, len(wide), 2)]
    percent = "".join(f"%(?:25)*{_hex(f'{byte:02x}')}" for byte in raw)
    escapes = [f"x{_hex(f'{code:02x}')}"] if code < 256 else []
    escapes.append(
        f"{_BACKSLASHES}u".join(_hex(unit) for unit in ["", *units])[len(_BACKSLASHES) :]
    )
    if code >= 128:
        escapes.append(
            f"{_BACKSLASHES}x".join(["", *(_hex(f"{b:02x}") for b in raw)])[len(_BACKSLASHES) :]
        )
        escapes.append(f"U{_hex(f'{code:08x}')}")
    short = character.encode("unicode_escape").decode()
    if code < 128 and len(short) == 2:  # \n and its like
        escapes.append(short[1])
    entities = [f"#(?:{code}|[xX]{_hex(f'{code:x}')})"]
    if re.match("&[a-z]", named := html.escape(character)):
        entities.append(named[1:-1])
    if character == "'":
        entities.append("apos")
    return (
        f"(?:{_MAYBE_BACKSLASHES}{re.escape(character)}|{percent}"
        f"|{_BACKSLASHES}(?:{'|'.join(escapes)})|&(?:amp;)*(?:{'|'.join(entities)});)"
    )


def _hex(digits: str) -> str:
    return "".join(
        digit if digit.isdigit() else f"[{digit}{digit.upper()}]" for digit in digits.lower()
    )


def _base64_forms(secret: str) -> list[str]:
    """The middle of its base64, which is another one by what stands before the secret."""
    raw = secret.encode("utf-8", "surrogateescape")
    found: dict[str, None] = {}
    for skipped in range(3):
        code = base64.b64encode(b"\0" * skipped + raw).decode()
        # Only the characters that nothing beside the secret has a part in.
        middle = code[-(-skipped * 8 // 6) : (skipped + len(raw)) * 8 // 6]
        if len(middle) < _LEAST_BASE64:
            continue
        # Those for addresses have - and _ in the place of + and /.
        coded = middle.replace("+", "(?:[+-]|%2[Bb])").replace("/", "(?:[/_]|%2[Ff])")
        found[coded] = None
    return list(found)
