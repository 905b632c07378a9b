"""Marks that keep Spark from changing the numbers of a JSON text, and a proof that it read it all.

Spark stops after the first value of a text and drops the rest. So a text is parsed inside an array
that ends with a number of our own: the parse proves that it was read to its end. Spark's functions
change numbers with a fraction or an exponent to the way in which Java writes a double, and a
variant shortens others. In a text with such a number all numbers become strings that carry a mark
of our own.
"""

import secrets
from dataclasses import dataclass, field

from autoloader_dagster.iceberg.sql import literal

# A number that Spark would change, as far as a cheap look can tell, or half a surrogate pair. Text
# in a string counts as a number too, if a colon, a comma or a [ comes before it.
ODD = (
    r"(?:\A|[:,\[])\s*+-?+(?:(?<=-)0(?:[,}\]\s]|\z)|[0-9]++[.eE]|[0-9]{36})"
    r"|\\u[dD][89a-fA-F]"
)
# What comes before a number, strings as a whole; then the number, where a value may be. Applied
# again and again, each time from where it stopped; all quantifiers are possessive, so that Java
# neither goes back nor recurses.
_BEFORE = r'\G((?:[^"0-9-]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+)'
_NUMBER = r"(-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+)"
EACH_NUMBER = rf"(?s){_BEFORE}{_NUMBER}(?=\s*+(?:[,}}\]]|\z))"
# In JSON: an escaped backslash, a pair of surrogates; and half of one, once those are gone.
NO_HALF = r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
HALF = r"\\u[dD][89a-fA-F]"


@dataclass(frozen=True, slots=True)
class Marks:
    """What one reading puts into the text; no file can hold it by chance or on purpose."""

    text: str = field(default_factory=lambda: f"n{secrets.token_hex(8)}:")
    end: int = field(default_factory=lambda: secrets.randbits(62))

    def put_into(self, text: str) -> str:
        """A SQL expression for a JSON text with a mark before each number."""
        with_mark = literal(f'$1"{self.text}$2"')
        return f"regexp_replace({text}, {literal(EACH_NUMBER)}, {with_mark})"

    def removed(self, expression: str) -> str:
        """A SQL expression without marks, the numbers as they were written."""
        return f"if(_odd, {self.taken_out(expression)}, {expression})"

    def removed_from_cell(self, text: str) -> str:
        """The same for the text of one value, whose expression is short and costs nothing.

        Most texts have no mark, or are one number; both are seen without a regular expression.
        """
        mark = literal(self.text)
        return (
            f"case when not _odd or not contains({text}, {mark}) then {text} "
            f"when startswith({text}, {mark}) then substring({text}, {len(self.text) + 1}) "
            f"else {self.taken_out(text)} end"
        )

    def taken_out(self, expression: str) -> str:
        """The same where every text has marks."""
        marked = literal(f'"?{self.text}([-+.0-9eE]*+)"?')
        return f"regexp_replace({expression}, {marked}, '$1')"


def of_one_text(text: str, marks: Marks) -> str:
    """A SQL expression for a text that is one JSON value as a variant with marks; else null."""
    half = f"regexp_replace({text}, {literal(NO_HALF)}, ' ') rlike {literal(HALF)}"
    parsed = within_array(marks.put_into(text), marks)
    one = f"{was_read_whole('_w', marks)} and try_variant_get(_w, '$[0][1]', 'variant') is null"
    value = f"if({one}, try_variant_get(_w, '$[0][0]', 'variant'), null)"
    return f"if({half}, null, get(transform(array({parsed}), _w -> {value}), 0))"


def within_array(text: str, marks: Marks) -> str:
    """A SQL expression for ``[[text], end]`` as a variant; null if that does not parse."""
    return f"try_parse_json(concat('[[', {text}, '],{marks.end}]'))"


def was_read_whole(parsed: str, marks: Marks) -> str:
    """Whether such a variant ends with the mark, so that the whole text was read."""
    return f"try_variant_get({parsed}, '$[1]', 'bigint') = {marks.end}"
