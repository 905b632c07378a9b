"""Checks the types of hints as Spark SQL parses them, without a server.

A hint's type becomes a part of SQL, so nothing but a type may pass.
"""

import re
from collections.abc import Callable

from autoloader_dagster.specs.values import did_you_mean

# fmt: off
_SQL_TYPES = (
    "boolean", "byte", "tinyint", "short", "smallint", "int", "integer", "long", "bigint", "float",
    "real", "double", "decimal", "dec", "numeric", "string", "varchar", "char", "character",
    "binary", "date", "timestamp", "timestamp_ltz", "timestamp_ntz", "variant", "array", "map",
    "struct",
)
# fmt: on
_DECIMALS = frozenset({"decimal", "dec", "numeric"})
_WITH_LENGTH = frozenset({"varchar", "char", "character"})
_MOST_DIGITS = 38
_LONGEST = 2**31 - 1
# Deeper ones would be too deep for Spark's parser and for ours.
_MOST_LEVELS = 100
_TOKEN = re.compile(
    r"\s*(`(?:[^`]|``)*`|[rR]?'(?:[^'\\]|\\.|'')*'|[rR]?\"(?:[^\"\\]|\\.|\"\")*\"|[A-Za-z0-9_]+|\S)",
    re.DOTALL,
)
_NAME = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9_]+|`.*`", re.DOTALL)
_TEXT = re.compile(r"[rR]?['\"].+", re.DOTALL)


def check_sql_type(sql_type: str) -> None:
    """Refuse what is not a type of Spark SQL that a table can have.

    Raises:
        ValueError: It says what is wrong.
    """
    reader = _Reader(sql_type)
    reader.type_(0)
    if reader.token:
        raise reader.fault()


class _Reader:
    """Reads one type, from the left to the right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._tokens: list[str] = []
        rest = text.strip()
        at = 0
        while at < len(rest) and (match := _TOKEN.match(rest, at)):
            # An open quote: to look for its end from each later one would take too long.
            if match[1] in ("'", '"', "`"):
                raise self.fault()
            self._tokens.append(match[1])
            at = match.end()

    @property
    def token(self) -> str:
        """The next token in lower case; empty at the end."""
        return self._raw.lower()

    @property
    def _raw(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def fault(self, reason: str = "") -> ValueError:
        """The error for this type."""
        reason = reason or "; write it like decimal(18,2), array<int> or struct<a: int, b: string>"
        return ValueError(f"'{self._text}' is not a Spark SQL type{reason}")

    def type_(self, level: int) -> None:
        """Read a type, with the types in it."""
        name = self._take()
        if name not in _SQL_TYPES:
            unknown = f": '{name}' is not known" if level and name else ""
            raise self.fault(unknown + did_you_mean(name, _SQL_TYPES))
        if level > _MOST_LEVELS:
            raise self.fault(f": it has more than {_MOST_LEVELS} levels, one within the other")
        if name == "array":
            self._within(lambda: self.type_(level + 1))
        elif name == "map":
            self._within(lambda: (self.type_(level + 1), self._need(","), self.type_(level + 1)))
        elif name == "struct":
            self._within(lambda: self._fields(level + 1))
        elif name in _DECIMALS and self.token == "(":
            self._decimal()
        elif name in _WITH_LENGTH:
            self._length(name)
        elif name == "string" and self._takes("collate"):
            self._name()
            while self._takes("."):
                self._name()
        elif name == "timestamp" and self._takes("without"):
            self._need("time")
            self._need("zone")

    def _within(self, read: Callable[[], object]) -> None:
        self._need("<")
        read()
        self._need(">")

    def _fields(self, level: int) -> None:
        if self.token == ">":
            raise self.fault(": a struct of a table needs a field")
        while True:
            self._name()
            self._takes(":")
            self.type_(level)
            if self._takes("not"):
                self._need("null")
            if self._takes("comment"):
                self._comment()
            if not self._takes(","):
                return

    def _comment(self) -> None:
        if not _TEXT.fullmatch(self._take()):
            raise self.fault()
        while _TEXT.fullmatch(self.token):
            self._take()

    def _decimal(self) -> None:
        self._need("(")
        precision = self._number()
        scale = self._number() if self._takes(",") else 0
        self._need(")")
        if not 1 <= precision <= _MOST_DIGITS:
            raise self.fault(f": the precision {precision} is not from 1 to {_MOST_DIGITS}")
        if scale > precision:
            raise self.fault(f": the scale {scale} is larger than the precision {precision}")

    def _length(self, name: str) -> None:
        if self.token != "(":
            raise self.fault(f": {name} needs a length; write string, or {name}(10)")
        self._need("(")
        if self._number() > _LONGEST:
            raise self.fault(f": the length is larger than {_LONGEST:,}")
        self._need(")")

    def _number(self) -> int:
        token = self._take()
        if not (token.isascii() and token.isdecimal()) or len(token) > 10:
            raise self.fault()
        return int(token)

    def _name(self) -> None:
        if not _NAME.fullmatch(self._take()):
            raise self.fault()

    def _take(self) -> str:
        token = self.token
        self._at += 1
        return token

    def _takes(self, token: str) -> bool:
        if self.token != token:
            return False
        self._at += 1
        return True

    def _need(self, token: str) -> None:
        if not self._takes(token):
            raise self.fault()
