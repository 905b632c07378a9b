"""Whether a statement of Spark SQL can only read, found out before Spark sees any of it.

Spark executes some statements while it analyses them, so asking Spark is not safe:
``EXPLAIN EXECUTE IMMEDIATE 'delete ...'`` deletes. The tokens are those of Spark's own lexer.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from autoloader_dagster.errors import UsageError

_QUERIES = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "FROM", "MAP", "REDUCE"})
_COMMANDS = frozenset({"SHOW", "DESCRIBE", "DESC", "EXPLAIN"})
_EXPLAIN_MODES = frozenset({"LOGICAL", "FORMATTED", "EXTENDED", "CODEGEN", "COST"})
# They call any static method of Java, for example the one that ends the server.
_JAVA_FUNCTIONS = frozenset({"reflect", "java_method", "try_reflect"})

# '/*+' begins a hint, which is no comment. A backslash at its end continues a line comment.
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<line_comment>--(?:\\\n|[^\r\n])*)
    | (?P<comment>/\*(?!\+))
    | (?P<text>[rR]'[^']*' | [rR]"[^"]*" | '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*")
    | (?P<name>`(?:[^`]|``)*`)
    | (?P<word>\w+)
    | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*(?!\+)|\*/")
_NO_LINE_BREAK = re.compile(r"[^\r\n]")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that begins as one that reads.

    Attributes:
        sql: Its text with blanks for comments and for the semicolons at its end, so that each
            position in it is one of the text that it was made from.
        is_query: Whether it is a query; else it is SHOW, DESCRIBE or EXPLAIN.
    """

    sql: str
    is_query: bool


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    @property
    def word(self) -> str:
        """The keyword, in capitals as Spark compares it; empty for a token of another kind."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def function(self) -> str:
        """The name as Spark looks a function up."""
        quoted = self.kind in ("name", "text")
        return (self.text[1:-1] if quoted else self.text).lower()


def check_not_empty(sql: str) -> None:
    """Check that there is a statement.

    Raises:
        UsageError: There are only blanks, comments and semicolons.
    """
    _, tokens = _tokens(sql)
    if all(token.text == ";" for token in tokens):
        raise UsageError(
            "the statement is empty", "Give a statement, for example 'select * from lake.a.b'."
        )


def read_only(sql: str) -> Statement:
    """The statement, which by its first word and by the functions in it can only read.

    It must still be parsed: ``with a as (select 1) insert into t ...`` begins like a query.

    Raises:
        UsageError: It is not such a statement, it is empty, or a quote or a comment in it is not
            closed.
    """
    check_not_empty(sql)
    text, tokens = _tokens(sql)
    text = text.rstrip("; \t\r\n")
    word = _first_word(tokens)
    if word not in _QUERIES | _COMMANDS:
        raise not_a_query(f"a statement that begins with '{word}'" if word else "this statement")
    _check_functions(tokens)
    return Statement(text, word in _QUERIES)


def not_a_query(what: str = "this statement") -> UsageError:
    """The refusal of a statement that may change something."""
    return UsageError(
        f"'query' only reads, and {what} is not a query",
        "Correct it. If it is to change something, give --write: it acts on the tables at once. "
        "Rows that it removes or changes are not known to the state, and 'autoloader undo' "
        "removes files safely.",
    )


def _first_word(tokens: Sequence[_Token]) -> str:
    """The word that decides what is executed; empty if what EXPLAIN explains does not read."""
    place = 0
    while place < len(tokens) and tokens[place].text == "(":
        place += 1
    if place == len(tokens):
        return ""
    word = tokens[place].word
    if word != "EXPLAIN":
        return word
    rest = tokens[place + 1 :]
    if rest and rest[0].word in _EXPLAIN_MODES:
        rest = rest[1:]
    return word if _first_word(rest) in _QUERIES | _COMMANDS else ""


def _check_functions(tokens: Sequence[_Token]) -> None:
    """Check that nothing but SQL is run: no method of Java and no program.

    Raises:
        UsageError: Such a thing is called.
    """
    for place, (token, following) in enumerate(itertools.pairwise(tokens)):
        if token.word == "USING" and following.kind == "text":
            raise _not_sql("TRANSFORM, MAP or REDUCE ... USING runs a program")
        if following.text != "(":
            continue
        if token.function in _JAVA_FUNCTIONS:
            raise _not_sql(f"the function {token.function} would run Java code")
        if token.word == "IDENTIFIER" and _is_called(tokens[place + 1 :]):
            raise _not_sql("a function that IDENTIFIER names may run Java code")


def _not_sql(what: str) -> UsageError:
    return UsageError(
        f"'query' only reads, and {what} on the Spark server",
        "Leave it out, or give --write to run the statement.",
    )


def _is_called(tokens: Sequence[_Token]) -> bool:
    """Whether arguments follow the brackets with which the tokens begin."""
    depth = 0
    for token, following in itertools.pairwise(tokens):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            return following.text == "("
    return False


def _tokens(sql: str) -> tuple[str, list[_Token]]:
    """The text with blanks for its comments, and its tokens without blanks and comments.

    Raises:
        UsageError: A quote or a comment is not closed.
    """
    parts = list[str]()
    tokens = list[_Token]()
    place = 0
    while (found := _TOKEN.match(sql, place)) is not None:
        kind, text = found.lastgroup or "", found[0]
        if kind == "comment":
            text = sql[place : _end_of_comment(sql, found.end())]
        if kind == "sign" and text in "'\"`":
            raise UsageError(f"a quoted text is not closed: {sql[place:][:20]}", f"Add a {text}.")
        if kind in ("comment", "line_comment"):
            parts.append(_NO_LINE_BREAK.sub(" ", text))
        else:
            parts.append(text)
            if kind != "space":
                tokens.append(_Token(kind, text))
        place += len(text)
    return "".join(parts), tokens


def _end_of_comment(sql: str, place: int) -> int:
    """Where the comment ends that begins before a place; there may be others in it.

    Raises:
        UsageError: It does not end.
    """
    depth = 1
    for mark in _COMMENT_MARK.finditer(sql, place):
        depth += -1 if mark[0] == "*/" else 1
        if depth == 0:
            return mark.end()
    raise UsageError(
        f"a comment is not closed: {sql[place - 2 :][:20]}", "Add '*/' where the comment ends."
    )
