"""Records are found whichever way the text is cut into chunks."""

import json
import random

import pytest

from autoloader_dagster.formats.json.records import Records
from autoloader_dagster.formats.outcome import BadFile


def _found(text: str, size: int, path: str | None = None, limit: int = 10**6) -> list[str]:
    data = text.encode()
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    return [written for written, _ in Records(chunks, path, limit)]


def test_records_do_not_depend_on_where_chunks_end() -> None:
    rng = random.Random(7)
    values = ['{"a": "é\\u00e9\\"}{"}', "-1.50e+10", "null", "[1, [2]]", '"x"', "{}", "true", "12"]
    for _ in range(300):
        some = [rng.choice(values) for _ in range(rng.randrange(1, 6))]
        joined = rng.choice([" ", "\n", ", ", "\r\n"]).join(some)
        for size in (1, 2, 3, 7, 64):
            assert _found("[" + ",\n".join(some) + "]", size) == some
            assert _found(f'{{"x": [1], "r": [{", ".join(some)}], "y": "z"}} ', size, "r") == some
            assert _found(joined, size) == [
                part for one in some for part in (["1", "[2]"] if one == "[1, [2]]" else [one])
            ]


@pytest.mark.parametrize(
    ("text", "path", "error_type"),
    [
        ("[1, 2", None, "TruncatedJson"),
        ('[{"a": "x', None, "TruncatedJson"),
        ('{"r": [1', "r", "TruncatedJson"),
        ("[1, 2] x", None, "NotJson"),
        ("[1,]", None, "NotJson"),
        ("[1 2]", None, "NotJson"),
        ("{},,{}", None, "NotJson"),
        ("[NaN]", None, "NotJson"),
        ('{"r": [1],}', "r", "NotJson"),
        ('{"r": {"s": 1}}', "r", "NoRecords"),
        ('{"s": [1]}', "r", "NoRecords"),
        ('[{"r": []}, {"s": 1}]', "r", "NoRecords"),
        ("[" * 100_000, None, "TooDeep"),
    ],
)
def test_what_is_broken_is_named_wherever_chunks_end(
    text: str, path: str | None, error_type: str
) -> None:
    for size in (3, 100, 1_000_000) if len(text) < 1000 else (1_000_000,):
        with pytest.raises(BadFile) as caught:
            _found(text, size, path)
        assert caught.value.bad.error_type == error_type


def test_an_array_where_an_object_is_expected_says_so() -> None:
    with pytest.raises(BadFile) as caught:
        _found('[{"a": 1, "b": 2}]', 3, "r")
    assert caught.value.bad.message == (
        "is an array, and record_path 'r' is looked for in each object of it; the keys there are: "
        "a, b. If the elements are the records, remove format.options.record_path"
    )


def test_a_value_is_held_up_to_a_limit() -> None:
    values = [json.dumps({"a": "x" * 900})] * 50
    assert _found("".join(values), 100, limit=1000) == values
    with pytest.raises(BadFile) as caught:
        _found(json.dumps({"a": "x" * 5000}), 100, limit=1000)
    assert caught.value.bad.error_type == "LineTooLong"
