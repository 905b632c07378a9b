"""Parquet files whose footer, columns or values are unusual, and what they leave of good ones."""

from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.errors import SpecError
from autoloader_dagster.loading.preview import preview
from autoloader_dagster.spark.session import connect
from tests.fixtures.lake import Lake

PARQUET = {"type": "parquet"}


def write(path: Path, table: dict[str, Any] | pa.Table, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path, **options)
    return path


def with_total(path: Path, rows: int, noted: int) -> None:
    """Have the footer note another total than its row groups have."""
    data = path.read_bytes()
    # Field 3 of the footer, a zigzag number; field 4 is the list of row groups.
    before = b"\x16" + bytes([2 * rows]) + b"\x19"
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, b"\x16" + bytes([2 * noted]) + b"\x19"))


def reasons(outcome: Any) -> dict[str, str]:
    return {
        Path(f.path).name: f"{f.status} {f.error_type}: {f.reason}"
        for f in outcome.files
        if f.status != "SUCCESS"
    }


def test_rows_are_those_of_the_row_groups_and_a_footer_must_not_contradict_itself(
    lake: Lake,
) -> None:
    folder = lake.folder()
    for name, noted in (("none", 0), ("less", 2), ("more", 9)):
        path = write(folder / f"{name}.parquet", {"id": list(range(6))}, row_group_size=3)
        with_total(path, 6, noted)
    with_total(write(folder / "empty.parquet", {"id": pa.array([], pa.int64())}), 0, 5)
    ingestion = lake.ingestion("totals", format=PARQUET)

    (outcome,) = lake.load(ingestion)

    assert outcome.rows == 6
    assert sorted(lake.ids("totals").values()) == [1] * 6
    assert lake.statuses(ingestion) == {
        "none.parquet": "SUCCESS",
        "less.parquet": "QUARANTINED",
        "more.parquet": "QUARANTINED",
        "empty.parquet": "QUARANTINED",
    }
    assert "9 rows in all, and 6 in its row groups" in reasons(outcome)["more.parquet"]


def test_a_file_with_an_impossible_column_leaves_the_good_ones_alone(
    lake: Lake, tmp_path: Path
) -> None:
    """Of each kind one file, beside a good one; first by making the table, then by adding to it."""
    odd = tmp_path / "odd"
    deep: Any = 1
    for _ in range(60):
        deep = {"a": deep}
    tables: dict[str, Any] = {
        "decimal256": {"id": [1], "v": pa.array([1], pa.decimal256(50, 2))},
        "uuid": {"id": [1], "v": pa.array([b"0123456789abcdef"], pa.uuid())},
        "time": {"id": [1], "v": pa.array([1], pa.time64("us"))},
        "nested_case": {"id": [1], "v": pa.array([{"a": 1, "A": 2}])},
        "nested_nameless": {"id": [1], "v": pa.array([{"": 1}])},
        "deep": {"id": [1], "v": pa.array([deep])},
        "nested_int96": {"id": [1], "v": pa.array([[1]], pa.list_(pa.timestamp("ns")))},
    }
    for name, table in tables.items():
        options = {"use_deprecated_int96_timestamps": True} if name == "nested_int96" else {}
        write(odd / f"{name}.parquet", table, **options)
    with connect(lake.settings) as spark:
        for name, sql in {
            "variant": "parse_json('{\"a\": 1}')",
            "nested_variant": "array(parse_json('1'))",
            "interval": "interval '1' day",
            "nested_void": "named_struct('a', null, 'b', 1)",
        }.items():
            spark.sql(f"select 1L as id, {sql} as v, 7 as odd").coalesce(1).write.parquet(
                f"file://{odd}/spark_{name}"
            )
            (part,) = (odd / f"spark_{name}").glob("*.parquet")
            part.rename(odd / f"{name}.parquet")
    bad = {path.name: "QUARANTINED" for path in odd.glob("*.parquet")}
    ingestion = lake.ingestion("impossible", format=PARQUET)
    for round_ in (1, 2):
        folder = lake.folder() / f"round{round_}"
        write(folder / "good.parquet", {"id": [round_], f"new_{round_}": ["x"]})
        for path in odd.glob("*.parquet"):
            (folder / path.name).write_bytes(path.read_bytes())

        (outcome,) = lake.load(ingestion)

        assert outcome.rows == 1, reasons(outcome)
        assert {n: r.split()[0] for n, r in reasons(outcome).items()} == bad
    assert "column 'v' of type variant" in reasons(outcome)["variant.parquet"]
    assert lake.ids("impossible") == {1: 1, 2: 1}
    columns = set(lake.table("impossible").column_names)
    assert not columns & {"v", "odd"}
    assert {"id", "new_1", "new_2"} <= columns


def test_a_column_that_a_table_can_have_under_any_name(lake: Lake) -> None:
    folder = lake.folder()
    write(
        folder / "a.parquet",
        pa.table(
            {
                "id": [1],
                "": ["nameless"],
                "_metadata": pa.array([{"file_path": "/etc/passwd"}]),
                "_source_file": ["not this"],
                "_rescued": ["nor this"],
                "_uri": ["u"],
                "_file": ["f"],
                "_p1": ["p"],
                "nothing": pa.array([None], pa.null()),
                "a b": [1],
                "a_b": [2],
                "s": pa.array([{"x y": 1, "z.q": 2, "`": 3, "_file": 4}]),
                "m": pa.array([[(b"\xff", 1)]], pa.map_(pa.binary(), pa.int32())),
            }
        ),
    )
    write(folder / "b.parquet", {"a_b": [20], "a b": [10], "id": [2]})
    write(folder / "b2.parquet", {"a_b": [21], "a b": [11], "id": [4]})
    for i in (5, 6):
        write(folder / f"u{i}.parquet", {"id": [i], "_uri": [f"u{i}"], "_metadata": ["x"]})
    ingestion = lake.ingestion("anyname", format=PARQUET, schema={"names": "original"})
    by_us = lake.ingestion("anyname_n", format=PARQUET)

    outcomes = [lake.load(each)[0] for each in (ingestion, by_us)]

    assert [reasons(outcome) for outcome in outcomes] == [{}, {}]
    assert [outcome.bad_rows for outcome in outcomes] == [0, 0]
    table = lake.table("anyname").to_pylist()
    (row,) = [row for row in table if row["id"] == 1]
    assert (row["column_2"], row["c_source_file"], row["c_rescued"]) == (
        "nameless",
        "not this",
        "nor this",
    )
    assert row["_source_file"].endswith("/in/a.parquet")
    assert row["s"] == {"x y": 1, "z.q": 2, "`": 3, "_file": 4}
    assert row["m"] == [(b"\xff", 1)]
    assert "nothing" not in row
    # The order of columns in a file does not exchange them.
    values = [
        row[1:] for row in lake.rows("anyname_n", "id", "a_b", "a_b_2") if row[0] in (1, 2, 4)
    ]
    assert values in ([(2, 1), (20, 10), (21, 11)], [(1, 2), (10, 20), (11, 21)])
    assert (6, "u6") in lake.rows("anyname", "id", "_uri")
    # Another case is the same column, and a column without a type gets one later.
    write(folder / "c.parquet", {"ID": [3], "nothing": ["something"], "A B": [30]})
    (outcome,) = lake.load(ingestion)
    assert outcome.bad_rows == 0
    assert (3, 30, "something") in lake.rows("anyname", "id", "a b", "nothing")


def test_no_value_changes_on_its_way_into_a_column(lake: Lake) -> None:
    """A value that its column cannot hold as it is goes to ``_rescued``."""
    folder = lake.folder()
    fine, whole = 1_700_000_000_123_456_789, 1_700_000_000_123_456_000
    write(
        folder / "a.parquet",
        {
            "n": pa.array([1], pa.int64()),
            "f": pa.array([0.5], pa.float32()),
            "d": pa.array([Decimal("1.10")], pa.decimal128(10, 2)),
            "day": [date(2024, 1, 1)],
            "at": pa.array([whole], pa.timestamp("ns")),
            "b": [True],
            "raw": [b"x"],
            "old": pa.array([whole], pa.timestamp("ns")),
            "t": ["text"],
        },
        use_deprecated_int96_timestamps=True,
    )
    ingestion = lake.ingestion("values", format=PARQUET)
    lake.load(ingestion)
    long = 2**63 - 1
    cases: list[tuple[str, pa.Array, Any]] = [
        ("n", pa.array([float(2**63)]), None),
        ("n", pa.array([-0.0]), None),
        ("n", pa.array([2.0]), 2),
        ("n", pa.array([True]), None),
        ("n", pa.array([whole], pa.timestamp("us")), None),
        ("n", pa.array([2**64 - 1], pa.uint64()), None),
        ("n", pa.array([date(2024, 1, 1)]), None),
        ("n", pa.array([b"5"]), None),
        ("n", pa.array(["5"]), 5),
        ("f", pa.array([0.1]), None),
        ("f", pa.array([float("nan")]), "nan"),
        ("f", pa.array([16_777_217], pa.int32()), None),
        ("d", pa.array([Decimal("1.234")], pa.decimal128(10, 3)), None),
        ("d", pa.array([Decimal("1.230")], pa.decimal128(10, 3)), Decimal("1.23")),
        ("day", pa.array([1]), None),
        ("day", pa.array([datetime(2024, 1, 2, 3)], pa.timestamp("us")), None),
        ("day", pa.array([fine], pa.timestamp("ns")), None),
        ("at", pa.array([fine], pa.timestamp("ns")), None),
        ("at", pa.array([5]), None),
        ("at", pa.array([date(1500, 1, 1)]), datetime(1500, 1, 1, tzinfo=timezone.utc)),
        ("b", pa.array([1]), None),
        ("raw", pa.array(["abc"]), b"abc"),
        ("raw", pa.array([1]), None),
        ("t", pa.array([long]), str(long)),
        ("t", pa.array([b"\xff"]), None),
        ("t", pa.array([{"at": datetime(2024, 1, 1, 0, 0, 0, 123456), "x": None}]),
         '{"at":"2024-01-01T00:00:00.123456","x":null}'),
    ]  # fmt: skip
    for i, (name, values, _) in enumerate(cases):
        write(folder / f"case{i:02}.parquet", pa.table({name: values, "case": [i]}))
    old = pa.array([fine, whole, -1_000, -1, None], pa.timestamp("ns"))
    write(
        folder / "old.parquet",
        {"old": old, "case": list(range(100, 105))},
        use_deprecated_int96_timestamps=True,
    )

    outcomes = lake.load(ingestion)

    assert [reasons(outcome) for outcome in outcomes] == [{}, {}]
    rows = {row["case"]: row for row in lake.table("values").to_pylist()}
    got = {
        i: str(rows[i][name]) if want == "nan" else rows[i][name]
        for i, (name, _, want) in enumerate(cases)
    }
    assert got == {i: want for i, (_, _, want) in enumerate(cases)}
    rescued = {i for i in range(len(cases)) if rows[i]["_rescued"] is not None}
    assert rescued == {i for i, (_, _, want) in enumerate(cases) if want is None}
    moment = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=timezone.utc)
    assert [rows[i]["old"] for i in range(100, 105)] == [
        None,
        moment,
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
        None,
        None,
    ]
    assert [rows[i]["_rescued"] for i in range(100, 105)] == [
        f'{{"old":{fine}}}',
        None,
        None,
        '{"old":-1}',
        None,
    ]


def test_a_quarantined_file_decides_no_type_and_adds_no_column(lake: Lake) -> None:
    csv, parquet = lake.folder("csv"), lake.folder("parquet")
    for i in range(4):
        (csv / f"{i}.csv").write_text(f"id,amount\n{i},1.5\n")
        write(parquet / f"{i}.parquet", {"id": [i], "amount": [1.5]})
    (csv / "bad.csv").write_text("id,amount,more\n9,abc,x\n")
    write(parquet / "bad.parquet", {"id": [9], "amount": ["abc"], "more": ["x"]})
    for name, type_ in (("csv", "csv"), ("parquet", "parquet")):
        ingestion = lake.ingestion(
            f"strict_{name}",
            source={"type": "local", "url": str(lake.folder(name))},
            format={"type": type_},
            errors={"bad_rows": "quarantine"},
        )

        (outcome,) = lake.load(ingestion)

        assert list(reasons(outcome)) == [f"bad.{name}"]
        table = lake.table(f"strict_{name}")
        assert table.schema.field("amount").type == pa.float64()
        assert "more" not in table.column_names
        assert table.num_rows == 4


def test_a_comment_that_a_person_writes_changes_nothing(lake: Lake) -> None:
    """Nor does a renamed column lose its values."""
    folder = lake.folder()
    (folder / "a.jsonl").write_text('{"id": 1, "Price": 1.5, "token url": "t", "was": "w"}\n')
    ingestion = lake.ingestion("comments", format={"type": "json"})
    lake.load(ingestion)
    with connect(lake.settings) as spark:
        name = ingestion.spec.table.name
        spark.sql(f"alter table {name} alter column price comment 'was'")
        spark.sql(f"alter table {name} alter column id comment 'Price'")
        spark.sql(f"alter table {name} alter column token_url comment ''")
        spark.sql(f"alter table {name} rename column was to now")
    (folder / "b.jsonl").write_text('{"id": 2, "Price": 2.5, "token url": "u", "was": "v"}\n')

    (outcome,) = lake.load(ingestion)

    assert outcome.bad_rows == 0
    assert lake.rows("comments") == [(1, 1.5, "t", "w"), (2, 2.5, "u", "v")]
    # A table from before the names were kept in properties.
    with connect(lake.settings) as spark:
        for row in spark.sql(f"show tblproperties {name}").collect():
            if row["key"].startswith("autoloader.originals"):
                spark.sql(f"alter table {name} unset tblproperties ('{row['key']}')")
        spark.sql(f"alter table {name} rename column now to was")
    (folder / "c.jsonl").write_text('{"id": 3, "Price": 3.5, "token url": "x", "was": "y"}\n')
    (outcome,) = lake.load(ingestion)
    assert outcome.bad_rows == 0
    assert (3, 3.5, "x", "y") in lake.rows("comments")


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_a_hint_is_applied_or_refused_and_never_ignored(lake: Lake, format_: str) -> None:
    folder = lake.folder()
    if format_ == "csv":
        (folder / "a.csv").write_text("Id,Amount\n1,5\n")
    else:
        write(folder / "a.parquet", {"Id": pa.array([1], pa.int32()), "Amount": [5]})

    def ingestion(**schema: Any) -> Any:
        return lake.ingestion("hints", format={"type": format_}, schema=schema)

    for schema, message in (
        ({"hints": {"amonut": "double"}}, "did you mean 'amount'"),
        ({"hints": {"amount": "double"}, "names": "original"}, "did you mean 'Amount'"),
        ({"hints": {"AMOUNT": "double"}}, "did you mean 'amount'"),
        ({"hints": {"amount": "variant"}}, "variant"),
    ):
        wrong = ingestion(**schema)
        with pytest.raises(SpecError, match=message):
            preview(wrong)
        with pytest.raises(SpecError, match=message):
            lake.load(wrong)
    good = ingestion(
        hints={"Id": "int", "refund": "double"}, optional_hints={"amonut": "decimal(18,2)"}
    )
    (outcome,) = lake.load(good)
    assert outcome.unmatched_hints == ("refund",)
    assert lake.table("hints").schema.field("id").type == pa.int32()

    if format_ == "csv":
        (folder / "b.csv").write_text(f"Id,Amount\n{2**40},6\n")
    else:
        write(folder / "b.parquet", {"Id": [2**40], "Amount": [6]})
    with pytest.raises(SpecError, match=r"'Amount' is decimal.*'amount' of .* is bigint"):
        lake.load(ingestion(hints={"Amount": "decimal(18,2)"}))
    assert preview(ingestion(hints={"id": "bigint"})).rows[0]["id"] == 2**40
    (outcome,) = lake.load(ingestion(hints={"id": "bigint"}))
    assert outcome.bad_rows == 0
    assert lake.rows("hints", "id", "amount") == [(1, 5), (2**40, 6)]


def test_a_file_is_read_alike_whatever_is_beside_it(lake: Lake) -> None:
    """Spark's reader for 96-bit timestamps fails on a page without values; the other does not."""
    folder = lake.folder()
    kind = pa.list_(pa.struct([("n", pa.int32()), ("b", pa.bool_())]))
    odd = pa.table({"l": pa.array([[{"n": 1, "b": True}, {"n": 2, "b": False}]], kind)})
    write(folder / "odd.parquet", odd, data_page_version="2.0", data_page_size=1)
    for i in range(2):
        time = pa.array([datetime(2024, 1, 1 + i)], pa.timestamp("us"))
        write(folder / f"old{i}.parquet", {"t": time}, use_deprecated_int96_timestamps=True)
    write(folder / "empty.parquet", {"t": pa.array([], pa.timestamp("us"))})
    ingestion = lake.ingestion("alike", format=PARQUET)

    outcomes = lake.load(ingestion)

    assert [len(outcome.files) for outcome in outcomes] == [3, 1]
    assert {f.status for outcome in outcomes for f in outcome.files} == {"SUCCESS"}
    assert {f.retry_count for f in lake.store.files.find(ingestion.id)} == {0}
    assert lake.rows("alike", "t", "l") == [
        (None, [{"n": 1, "b": True}, {"n": 2, "b": False}]),
        (datetime(2024, 1, 1, tzinfo=timezone.utc), None),
        (datetime(2024, 1, 2, tzinfo=timezone.utc), None),
    ]


def test_a_preview_shows_a_date_that_python_has_not_and_calls_no_file_bad_for_it(
    lake: Lake,
) -> None:
    days = pa.array([3663480, 0], pa.int32()).cast(pa.date32())
    arrays = pa.array([[([1], 2)], None], pa.map_(pa.list_(pa.int64()), pa.int64()))
    write(lake.folder() / "a.parquet", pa.table({"day": days, "by": arrays}))
    ingestion = lake.ingestion("far", format=PARQUET)
    for _ in ("before the load", "after it"):
        found = preview(ingestion)
        assert found.bad_files == ()
        assert [(row["day"], row["by"]) for row in found.rows] == [
            ("+12000-04-08", {(1,): 2}),
            (date(1970, 1, 1), None),
        ]
        assert set(found.rows[0]) == {"day", "by", "_source_file"}
        lake.load(ingestion)
    assert lake.table("far").num_rows == 2
