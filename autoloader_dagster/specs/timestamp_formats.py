"""Checks date and time patterns as Spark does before it parses with one, without a server."""

import re
from typing import Annotated

from pydantic import AfterValidator

# How often each letter can be repeated. Of Spark's other letters, some are not for parsing, and
# for the others nobody knows which cells they match.
LETTERS = {
    **dict.fromkeys("y", range(1, 7)),
    **dict.fromkeys("ML", range(1, 5)),
    **dict.fromkeys("dHhms", range(1, 3)),
    **dict.fromkeys("S", range(1, 10)),
    **dict.fromkeys("a", range(1, 2)),
    **dict.fromkeys("XxZ", range(1, 6)),
    **dict.fromkeys("z", range(1, 5)),
    **dict.fromkeys("V", range(2, 3)),
}
_QUOTED = re.compile(r"'[^']*'")
_LETTER = re.compile(r"([A-Za-z])\1*")
_RESERVED = re.compile(r"[{}#]")
_MOST_LEVELS = 100
# What people write who come from other programs.
_MEANT = {"Y": "yyyy", "D": "dd", "u": "yyyy", "n": "SSS", "k": "HH", "t": "'t'", "T": "'T'"}


def check_timestamp_format(pattern: str) -> None:
    """Refuse a pattern that Spark does not take, or whose cells cannot be told.

    Raises:
        ValueError: It says what is wrong.
    """
    if pattern.count("'") % 2:
        raise ValueError(f"'{pattern}' has a quote that is not closed")
    bare = _QUOTED.sub(" ", pattern)
    for match in _LETTER.finditer(bare):
        letter, count = match[1], len(match[0])
        lengths = LETTERS.get(letter)
        if lengths is None:
            meant = f"; did you mean {_MEANT[letter]}?" if letter in _MEANT else ""
            raise ValueError(
                f"'{pattern}' has the letter '{letter}', which is not one of "
                f"{' '.join(LETTERS)}{meant or '; put other letters in single quotes'}"
            )
        if count not in lengths:
            most = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else f"{lengths[0]}"
            raise ValueError(f"'{pattern}' has {count} times '{letter}'; write it {most} times")
    if reserved := _RESERVED.search(bare):
        raise ValueError(
            f"'{pattern}' has the character '{reserved[0]}', which Spark reserves; put it in "
            "single quotes"
        )
    depth = 0
    for character in bare:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if depth < 0:
            raise ValueError(f"'{pattern}' has a ] without a [ before it")
        if depth > _MOST_LEVELS:
            raise ValueError(f"'{pattern}' has more than {_MOST_LEVELS} [ one within the other")


def _check_all(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        check_timestamp_format(pattern)
    return patterns


TimestampFormats = Annotated[tuple[str, ...], AfterValidator(_check_all)]
