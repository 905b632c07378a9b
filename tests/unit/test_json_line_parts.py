"""Lines are taken apart without a loss, or left to Spark."""

import json
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from pyspark import cloudpickle

from autoloader_dagster.formats.json import line_parts
from autoloader_dagster.formats.json.line_parts import take_apart, try_out

KEYS = ["a", "b"]


def parts(lines: list[str | bytes], keys: list[str] = KEYS) -> list[list[str | None] | None]:
    """The texts of the keys of each line; None for one that is left to Spark."""
    data = [line.encode() if isinstance(line, str) else line for line in lines]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(data, pa.binary()), pa.array(data, pa.binary())], ["value", "_file"]
    )
    (found,) = take_apart(keys)(iter([batch]))
    assert found.schema.names == ["value", "_file", "_parts"]
    assert found.column("value").to_pylist() == data
    structs: list[dict[str, Any] | None] = found.column("_parts").to_pylist()
    assert all(struct is None or struct.pop("_fault") is None for struct in structs)
    return [None if struct is None else [*struct.values()] for struct in structs]


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ('{"a":"x","b":1}', ["x", "1"]),
        ('{"b": 1.10, "a": "x, y: z"}', ["x, y: z", "1.10"]),
        (' { "a" : true , "b" : null } ', ["true", None]),
        ("{}", [None, None]),
        ('{"a": 1E400, "b": -0}', ["1E400", "-0"]),
        ('{"a": 123456789012345678901234567890123456789}', ["1234567890" * 3 + "123456789", None]),
        ('{"a": "ü", "b": "\\u00fc\\n\\/\\ud83d\\ude00"}', ["ü", "ü\n/\U0001f600"]),
        ('{"a": "", "b": " "}', ["", " "]),
        ('{"a": [1, 2.50, "x, y"]}', ['[1,2.50,"x, y"]', None]),
        ('{"b": {"c": {}, "d" : [ ]}}', [None, '{"c":{},"d":[]}']),
        ('{"\\u0061": "1"}', ["1", None]),
    ],
)  # fmt: skip
def test_an_ordinary_line_gives_the_text_of_each_key(line: str, texts: list[str | None]) -> None:
    assert parts([line]) == [texts]
    # Beside lines of other kinds too, which were learned from.
    assert parts(['{"a":"x","b":"y"}', line, '{"c":1}']) == [["x", "y"], texts, None]
    assert parts(['{"a":1}'] * 30 + [line]) == [["1", None]] * 30 + [texts]


@pytest.mark.parametrize(
    "line",
    [
        "", "x", "1", "null", "[]", '[{"a":1}]', '{"a":1', '{"a":1}}', '{"a":1}{"b":2}', '{"a":1},',
        '{"a":1} {"a":2}', '{"a":01}', '{"a":1.}', '{"a":NaN}', '{"a":tru}', '{"a":1,}', "{'a':1}",
        '{"a":1,"a":1}', '{"a":1, "a":2}', '{"a":"x","\\u0061":"y"}', '{"a":{"x":1,"x":1}}',
        '{"a":[{"x":1.5,"x":2}]}', '{"z":1}', '{"a":1,"z":null}', '{"A":1}', '{"a":"\\ud800"}',
        '{"a":"\\udc00\\ud800"}', '{"a":"\t"}', '{"a":"\\x"}', b'{"a":"\xff"}', b'{"a":[1,"\xff"]}',
        b'\xef\xbb\xbf{"a":1}', '{"a":["\\u00fc"]}', '{"a":["\U0001f600"]}', '{"a":1}\x00',
        '{"a":' + "9" * 101 + "}", '{"a":' + "[" * 101 + "]" * 101 + "}",
        '{"a":["' + "x" * 20_000 + '"]}', '{"a":"' + "x" * (1 << 20) + '"}',
    ],
)  # fmt: skip
def test_what_is_out_of_the_ordinary_is_left_to_spark(line: str | bytes) -> None:
    assert parts([line]) == [None]
    others: list[str | bytes] = ['{"a":"x","b":1}', '{"a": "x", "b": 1}']
    assert parts([*others, line, *others]) == [["x", "1"]] * 2 + [None] + [["x", "1"]] * 2


def test_two_faults_do_not_hide_each_other() -> None:
    # One line lacks as many characters as the next has too many.
    lines: list[str | bytes] = [
        '{"a":"\\u00fc"}',
        '{"a":1,"a":1}',
        '{"a":1}',
        '{"a":1}{"a":2}',
        "{",
    ]
    assert parts(lines) == [["ü", None], None, ["1", None], None, None]


def test_keys_that_are_no_names_are_left_to_spark() -> None:
    keys = ["", "a.b", "é", "x y", 'quo"te', "back\\slash", "new\nline"]
    known = dict.fromkeys(keys[:4], "v")
    odd = [json.dumps({key: "v"}) for key in keys[4:]]
    assert parts([json.dumps(known), *odd], keys) == [["v"] * 4 + [None] * 3, None, None, None]
    assert parts(["{}", '{"a":1}'], []) == [[], None]


def test_no_lines_give_no_parts() -> None:
    assert parts([]) == []


def test_workers_without_this_package_can_run_it() -> None:
    cloudpickle.register_pickle_by_value(line_parts)
    try:
        sent = cloudpickle.dumps([take_apart(KEYS), try_out])
    finally:
        cloudpickle.unregister_pickle_by_value(line_parts)
    there = """
import sys
sys.modules["autoloader_dagster"] = None
import pickle
import pyarrow as pa
_, tried = pickle.load(sys.stdin.buffer)
(found,) = tried(iter([pa.RecordBatch.from_pydict({"id": [0]})]))
print(found.to_pydict())
"""
    done = subprocess.run(
        [sys.executable, "-c", there], input=sent, capture_output=True, timeout=60, check=False
    )
    assert (done.stdout.decode(), done.stderr.decode()) == ("{'works': [True]}\n", "")
