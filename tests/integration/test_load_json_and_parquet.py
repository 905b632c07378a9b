"""JSON lines, JSON documents and Parquet to the table's columns."""

import json
from datetime import datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fixtures.lake import Lake


def test_json_lines_keep_every_key(lake: Lake) -> None:
    folder = lake.folder()
    lines = [
        {"id": 1, "name": "one", "nested": {"a": [1, 2]}, "ok": True},
        {"id": 2, "name": None, "late": "x"},
        {"id": "three", "name": "3"},
    ]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\nnot json\n[1]\n")
    ingestion = lake.ingestion("lines", format={"type": "json"}, schema={"hints": {"id": "bigint"}})

    (outcome,) = lake.load(ingestion)

    assert (outcome.rows, outcome.bad_rows) == (5, 3)
    rows = lake.rows("lines", "id", "name", "nested", "ok", "late", "_rescued")
    assert (1, "one", '{"a":[1,2]}', True, None, None) in rows
    assert (2, None, None, None, "x", None) in rows
    assert (None, "3", None, None, None, '{"id":"three"}') in rows
    rescued = [row[5] for row in rows if row[:2] == (None, None)]
    assert sorted(rescued) == ['{"_row":"[1]"}', '{"_row":"not json"}']


def test_a_key_that_the_sample_did_not_show_is_rescued(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.jsonl").write_text('{"id":1}\n')
    ingestion = lake.ingestion("deep", format={"type": "json"})
    lake.load(ingestion)
    (folder / "b.jsonl").write_text('{"id":2}\n' * 40_000 + '{"id":3,"hidden":"value"}\n')

    lake.load(ingestion)

    table = lake.table("deep")
    hidden = table.column("hidden").to_pylist() if "hidden" in table.column_names else []
    rescued = table.column("_rescued").to_pylist()
    assert hidden.count("value") + rescued.count('{"hidden":"value"}') == 1
    assert table.num_rows == 40_002


def test_a_document_with_a_record_path(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.json").write_text(
        json.dumps({"Records": [{"eventId": "a", "n": 1}, {"eventId": "b", "deep": {"x": 1}}]})
    )
    (folder / "b.json").write_text('{"Records": []}')
    (folder / "c.json").write_text('{"Error": "denied"}')
    (folder / "d.json").write_text('{"Records": [{"eventId": "c"}')
    ingestion = lake.ingestion(
        "events", format={"type": "json", "options": {"record_path": "Records"}}
    )

    (outcome,) = lake.load(ingestion)

    assert lake.rows("events", "eventid", "n", "deep") == [
        ("a", 1, None),
        ("b", None, '{"x":1}'),
    ]
    assert lake.statuses(ingestion) == {
        "a.json": "SUCCESS",
        "b.json": "SUCCESS",
        "c.json": "QUARANTINED",
        "d.json": "QUARANTINED",
    }
    assert all(f.reason for f in outcome.files if f.status == "QUARANTINED")


def test_an_array_document_gives_a_row_an_element(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.json").write_text('[\n {"id": 1},\n {"id": 2}\n]')
    (folder / "b.json").write_text('{\n "id": 3\n}\n')
    ingestion = lake.ingestion("array", format={"type": "json"})

    lake.load(ingestion)

    assert lake.rows("array", "id") == [(1,), (2,), (3,)]


def test_parquet_timestamps_in_nanoseconds_lose_nothing(lake: Lake) -> None:
    whole, fine = 1_700_000_000_123_456_000, 1_700_000_000_123_456_789
    pq.write_table(
        pa.table(
            {
                "local": pa.array([whole, fine, -1_000], pa.timestamp("ns")),
                "instant": pa.array([whole, whole, None], pa.timestamp("ns", "UTC")),
            }
        ),
        lake.folder() / "pandas.parquet",
    )
    ingestion = lake.ingestion("nanos", format={"type": "parquet"})

    lake.load(ingestion)

    moment = datetime(2023, 11, 14, 22, 13, 20, 123456)
    aware = moment.replace(tzinfo=timezone.utc)
    before = datetime(1969, 12, 31, 23, 59, 59, 999999)
    assert lake.rows("nanos", "local", "instant", "_rescued") == sorted(
        [(moment, aware, None), (None, aware, f'{{"local":{fine}}}'), (before, None, None)],
        key=repr,
    )


def test_parquet_of_several_schemas_is_united_by_name(lake: Lake) -> None:
    folder = lake.folder()
    pq.write_table(
        pa.table(
            {
                "Id": pa.array([1, 2], pa.int64()),
                "price": pa.array([Decimal("1.10"), None], pa.decimal128(10, 2)),
                "tags": pa.array([["a"], None]),
            }
        ),
        folder / "a.parquet",
    )
    ingestion = lake.ingestion("parquet", format={"type": "parquet"})
    lake.load(ingestion)
    pq.write_table(
        pa.table({"price": pa.array([2.5]), "Id": pa.array([3.5]), "more": pa.array(["x"])}),
        folder / "b.parquet",
    )
    pq.write_table(pa.table({"Id": pa.array([4], pa.int32())}), folder / "c.parquet")

    (outcome,) = lake.load(ingestion)

    assert (outcome.rows, outcome.bad_rows) == (2, 1)
    assert lake.rows("parquet", "id", "price", "tags", "more", "_rescued") == sorted(
        [
            (1, Decimal("1.10"), ["a"], None, None),
            (2, None, None, None, None),
            (None, Decimal("2.50"), None, "x", '{"Id":3.5}'),
            (4, None, None, None, None),
        ],
        key=repr,
    )


def test_parquet_files_of_one_batch_share_a_type_that_holds_both(lake: Lake) -> None:
    folder = lake.folder()
    pq.write_table(pa.table({"n": pa.array([1], pa.int32())}), folder / "a.parquet")
    pq.write_table(pa.table({"n": pa.array([2**40], pa.int64())}), folder / "b.parquet")
    pq.write_table(pa.table({"n": pa.array([2.5], pa.float64())}), folder / "c.parquet")
    ingestion = lake.ingestion("widths", format={"type": "parquet"})

    (outcome,) = lake.load(ingestion)

    assert outcome.bad_rows == 0
    assert lake.table("widths").schema.field("n").type == pa.float64()
    assert lake.rows("widths", "n") == [(1.0,), (1099511627776.0,), (2.5,)]
