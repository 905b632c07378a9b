"""JSON of every layout: no record is lost and no number changed, whatever a file holds."""

import gzip
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from autoloader_dagster.formats.json.look import MAX_DOCUMENT_BYTES
from autoloader_dagster.loading.ingestion import FileOutcome
from tests.fixtures.lake import Lake


def _write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def _by_file(lake: Lake, table: str, *columns: str) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for source, *values in lake.rows(table, "_source_file", *columns):
        found.setdefault(Path(source).name, []).append(tuple(values))
    return found


def _quarantined(outcomes: list[Any]) -> dict[str, FileOutcome]:
    files = [file for outcome in outcomes for file in outcome.files]
    return {Path(file.path).name: file for file in files if file.status == "QUARANTINED"}


def test_values_one_after_the_other_all_load(lake: Lake) -> None:
    head = '{"id":1}\n'
    _write(
        lake.folder(),
        {
            "seam.json": head + '{"id":2}{"id":3}\n{"id":4},{"id":5} \n\n{"id":6},\n',
            "string.json": head + '{"id":2,"name":"}{"}\n',
            "array.json": '[{"id":1}]\n[{"id":2},{"id":3}]\n',
            "one_line.json": '{"id":1}{"id":2} {"id":3}',
            "commas.json": '{"id":1},\n{"id":2},\n',
            "pretty.json": '{\n "id": 1\n}\n{\n "id": 2, "name": "a\\nb"\n}\n[{"id":3}]',
            "zipped.json.gz": gzip.compress(b'[{"id":1}][{"id":2}]'),
            "crlf.json": b'\xef\xbb\xbf{"id":1}\r\n\r\n{"id":2}{"id":3}\r\n',
            # Something in between is broken: a row, where the lines are records; else the file.
            "garbage.json": head + '{"id":6} garbage\n{"id":7}\n{"id":8}]],[[{"id":9}\n',
            "nested_seam.json": head + '{"id":2,"name":[{}{}]},{"id":3}\n',
            "twice.json": head + '{"id":2,"id":3}\n{"id":4}\n',
            "null.json": head + "null\n5\n[]\n",
            "broken.json": '{"id":1}{"id":2}{"id":}{"id":4}',
            "cut.json": '{"id":1}{"id":2}{"id":',
            "latin.json": head * 60_000 + '{"id":2,"name":"',
            "halves.json": '[{"id":1},{"id":2,"name":"\\udfaa"},{"id":3,"name":"\\ud83d\\ude00"}]',
        },
    )
    with (lake.folder() / "latin.json").open("ab") as file:
        file.write(b'\xfc"}\n' + head.encode() * 60_000)
    ingestion = lake.ingestion("values", format={"type": "json"})

    outcomes = lake.load(ingestion)

    rows = _by_file(lake, "values", "id", "name", "_rescued")
    ids = {name: sorted(row[0] for row in of if row[0] is not None) for name, of in rows.items()}
    assert ids == {
        "seam.json": [1, 2, 3, 4, 5, 6],
        "string.json": [1, 2],
        "array.json": [1, 2, 3],
        "one_line.json": [1, 2, 3],
        "commas.json": [1, 2],
        "pretty.json": [1, 2, 3],
        "zipped.json.gz": [1, 2],
        "crlf.json": [1, 2, 3],
        "garbage.json": [1, 7],
        "nested_seam.json": [1],
        "twice.json": [1, 4],
        "null.json": [1],
        "halves.json": [1, 3],
    }
    rescued = {name: [json.loads(r[2])["_row"] for r in of if r[2]] for name, of in rows.items()}
    assert {name: sorted(texts) for name, texts in rescued.items() if texts} == {
        "garbage.json": ['{"id":6} garbage', '{"id":8}]],[[{"id":9}'],
        "nested_seam.json": ['{"id":2,"name":[{}{}]},{"id":3}'],
        "twice.json": ['{"id":2,"id":3}'],
        "null.json": ["5", "[]", "null"],
        "halves.json": ['{"id":2,"name":"\\udfaa"}'],
    }
    assert (2, "}{", None) in rows["string.json"]
    assert (2, "a\nb", None) in rows["pretty.json"]
    assert (3, "😀", None) in rows["halves.json"]
    bad = _quarantined(outcomes)
    assert {name: file.error_type for name, file in bad.items()} == {
        "broken.json": "NotJson",
        "cut.json": "TruncatedJson",
        "latin.json": "WrongEncoding",
    }
    assert "after 2 records" in str(bad["broken.json"].reason)


def test_large_texts_load_every_record(lake: Lake) -> None:
    count = MAX_DOCUMENT_BYTES // 20_000 + 100
    folder, name = lake.folder(), "x" * 20_000
    with (folder / "pretty.json").open("w") as file:
        for i in range(count):
            file.write(f'{{\n "id": {i},\n "name": "{name}"\n}}\n')
    with (folder / "one_line.json").open("w") as file:
        for i in range(count):
            file.write(f'{{"id":{i},"name":"{name}"}}')
    with gzip.open(folder / "arrays.json.gz", "wt", compresslevel=1) as file:
        for half in range(2):
            file.write("[" if not half else "\n[")
            for i in range(count):
                file.write(f'{"," if i else ""}{{"id":{i},"name":"{name}"}}')
            file.write("]")
    (folder / "broken.json").write_text(f'{{"id":1,"name":"{name}"}}' * count + "x{}")
    ingestion = lake.ingestion("large", format={"type": "json"})

    outcomes = lake.load(ingestion)

    once = Counter(range(count))
    assert lake.ids("large") == Counter(dict.fromkeys(once, 4))
    (bad,) = _quarantined(outcomes).values()
    assert bad.error_type == "NotJson"
    assert f"after {count:,} records" in str(bad.reason)


def test_numbers_keep_the_characters_they_were_written_with(lake: Lake) -> None:
    long = "12345678901234567890123456789012345678901234567890"
    numbers = ["1.10", "100.0", "1e400", "-0", "-0.0", "1E3", long, f"0.{long}", "1.5", "7", "1e-5"]
    lines = [
        f'{{"text":{n},"deep":{{"b":"1.10, 2","a":[{n} , {{"c": {n}}}]}},"new":{n},"dec":{n},'
        f'"far":{n},"big":{n}}}'
        for n in numbers
    ]
    folder = lake.folder()
    _write(folder, {"a.json": "\n".join(lines), "b.json": f"[{','.join(lines)}]"})
    hints = {"text": "string", "dec": "decimal(10,2)", "far": "double", "big": "bigint"}
    parts = {"format": {"type": "json"}, "schema": {"hints": hints}}
    ingestion = lake.ingestion("numbers", **parts)
    lake.load(ingestion)
    # A key without a column; a line beyond the sample, so that it gets none.
    filler = '{"text":"x"}\n' * 60_000
    (folder / "c.json").write_text(
        filler + "".join(f'{{"text":"y","late":{{"b": {n}}}}}\n' for n in numbers) + filler
    )
    lake.load(ingestion)

    rows = _by_file(lake, "numbers", "text", "deep", "dec", "far", "big", "_rescued")
    for name in ("a.json", "b.json"):
        assert Counter(row[0] for row in rows[name]) == Counter(numbers)
        for text, deep, dec, far, big, rescued in rows[name]:
            assert deep == f'{{"b":"1.10, 2","a":[{text},{{"c":{text}}}]}}'
            left = json.loads(rescued, parse_float=str, parse_int=str) if rescued else {}
            assert dec == Decimal(text) if dec is not None else left.pop("dec") == text
            assert big == int(Decimal(text)) if big is not None else left.pop("big") == text
            if far is None:
                assert left.pop("far") == text
            assert set(left) <= {"new"}
            assert left.get("new", text) == text
    late = [row[5] for row in rows["c.json"] if row[0] == "y"]
    assert sorted(late) == sorted(f'{{"late":{{"b":{n}}}}}' for n in numbers)


def test_every_key_has_its_column_or_is_rescued(lake: Lake) -> None:
    keys = [
        "", " ", "a.b", "a[0]", "$", 'quo"te', "back\\slash", "it's", "${env:HOME}", "`tick`",
        "new\nline", "\u0001", "k" * 300, "😀", "A", "a", "_row", "_rescued", "column_empty", "]",
    ]  # fmt: skip
    folder = lake.folder()
    lines = [json.dumps({key: f"v{i}"}) for i, key in enumerate(keys)]
    _write(folder, {"a.json": "\n".join(lines) + '\n{"\\udfaa":0}\n', "b.json": '{"\\uDFAA":1}'})
    ingestion = lake.ingestion("keys", format={"type": "json"})

    lake.load(ingestion)
    _write(folder, {"c.json": "\n".join(lines)})
    lake.load(ingestion)

    table = lake.table("keys")
    data = [name for name in table.column_names if name != "_rescued" and name[0] != "_"]
    rows = [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]
    for name in ("a.json", "c.json"):
        of = [row for row in rows if row["_source_file"].endswith(name)]
        found = Counter(row[column] for row in of for column in data if column in row)
        assert found == Counter(f"v{i}" for i in range(len(keys)))
    # A key that is called so keeps the name.
    empty = [row for row in rows if row.get("column_empty_2") == "v0"]
    assert len(empty) == 2
    assert len(data) == len(keys)
    halves = [row["_rescued"] for row in rows if "_rescued" in row]
    assert sorted(halves) == [
        json.dumps({"_row": '{"\\uDFAA":1}'}, separators=(",", ":")),
        json.dumps({"_row": '{"\\udfaa":0}'}, separators=(",", ":")),
    ]


def test_a_column_may_have_any_name(lake: Lake) -> None:
    keys = ["x", "k", "_k", "_x", "_v", "_c", "_m", "_odd", "_raw_0", "_value_0", "value", "_w"]
    lines = [json.dumps(dict.fromkeys(keys, value)) for value in (1, [], 2)]
    _write(lake.folder(), {"a.json": "\n".join(lines), "b.json": "\n".join(lines)})
    hints = dict.fromkeys(keys, "bigint")
    ingestion = lake.ingestion(
        "names", format={"type": "json"}, schema={"names": "original", "hints": hints}
    )

    lake.load(ingestion)

    rows = lake.rows("names", *keys, "_rescued")
    assert rows[:4] == [(1,) * len(keys) + (None,)] * 2 + [(2,) * len(keys) + (None,)] * 2
    assert [json.loads(row[-1]) for row in rows[4:]] == [{key: [] for key in keys}] * 2


def test_nested_text_has_its_characters_and_keys_as_they_are_written(lake: Lake) -> None:
    lines = [
        '{"n":1,"text":"\\\\uD83D\\\\uDE00 [1]","deep": {"b" : "\u00e9",'
        ' "a":[ 1, 2.50 ]},"A":1,"a":2}',
        '{"n":2,"text":"\U0001f600","deep": ["\U0001f600", "\\ud83d\\ude01"],"A":3,"a":4}',
        # Several values on a line, and values that are no records.
        '{"n":3,"deep":{"d":1,"c":2}} {"n":4,"deep":[]} [{"y":1,"x":2}]',
    ]
    _write(lake.folder(), {"a.json": "\n".join(lines), "b.json": f"[{','.join(lines[:2])}]"})
    hints = {"text": "string", "deep": "string"}
    lake.load(lake.ingestion("text", format={"type": "json"}, schema={"hints": hints}))

    rows = _by_file(lake, "text", "n", "text", "deep", "a", "a_2", "_rescued")
    whole = [
        (1, "\\uD83D\\uDE00 [1]", '{"b":"\u00e9","a":[1,2.50]}', 1, 2, None),
        (2, "\U0001f600", '["\U0001f600","\U0001f601"]', 3, 4, None),
    ]
    assert sorted(rows["b.json"]) == whole
    assert sorted(rows["a.json"], key=lambda row: row[0] or 9) == [
        *whole,
        (3, None, '{"d":1,"c":2}', None, None, None),
        (4, None, "[]", None, None, None),
        (None, None, None, None, None, '{"_row":"[{\\"y\\":1,\\"x\\":2}]"}'),
    ]
