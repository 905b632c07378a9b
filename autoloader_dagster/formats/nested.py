"""SQL expressions that give a JSON value a struct, array or map type, or say that it does not fit.

Spark's casts drop the fields that a struct does not have and turn ``6.7`` into 6. Here each
value inside is typed as strictly as a column of its type. A value fits as a whole or not at
all, so that what does not fit goes to ``_rescued`` as it is written.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autoloader_dagster.formats.json.variants import Marks, of_one_text
from autoloader_dagster.formats.typing import is_nested, typed
from autoloader_dagster.iceberg.sql import literal, quoted

# A key that the path syntax of variants can name as it is.
PLAIN_KEY = re.compile(r"[^\"'\\\[\]\x00-\x1f]+")
# Zeros at the end of a fraction, and a point that is left alone.
_ZEROS = r"(\.[0-9]*?)0+(?=[,}\]]|$)"
_POINT = r"\.(?=[,}\]]|$)"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is: a path from the SQL expression of a variant."""

    base: str
    path: str = "$"

    def as_type(self, sql_type: str) -> str:
        """The value by Spark's own rules; null if it has none by them, or is JSON's null."""
        return f"try_variant_get({self.base}, {literal(self.path)}, {literal(sql_type)})"

    def at(self, key: str) -> "Place":
        """The value of a key."""
        if PLAIN_KEY.fullmatch(key):
            return Place(self.base, f'{self.path}["{key}"]')
        return Place(f"try_element_at({self.as_type('map<string,variant>')}, {literal(key)})")


def typed_variant(
    variant: str, sql_type: str, text: Callable[[str], str], formats: Sequence[str] = ()
) -> str:
    """A SQL expression for a variant as a nested type; null if it does not fit whole.

    Args:
        variant: The SQL expression of the variant; evaluated once.
        sql_type: The type, as Spark shows it.
        text: SQL of a text that was taken from the variant -> SQL of that text as it was written.
        formats: Of timestamps.
    """
    builder = _Builder(text, formats)
    value = builder.value(Place("_e"), sql_type, 1)
    fits = builder.fits(Place("_r._e"), "_r._t", sql_type, 1)
    # Lambdas, because an expression that is used twice is evaluated twice.
    both = f"transform(array({variant}), _e -> named_struct('_e', _e, '_t', {value}))"
    return f"get(transform({both}, _r -> if({fits}, _r._t, null)), 0)"


def typed_cell(raw: str, sql_type: str, formats: Sequence[str], marks: Marks) -> str:
    """``typed``, also for a nested type: the text must be one JSON value and nothing else."""
    if not is_nested(sql_type):
        return typed(raw, sql_type, formats)
    return typed_variant(of_one_text(raw, marks), sql_type, marks.taken_out, formats)


@dataclass(frozen=True, slots=True)
class _Builder:
    text: Callable[[str], str]
    formats: Sequence[str]

    def value(self, place: Place, sql_type: str, depth: int) -> str:
        """The value with null for each part that does not fit."""
        kind, parts = parts_of_type(sql_type)
        if kind == "struct":
            fields = ", ".join(
                f"{literal(name)}, {self.value(place.at(name), part, depth)}"
                for name, part in parts
            )
            is_object = f"{place.as_type('map<string,variant>')} is not null"
            return f"if({is_object}, named_struct({fields}), null)"
        inner = f"_e{depth}"
        if kind == "array":
            item = self.value(Place(inner), parts[0][1], depth + 1)
            return f"transform({place.as_type('array<variant>')}, {inner} -> {item})"
        if kind == "map":
            (_, key_type), (_, value_type) = parts
            keys = f"map_keys({place.as_type('map<string,variant>')})"
            if key_type != "string":
                keys = f"transform({keys}, {inner} -> {typed(inner, key_type, self.formats)})"
            item = self.value(Place(inner), value_type, depth + 1)
            values = f"map_values({place.as_type('map<string,variant>')})"
            values = f"transform({values}, {inner} -> {item})"
            # Neither a null nor the same key twice can be in a map.
            sound = f"size(array_distinct(filter(_k{depth}, _n -> _n is not null)))"
            made = f"if({sound} = size(_k{depth}), map_from_arrays(_k{depth}, {values}), null)"
            return f"get(transform(array({keys}), _k{depth} -> {made}), 0)"
        if kind == "variant":
            return self._variant(place)
        text = self.text(place.as_type("string"))
        if sql_type == "string":
            return text
        # A lambda, because an expression that is used twice is evaluated twice.
        return f"get(transform(array({text}), _x -> {typed('_x', sql_type, self.formats)}), 0)"

    def fits(self, place: Place, value: str, sql_type: str, depth: int) -> str:
        """Whether the value holds all of what is written."""
        kind, parts = parts_of_type(sql_type)
        nothing = f"{place.as_type('string')} is null"
        if kind == "struct":
            known = ", ".join(literal(name) for name, _ in parts)
            keys = f"map_keys({place.as_type('map<string,variant>')})"
            every = " and ".join(
                f"({self.fits(place.at(name), f'{value}.{quoted(name)}', part, depth)})"
                for name, part in parts
            )
            whole = f"forall({keys}, _n -> _n in ({known})) and {every}"
        elif kind in ("array", "map"):
            there, held = place.as_type("array<variant>"), value
            if kind == "map":
                there = f"map_values({place.as_type('map<string,variant>')})"
                held = f"map_values({value})"
            one, other = f"_e{depth}", f"_t{depth}"
            item = self.fits(Place(one), other, parts[-1][1], depth + 1)
            whole = f"forall(zip_with({there}, {held}, ({one}, {other}) -> {item}), _n -> _n)"
        else:
            return f"{value} is not null or {nothing}"
        return f"if({value} is null, {nothing}, {whole})"

    def _variant(self, place: Place) -> str:
        """A variant, if it gives back the same text; it keeps no zeros at a fraction's end."""
        parsed, written = "_r._e", "_r._t"
        text = self.text(f"to_json({place.as_type('variant')})")
        same = f"{_without_zeros(f'to_json({parsed})')} = {_without_zeros(written)}"
        both = f"transform(array({text}), _t -> named_struct('_t', _t, '_e', try_parse_json(_t)))"
        return f"get(transform({both}, _r -> if({same}, {parsed}, null)), 0)"


def _without_zeros(text: str) -> str:
    return f"regexp_replace(regexp_replace({text}, {literal(_ZEROS)}, '$1'), {literal(_POINT)}, '')"


def parts_of_type(sql_type: str) -> tuple[str, list[tuple[str, str]]]:
    """The kind of a type, and the types in it with the names of a struct's fields."""
    kind, _, rest = sql_type.partition("<")
    if not rest or kind not in ("struct", "array", "map"):
        return sql_type, []
    parts = []
    for part in _split(rest[:-1]):
        name, of = _field(part) if kind == "struct" else ("", part)
        parts.append((name, of.strip()))
    return kind, parts


def _split(text: str) -> Sequence[str]:
    """The parts between commas that are in no brackets and no quotes."""
    parts, depth, start = [], 0, 0
    for found in re.finditer(r"`(?:[^`]|``)*`|[<>(),]", text):
        token = found[0]
        depth += (token in "<(") - (token in ">)")
        if token == "," and depth == 0:
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]


def _field(text: str) -> tuple[str, str]:
    found = re.match(r"\s*(?:`((?:[^`]|``)*)`|([^:]*?))\s*:", text)
    if found is None:
        raise ValueError(f"not a field of a struct: {text}")
    name = found[1].replace("``", "`") if found[1] is not None else found[2]
    return name, text[found.end() :]
