"""JSON values as they are written: no digit is lost, and no constant that JSON does not have."""

import json
from collections.abc import Iterator
from typing import NoReturn


class Number(str):
    """A JSON number, with the signs it was written with."""

    __slots__ = ()


class Nested:
    """Stands for an object or an array in a sample."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<nested>"


NESTED = Nested()


class BadConstant(ValueError):
    """``NaN`` or ``Infinity``, which some writers put out and JSON does not have."""


def _refuse(constant: str) -> NoReturn:
    raise BadConstant(f"it holds {constant}, which JSON does not have; write null instead")


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_refuse)


def parse(text: str) -> object:
    """Parse one JSON value, with numbers as ``Number``.

    Raises:
        ValueError: It is not JSON (``json.JSONDecodeError``), or ``BadConstant``.
        RecursionError: It is nested too deeply.
    """
    return _DECODER.decode(text)


def parse_each(text: str, at: int) -> Iterator[object]:
    """The elements of an array from a place inside of it, as far as they can be parsed."""
    while True:
        while text[at : at + 1] in (" ", "\t", "\r", "\n", ","):
            at += 1
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield value


def simplified(value: object) -> object:
    """A value for a sample: nested ones only as a mark."""
    return NESTED if isinstance(value, dict | list) else value
