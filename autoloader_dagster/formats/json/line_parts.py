"""Takes ordinary JSON lines apart in Spark's Python workers, which need msgspec and pyarrow only.

Spark parses a line several times to prove that nothing of it gets lost. Here it is parsed once and
written again: what comes out as it was has no key twice and nothing that was passed over. A line
with anything out of the ordinary is left to Spark.

The code goes to the workers by value, so this module imports nothing of this package, and what
cannot be pickled is made in functions.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa

    Batches = Iterator[pa.RecordBatch]

# For longer ones Spark's parser and its variants have limits.
_MAX_LINE, _MAX_NUMBER, _MAX_NESTED, _MAX_DEPTH = 1 << 20, 100, 16 << 10, 100
# So many lines of a batch tell how the values of each key are written.
_SAMPLE = 20

_NULL = b"null"
# The column that ``take_apart`` adds.
PARTS = "_parts"

Texts = list[str | bytes | None]


class NotOrdinary(Exception):
    """A value that is left to Spark; never leaves this module."""


def take_apart(keys: Sequence[str]) -> "Callable[[Batches], Batches]":
    """A function for ``mapInArrow`` that takes lines apart.

    Its batches have lines as bytes in the column ``value``. It adds the column ``_parts``: a struct
    of the texts of these keys, ``_0``, ``_1``, ..., and of ``_fault``, which is null. ``_parts`` is
    null for a line that is not ordinary.

    An ordinary line is one object in UTF-8 that has no other keys than these, and at no depth a key
    twice. Its texts are what Spark would make of its values without changing a number.
    """

    def add_parts(batches: "Batches") -> "Batches":
        import pyarrow as pa

        lines = _Lines(keys)
        names = part_names(len(keys))
        for batch in batches:
            columns, ordinary = lines.texts(batch.column("value").to_pylist())
            arrays = [pa.array(column, pa.string()) for column in columns]
            arrays.append(pa.nulls(batch.num_rows, pa.string()))
            others = [not each for each in ordinary] if False in ordinary else None
            mask = None if others is None else pa.array(others, pa.bool_())
            parts = pa.StructArray.from_arrays(arrays, names, mask=mask)
            yield pa.RecordBatch.from_arrays([*batch.columns, parts], [*batch.schema.names, PARTS])

    return add_parts


def part_names(count: int) -> list[str]:
    """The fields of a struct of so many texts: those of the keys, and the fault."""
    return [*(f"_{i}" for i in range(count)), "_fault"]


def try_out(batches: "Batches") -> "Batches":
    """Whether ``take_apart`` works where this runs, as one row; for ``mapInArrow``."""
    import pyarrow as pa

    lines = [b'{"a": "b", "n": [1.10, 2]}', b'{"a": "b", "a": "c"}', b'{"a": "b", "z": 1}']
    given = pa.RecordBatch.from_arrays([pa.array(lines, pa.binary())], ["value"])
    (found,) = take_apart(["n", "a"])(iter([given]))
    ordinary = {"_0": "[1.10,2]", "_1": "b", "_fault": None}
    works = found.column(PARTS).to_pylist() == [ordinary, None, None]
    for _ in batches:
        yield pa.RecordBatch.from_arrays([pa.array([works])], ["works"])


class _Lines:
    """Takes lines apart, and learns from them in what order keys come and how they are written."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        # Those that msgspec takes as names; a line with another one is not ordinary.
        self._names = frozenset(
            key for key in keys if key.isprintable() and not set(key) & {*'"\\'}
        )
        self._as_read = _Records([key for key in keys if key in self._names], self._names)
        self._learned: _Records | None = None
        self._nested = _Nested()

    def texts(self, lines: list[bytes]) -> tuple[list[Texts], list[bool]]:
        """The texts of each key, and which lines are ordinary; the others have no texts."""
        records = self._learned or self._learn(lines)
        found = records.all_of(lines)
        if found is None:
            records = self._learn(lines)
            found = records.all_of(lines)
        if found is None:
            records = self._as_read
            found = [records.one(line, self._nested) for line in lines]
        ordinary = [each is not None for each in found]
        texts = {
            key: self._column(values, key in records.raw, ordinary)
            for key, values in records.columns(found)
        }
        none: Texts = [None] * len(lines)
        return [texts.get(key, none) for key in self._keys], ordinary

    def _learn(self, lines: list[bytes]) -> "_Records":
        """Records as these lines have them: the order of keys, and values that are no strings."""
        order: dict[str, None] = {}
        raw = set(self._learned.raw) if self._learned else set[str]()
        decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
        for line in lines[:_SAMPLE]:
            try:
                found = decoder.decode(line)
            except (ValueError, RecursionError):
                continue
            order.update(dict.fromkeys(found))
            raw.update(key for key, value in found.items() if bytes(value)[:1] not in b'"n')
        seen = [key for key in order if key in self._names]
        rest = [key for key in self._keys if key in self._names and key not in order]
        self._learned = _Records([*seen, *rest], self._names & raw)
        return self._learned

    def _column(self, values: Sequence[Any], raw: bool, ordinary: list[bool]) -> Texts:
        if msgspec.UnsetType in set(map(type, values)):
            absent = _NULL if raw else None
            values = [absent if v is msgspec.UNSET else v for v in values]
        if not raw:
            return list(values)
        tokens = list(map(bytes, values))
        written = b"".join(tokens)
        texts: Texts = list(tokens)
        if _NULL in written:
            texts = [None if token == _NULL else token for token in tokens]
        if not any(sign in written for sign in (b'"', b"{", b"[")) and (
            max(map(len, tokens), default=0) <= _MAX_NUMBER
        ):
            return texts
        for i, token in enumerate(tokens):
            if token != _NULL:
                try:
                    texts[i] = self._nested.text(token)
                except (ValueError, RecursionError, NotOrdinary):
                    texts[i], ordinary[i] = None, False
        return texts


class _Records:
    """Lines as structs: values that are strings as such, others with the characters they have.

    Attributes:
        order: The keys as most lines have them.
        raw: Those whose values may be no strings.
    """

    def __init__(self, order: Sequence[str], raw: frozenset[str]) -> None:
        self.order, self.raw = order, raw
        names = {f"f{i}": key for i, key in enumerate(order)}
        text = str | None | msgspec.UnsetType
        kind = msgspec.defstruct(
            "Record",
            [(f, msgspec.Raw if key in raw else text, msgspec.UNSET) for f, key in names.items()],
            rename=names,
            forbid_unknown_fields=True,
            gc=False,
        )
        self._empty = kind()
        self._decoder, self._encoder = msgspec.json.Decoder(kind), msgspec.json.Encoder()

    def columns(self, records: list[Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Each key with its values; None among the records has none."""
        if not records:
            return iter([(key, ()) for key in self.order])
        if None in records:
            records = [self._empty if record is None else record for record in records]
        rows = map(msgspec.structs.astuple, records)
        return zip(self.order, zip(*rows, strict=True), strict=True)

    def all_of(self, lines: list[bytes]) -> list[Any] | None:
        """The records of these lines, if all lines are as they would be written."""
        text = b"\n".join(lines)
        if not lines or max(map(len, lines)) > _MAX_LINE:
            return None
        try:
            if not text.isascii():
                text.decode()
            records = self._decoder.decode_lines(text)
        except (ValueError, RecursionError):
            return None
        written = self._encoder.encode_lines(records)[:-1]
        return records if len(records) == len(lines) and _same(written, text) else None

    def one(self, line: bytes, nested: "_Nested") -> Any:
        """The record of a line; None if it is not ordinary."""
        if len(line) > _MAX_LINE:
            return None
        try:
            text = line.decode()
            record = self._decoder.decode(line)
            if not _same(self._encoder.encode(record), line):
                nested.refuse_key_twice(text)
        except (ValueError, RecursionError, NotOrdinary):
            return None
        return record


class _Nested:
    """Texts of values that may be arrays or objects."""

    def __init__(self) -> None:
        def refuse(_: str) -> NoReturn:
            raise NotOrdinary

        def once(pairs: list[tuple[str, object]]) -> None:
            if len({key for key, _ in pairs}) < len(pairs):
                raise NotOrdinary

        self._strict = json.JSONDecoder(
            object_pairs_hook=once, parse_float=str, parse_int=str, parse_constant=refuse
        )
        self._decoder, self._encoder = msgspec.json.Decoder(), msgspec.json.Encoder()

    def refuse_key_twice(self, text: str) -> None:
        """Raise if an object of a JSON text, at any depth, has a key twice.

        Raises:
            NotOrdinary: It has.
            ValueError: The text is not JSON.
        """
        self._strict.decode(text)

    def text(self, token: bytes) -> str | bytes:
        """What Spark makes of a value: the text of a string, any other value without blanks.

        Raises:
            NotOrdinary: Spark might make something else of it.
            ValueError: It is a string with half a surrogate pair.
        """
        if token[:1] == b'"':
            return self._decoder.decode(token)
        if token[:1] not in b"{[":
            if len(token) > _MAX_NUMBER:
                raise NotOrdinary
            return token
        # Spark writes escapes, and characters of two UTF-16 units, in ways of its own.
        if (
            len(token) > _MAX_NESTED
            or b"\\" in token
            or token.count(b"{") + token.count(b"[") > _MAX_DEPTH
            or (not token.isascii() and max(token) >= 0xF0)
        ):
            raise NotOrdinary
        compact = msgspec.json.format(token, indent=-1)
        if self._encoder.encode(self._decoder.decode(compact)) != compact:
            self.refuse_key_twice(compact.decode())
        return compact


def _same(written: bytes, text: bytes) -> bool:
    """Whether two JSON texts differ in nothing but blanks.

    Between values a blank means nothing. Without them a string may be another one, but a record has
    as many keys as before; so a key that is in one of the texts only is seen.
    """
    return written == text or written.translate(None, b" ") == text.translate(None, b" ")
