"""JSON values as they are written: no digit is lost, and no constant that JSON does not have."""

import json
import re
from typing import NoReturn, cast

import msgspec


class Number(str):
    """A JSON number, with the characters it was written with."""

    __slots__ = ()


class Nested:
    """An object or an array in a sample."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<nested>"


NESTED = Nested()


class BadConstant(ValueError):
    """``NaN`` or ``Infinity``, which some writers put out and JSON does not have."""


def _refuse(constant: str) -> NoReturn:
    raise BadConstant(f"it holds {constant}, which JSON does not have; write null instead")


_MANY_DIGITS = 36
_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_refuse)


def parse(text: str) -> object:
    """Parse one JSON value, with numbers as ``Number``.

    Raises:
        ValueError: It is not JSON (``json.JSONDecodeError``), or ``BadConstant``.
        RecursionError: It is nested too deeply.
    """
    return _DECODER.decode(text)


def parse_telling(text: str) -> tuple[object, bool]:
    """``parse``, and whether there is a number that Spark's functions may write otherwise.

    That is one with a fraction or an exponent, zero with a sign, or one of very many digits.
    """
    odd = False

    def fraction(written: str) -> Number:
        nonlocal odd
        odd = True
        return Number(written)

    def integer(written: str) -> Number:
        nonlocal odd
        odd = odd or written == "-0" or len(written) >= _MANY_DIGITS
        return Number(written)

    decoder = json.JSONDecoder(parse_float=fraction, parse_int=integer, parse_constant=_refuse)
    return decoder.decode(text), odd


class NotCanonical(Exception):
    """A text that is not written as ``parse_canonical`` wants it; never leaves this package."""


def _refuse_fraction(written: str) -> NoReturn:
    raise NotCanonical(written)


_CANONICAL = msgspec.json.Decoder(float_hook=_refuse_fraction)
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")


def parse_canonical(data: bytes) -> object:
    """Parse a JSON text that comes out byte for byte the same when it is written again.

    That proves at the speed of a fast parser what a strict reader must know: the text is one value
    to its end, no object has a key twice, no string escapes what it need not, and no number is one
    that ``parse_telling`` tells. Most programs that write JSON without blanks write it so. Numbers
    are ints.

    Raises:
        NotCanonical: It is not such a text, or it is not JSON.
    """
    data = data.strip(b" \t\r\n")
    if data.translate(_DIGITS_AS_ZERO).find(b"0" * _MANY_DIGITS) >= 0:
        raise NotCanonical("a number of very many digits")
    try:
        value = _CANONICAL.decode(data)
        same = msgspec.json.encode(value) == data
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NotCanonical(str(error)) from error
    if not same:
        raise NotCanonical("it would be written otherwise")
    return value


def decode_at(text: str, at: int) -> tuple[object, int]:
    """Parse the value that begins at a place, and return it with the place where it ends.

    Raises:
        ValueError: It is not JSON (``json.JSONDecodeError``), or ``BadConstant``.
        RecursionError: It is nested too deeply.
    """
    return _DECODER.raw_decode(text, at)


def simplified(value: object) -> object:
    """A value for a sample: nested ones only as a mark."""
    # By what most values are; a subclass of none of these but Number comes from a parser.
    kind = type(value)
    if kind is str:
        return value if is_encodable(cast("str", value)) else "\ufffd"
    if kind is dict or kind is list:
        return NESTED
    return Number(value) if kind is int else value


def is_encodable(text: str) -> bool:
    """Whether a text can be written as UTF-8; one with half a surrogate pair cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# What JSON may write for half a surrogate pair, and what is none: an escaped backslash, a pair.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_NO_HALF = re.compile(r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


def has_half_pairs(text: str) -> bool:
    """Whether a JSON text escapes half a surrogate pair, which no text in UTF-8 can hold."""
    return _HALF.search(text) is not None and _HALF.search(_NO_HALF.sub(" ", text)) is not None


def original_of(key: str) -> str:
    """A key as the original name of its column, which must not be blank."""
    return json.dumps(key) if not key.strip() or key.startswith('"') else key


def key_of(original: str) -> str:
    """The key that a column's original name means."""
    if original.startswith('"'):
        try:
            key = json.loads(original)
        except ValueError:
            return original
        return key if isinstance(key, str) else original
    return original


def as_text(value: object) -> str:
    """A JSON value as people are shown it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
