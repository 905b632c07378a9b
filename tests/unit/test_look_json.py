import json as json_module
from collections import Counter

import pytest

from autoloader_dagster.formats.json.group import JsonGroup
from autoloader_dagster.formats.json.look import MAX_DOCUMENT_BYTES
from autoloader_dagster.formats.json.values import NESTED, Number
from autoloader_dagster.formats.text import MAX_LINE_BYTES
from tests.unit.look_steps import SAMPLES, json, look_at_bytes, look_at_folder

LINES, DOCUMENT = JsonGroup("lines"), JsonGroup("document", odd=False)
PROVEN = JsonGroup("document", odd=False, proven=True)


def look(tmp_path, data, **options):
    data = data if isinstance(data, bytes) else data.encode()
    return look_at_bytes(tmp_path, data, json(**options))


def test_real_cloudtrail_documents_show_their_records():
    looks = [
        found
        for found in look_at_folder(SAMPLES / "cloudtrail", json(record_path="Records"))
        if found.ref.path.endswith(".json")
    ]
    assert len(looks) == 14
    # One has a number with an exponent.
    assert Counter(look.group for look in looks) == {PROVEN: 13, JsonGroup("document"): 1}
    assert sum(look.rows or 0 for look in looks if look.group == PROVEN) == 687
    for found in looks:
        assert (found.bad, found.empty) == (None, False)
        assert {"eventTime", "eventName", "userIdentity"} <= set(found.columns)
        assert all(len(row) == len(found.columns) for row in found.sample)


@pytest.mark.parametrize(
    ("data", "group", "rows"),
    [
        ('[{"a":1,"b":{"c":["é"]}},{"d":null}]', PROVEN, 2),
        ('\ufeff[{"a":1}]\n', PROVEN, 1),
        # Spark would write the character as an escape, and a key as long as this has no column.
        ('[{"a":{"b":"\U0001f600"}}]', DOCUMENT, None),
        (f'[{{"a":1,"{"k" * 1001}":2}}]', DOCUMENT, None),
        ('[{"a":1},2]', JsonGroup("document", mixed=True, odd=False), None),
        ('[{"a":1.5}]', JsonGroup("document"), None),
    ],
)
def test_a_compact_document_is_proven_where_spark_changes_nothing(tmp_path, data, group, rows):
    found = look(tmp_path, data)
    assert (found.bad, found.group, found.rows) == (None, group, rows)


@pytest.mark.parametrize(
    ("data", "group"),
    [
        ('{"a": 1}\n{"a": 2}\n', LINES),
        ('\n {"a": 1}\r\n{"b": 2}', LINES),
        ('{"a": 1}', LINES),
        ('{\n "a": 1\n}\n', DOCUMENT),
        ('[{"a": 1},\n{"a": 2}]', DOCUMENT),
        ('\ufeff{"a": 1}\n', LINES),
        ('\ufeff[{"a": 1}]', DOCUMENT),
    ],
)
def test_the_layout_shows_in_the_beginning(tmp_path, data, group):
    found = look(tmp_path, data)
    assert (found.bad, found.group, found.empty) == (None, group, False)
    assert found.columns[0] == "a"


@pytest.mark.parametrize("number", ["1.5", "-0", "1e3", "2E+3", "9" * 36, "1.0"])
def test_a_document_with_a_number_that_spark_would_change_is_told_from_others(tmp_path, number):
    odd = look(tmp_path, f'[{{"a": {{"deep": [{number}]}}}}]')
    assert odd.group == JsonGroup("document", odd=True)
    plain = look(tmp_path, f'[{{"a": {{"deep": ["{number}", 0, -1, {"9" * 35}]}}}}]')
    assert plain.group == DOCUMENT


def test_a_document_with_values_that_are_no_records_is_told_from_others(tmp_path):
    for other in ("5", "null", '"{}"', "[{}]"):
        found = look(tmp_path, f'[{{"a": 1}}, {other}]')
        assert found.group == JsonGroup("document", mixed=True, odd=False), other


def test_one_document_on_one_line_has_records_at_its_path(tmp_path):
    found = look(tmp_path, '{"data": {"items": [{"a": 1}, {"b": "x"}]}}', record_path="data.items")
    assert (found.group, found.columns) == (DOCUMENT, ("a", "b"))
    assert found.sample == ((Number("1"), None), (None, "x"))


def test_values_keep_their_digits_and_kinds(tmp_path):
    data = (
        '{"a": 1.10, "b": 123456789012345678901, "c": true, "d": null, "e": {"x": 1}, "f": "1"}\n'
    )
    found = look(tmp_path, data)
    (row,) = found.sample
    assert row == ("1.10", "123456789012345678901", True, None, NESTED, "1")
    assert [type(value) for value in row[:2]] == [Number, Number]
    assert type(row[5]) is str


def test_a_key_that_comes_late_has_a_value_in_the_sample(tmp_path):
    records = [{"a": i} for i in range(500)] + [{"late": 7}]
    found = look(tmp_path, json_module.dumps(records))
    assert found.columns == ("a", "late")
    assert len(found.sample) == 501
    assert found.sample[-1] == (None, Number("7"))
    found = look(tmp_path, "\n".join(map(json_module.dumps, records)))
    assert found.columns == ("a", "late")


@pytest.mark.parametrize(
    ("data", "path"),
    [('{"Records": []}', "Records"), ("[]", None), ("[ ]", "Records"), ('[{"r": []}]', "r")],
)
def test_no_records_is_a_good_file_without_rows(tmp_path, data, path):
    found = look(tmp_path, data, record_path=path)
    assert (found.bad, found.empty) == (None, True)


@pytest.mark.parametrize(
    ("data", "path", "what"),
    [
        (
            '{"Error": "x", "Code": 1}',
            "Records",
            "has no 'Records'; the keys at the top are: Error, Code",
        ),
        ("{}", "Records", "are: none"),
        ('{"data": {"x": 1}}', "data.items", "the keys at 'data' are: x"),
        ('{"data": [1]}', "data.items", "at 'data' there is an array"),
        ('{"Records": null}', "Records", "has null at 'Records', not an array"),
        ('{"Records": {"a": 1}}', "Records", "has an object at 'Records'"),
        ('{"Records": "x"}', "Records", "has the value 'x' at 'Records'"),
        (
            '[{"a": 1}]',
            "Records",
            "is an array, and record_path 'Records' is looked for in each object of it; the keys "
            "there are: a. If the elements are the records, remove format.options.record_path",
        ),
        (
            "[1]",
            "Records",
            "is an array, and record_path 'Records' is looked for in each object of it; there is "
            "the value '1'. If",
        ),
        ('[{"d": {"x": 1}}]', "d.r", "has no 'd.r'; the keys at 'd' are: x"),
        ("[1, 2]", None, "no element is a record"),
    ],
)
def test_a_document_without_the_records_says_what_it_has(tmp_path, data, path, what):
    found = look(tmp_path, data, record_path=path)
    assert found.bad.error_type == "NoRecords"
    assert what in found.bad.message


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ('{"Records": [{"a": 1}, {"a":', {"record_path": "Records"}),
        ('[{"a": 1}, {"a": "te', {}),
        ('[{"a": 1}', {}),
        ('{"a": 1}\n{"a": "te', {}),
        ('{"a": 1}\n{"a": {"b": 1}', {}),
        ('{"a": 1}\n' * 100_000 + '{"a"', {}),
        ('{"a": 1}\n' + '{"a": "' + "x" * 400_000, {}),
        ("[" + '{"a": 1},' * (MAX_DOCUMENT_BYTES // 9 + 1), {}),
    ],
)
def test_a_file_that_was_cut_is_set_aside(tmp_path, data, options):
    found = look(tmp_path, data, **options)
    assert found.bad.error_type == "TruncatedJson"
    assert "ends in the middle" in found.bad.message


@pytest.mark.parametrize(
    "data",
    [
        '{"a": 1}\n{"a": 2 oops}\n',
        '{"a": 1}\n{"a": oops}',
        '{"a": 1}\nnot json',
        '{"a": 1}\n{"a": NaN}',
        '{"a": 1}\n' + "[" * 100_000,
    ],
)
def test_one_bad_line_is_a_bad_row_and_not_a_bad_file(tmp_path, data):
    assert look(tmp_path, data).bad is None


@pytest.mark.parametrize(
    ("data", "options", "error_type", "what"),
    [
        ("", {}, "EmptyFile", "0 bytes"),
        (" \n ", {}, "EmptyFile", "nothing but blanks"),
        (" " * 300_000 + "{}", {}, "NotJson", "256 KiB of blanks"),
        ("<html>", {}, "NotJson", "begins with '<html>'"),
        ("a,b\n1,2\n", {}, "NotJson", "begins with 'a,b·1,2'"),
        ("a,b\n", {"layout": "document"}, "NotJson", "not a JSON document"),
        ('{\n"a": x}', {}, "NotJson", "line 2, column 6"),
        ('[{"a": NaN}]', {}, "NotJson", "NaN, which JSON does not have"),
        ('[{"a": 1}]\n[{"a": 2 x}]', {}, "NotJson", "from line 2 on, after 1 record"),
        ('{"a": 1}{"a": 2} garbage', {}, "NotJson", "after 2 records"),
        ("[1]\n", {"layout": "lines"}, "NotJson", "each line should be one record"),
        ("{\n}\n", {"layout": "lines"}, "NotJson", "first line is not a JSON value"),
        ("[" * 100_000 + "]" * 100_000, {}, "TooDeep", "nested too deeply"),
        ('{"a":' * 100_000 + "\n", {"layout": "lines"}, "TooDeep", "nested too deeply"),
        (b'{"a": "\xff"}', {}, "WrongEncoding", "convert the file"),
        ('{"a": 1}'.encode("utf-16"), {}, "WrongEncoding", "UTF-16LE"),
        (b'{"a": "\0"}', {}, "NulBytes", "NUL byte"),
        (b"PK\x03\x04", {}, "UnsupportedCompression", "zip"),
        (
            json_module.dumps([{f"k{i}": 1 for i in range(20_001)}]),
            {},
            "TooManyColumns",
            "keys that are values",
        ),
    ],
)
def test_what_is_not_json(tmp_path, data, options, error_type, what):
    found = look(tmp_path, data, **options)
    assert found.bad.error_type == error_type
    assert what in found.bad.message
    assert len(found.bad.message) < 400


def test_a_large_document_is_looked_at_by_its_ends(tmp_path):
    records = (
        '{"Records": [' + '{"a": 1, "b": "x"},' * (MAX_DOCUMENT_BYTES // 19 + 1) + '{"a": 1}]}'
    )
    found = look(tmp_path, records, record_path="Records")
    assert (found.bad, found.columns, found.empty) == (None, ("a", "b"), False)
    assert 50 <= len(found.sample) <= 16_000
    assert (look(tmp_path, records).split, found.split) == (True, True)


def test_long_lines(tmp_path):
    line = '{"a": "' + "x" * 700_000 + '"}\n'
    assert look(tmp_path, line * 2).group == LINES
    found = look(tmp_path, '{"a": "' + "x" * (MAX_LINE_BYTES + 9 * 2**20), layout="lines")
    assert found.bad.error_type == "LineTooLong"
