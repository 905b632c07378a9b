"""What a JSON document proves that comes out the same when it is written again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoloader_dagster.formats.json.values import NotCanonical, parse_canonical

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**34), 10**34) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "text",
    ['{"a":1}', "[]", ' [{"a":"é 😀"}]\r\n', '{"a":{"b":[1,null,true]}}', '{"a":"\\t\\""}', "-5"],
)
def test_what_most_programs_write_is_parsed(text: str) -> None:
    assert parse_canonical(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"a":1,"a":2}',
        b'[{"x":{"a":1,"a":1}}]',
        b'{"a":1.5}',
        b'{"a":1e3}',
        b'{"a":-0}',
        b'{"a":123456789012345678901234567890123456}',
        b'{"a": 1}',
        b'{"a":1} {"a":2}',
        b'{"a":1}x',
        b'{"a":1',
        b'{"a":01}',
        b'{"a":NaN}',
        b'{"a":"\\u0061"}',
        b'{"a":"\\/"}',
        b'{"a":"\\ud83d"}',
        b'{"a":"\xff"}',
        b'{"a":"\t"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1,}',
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_needs_a_closer_look_is_not(text: bytes) -> None:
    with pytest.raises(NotCanonical):
        parse_canonical(text)


@given(_VALUES)
def test_a_value_that_is_written_without_blanks_comes_back(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Python escapes one character that others do not.
    if "\x7f" in text:
        return
    assert parse_canonical(text.encode()) == value


@given(_VALUES, st.data())
def test_a_changed_text_is_taken_only_if_it_is_sound(value: object, data: st.DataObject) -> None:
    text = json.dumps([value, value], ensure_ascii=False, separators=(",", ":"))
    at = data.draw(st.integers(0, len(text)))
    put = data.draw(st.sampled_from(["", ",", ":", "0", "-0", "1.5", '"', "}", "]", '"a":1,', " "]))
    changed = (text[:at] + put + text[at + data.draw(st.integers(0, 3)) :]).encode()
    try:
        taken = parse_canonical(changed)
    except NotCanonical:
        return

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(pairs)) == len(pairs), changed
        return dict(pairs)

    def refused(written: str) -> None:
        raise AssertionError(f"{written} was taken in {changed!r}")

    options = {"parse_float": refused, "parse_constant": refused, "object_pairs_hook": once}
    assert json.loads(changed, **options) == taken
