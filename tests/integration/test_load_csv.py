"""CSV files come out by name, never by position, with every value typed or rescued."""

import gzip
import json
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from autoloader_dagster.formats.csv import lines as csv_lines
from autoloader_dagster.formats.csv import read as read_csv
from tests.fixtures import by_hand
from tests.fixtures.lake import Lake


@pytest.fixture(params=["lines along", "by Spark's reader"], autouse=True)
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds for small files, whose lines go to Spark, and for larger ones."""
    if request.param != "lines along":
        monkeypatch.setattr(csv_lines, "INLINE_FILE_BYTES", -1)


def test_headers_in_any_order_with_bom_and_crlf_come_out_by_name(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.csv").write_bytes(b"id,name,amount\n1,one,1.5\n2,two,2.5\n")
    (folder / "b.csv").write_bytes("\ufeffname,amount,id\r\nthree,3.5,3\r\n".encode())
    (folder / "c.csv").write_bytes(b'"amount","id"\r\n4.5,4\r\n')
    (folder / "d.csv").write_bytes(b"id,name,amount,extra\n5,five,5.5,new\n")
    ingestion = lake.ingestion("mixed")

    (outcome,) = lake.load(ingestion)

    assert outcome.rows == 5
    assert {f.path.rsplit("/", 1)[1]: f.rows for f in outcome.loaded} == {
        "a.csv": 2,
        "b.csv": 1,
        "c.csv": 1,
        "d.csv": 1,
    }
    assert lake.rows("mixed", "id", "name", "amount", "extra") == [
        (1, "one", 1.5, None),
        (2, "two", 2.5, None),
        (3, "three", 3.5, None),
        (4, None, 4.5, None),
        (5, "five", 5.5, "new"),
    ]


def test_many_headers_give_the_same_as_few(lake: Lake) -> None:
    folder = lake.folder()
    count = read_csv.MAX_HEADER_READERS + 5
    for i in range(count):
        names = ["id", "when", *[f"only_{i}"], "amount"]
        order = names if i % 2 else names[::-1]
        row = {"id": str(i), "when": "2026-01-02 03:04:05", f"only_{i}": f"x{i}", "amount": "1.5"}
        (folder / f"{i}.csv").write_text(
            ",".join(order) + "\n" + ",".join(row[n] for n in order) + "\nbad,x,y,z\n1,2\n"
        )
    hints = {"id": "bigint", "when": "timestamp", "amount": "double"}
    ingestion = lake.ingestion("many", schema={"hints": hints})

    (outcome,) = lake.load(ingestion)

    assert outcome.rows == 3 * count
    # The second row has words where numbers and times belong, the third is too short.
    assert outcome.bad_rows == 2 * count
    good = [r for r in lake.rows("many", "id", "when", "amount", "_rescued") if r[3] is None]
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert sorted(good) == [(i, when, 1.5, None) for i in range(count)]
    assert {r[0] for r in lake.rows("many", "only_3")} >= {"x3", None}


def test_a_value_that_does_not_fit_is_rescued_with_its_row(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.csv").write_text("id,amount,day\n" + "1,1.5,2026-01-01\n" * 20)
    ingestion = lake.ingestion("misfit")
    lake.load(ingestion)
    (folder / "b.csv").write_text(
        "id,amount,day\n7,n/a,2026-01-02\nseven,2.5,2026-01-02\n 8 ,3.5,2026-01-02T10:00:00\n9,1\n"
        "10,1,2026-01-02,more\n"
    )

    (outcome,) = lake.load(ingestion)

    assert (outcome.rows, outcome.bad_rows) == (5, 5)
    found = {}
    for id_, amount, day, rescued in lake.rows("misfit", "id", "amount", "day", "_rescued"):
        if rescued:
            found[json.dumps([id_, amount, str(day)])] = json.loads(rescued)
    assert found['[7, null, "2026-01-02"]'] == {"amount": "n/a"}
    assert found['[null, 2.5, "2026-01-02"]'] == {"id": "seven"}
    assert found['[8, 3.5, "None"]'] == {"day": "2026-01-02T10:00:00"}
    assert found['[9, 1.0, "None"]'] == {"_row": "9,1"}
    assert found['[10, 1.0, "2026-01-02"]'] == {"_row": "10,1,2026-01-02,more"}


def test_a_column_called_as_a_whole_record_is_told_from_one(lake: Lake) -> None:
    (lake.folder() / "a.csv").write_text("id,_row\n1,x,more\n2,y\n3,4\n")
    ingestion = lake.ingestion("rows", schema={"names": "original", "hints": {"c_row": "bigint"}})

    lake.load(ingestion)

    rescued = [text for _, text in lake.rows("rows", "id", "_rescued")]
    assert rescued == ['{"c_row":"x","_row":"1,x,more"}', '{"c_row":"y"}', None]


def test_quoted_line_breaks_and_doubled_quotes_survive(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.csv").write_text('id,note\n1,"two\nlines"\n2,"say ""hi"", twice"\n3,plain\n')
    (folder / "b.csv").write_text("id,note\n4,no quotes at all\n")
    ingestion = lake.ingestion("quotes")

    (outcome,) = lake.load(ingestion)

    assert outcome.bad_rows == 0
    assert lake.rows("quotes", "id", "note") == [
        (1, "two\nlines"),
        (2, 'say "hi", twice'),
        (3, "plain"),
        (4, "no quotes at all"),
    ]


# Each of them is in a batch with all others, and plain.gz is not compressed.
_ODD_NAMES = (
    "_hidden.csv",
    ".dot.csv",
    "a b.csv",
    "100%.csv",
    "br[1]{x}.csv",
    "ü,+#&.csv",
    "plain.gz",
)


def test_odd_file_names_are_read_and_named_as_the_source_names_them(lake: Lake) -> None:
    folder = lake.folder()
    for number, name in enumerate(_ODD_NAMES):
        (folder / name).write_text(f"id\n{number}\n{number}\n")
    (folder / "other.csv").write_text("id\n99\n")
    ingestion = lake.ingestion("names", source={"type": "local", "url": str(folder)})

    lake.load(ingestion)

    expected = [(n, str(folder / name)) for n, name in enumerate(_ODD_NAMES) for _ in range(2)]
    assert lake.rows("names", "id", "_source_file") == sorted(
        [*expected, (99, str(folder / "other.csv"))], key=repr
    )


def test_gzip_is_read_whatever_its_name_says(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.csv.gz").write_bytes(gzip.compress(b"id\n1\n"))
    (folder / "b.csv").write_bytes(gzip.compress(b"id\n2\n") + gzip.compress(b"3\n"))
    ingestion = lake.ingestion("zipped")

    lake.load(ingestion)

    assert lake.rows("zipped", "id") == [(1,), (2,), (3,)]


def test_null_values_and_leading_zeros(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.csv").write_text("zip,n,t\n00123,1,NA\n04567,NA,x\n99999,-,y\n")
    ingestion = lake.ingestion(
        "nulls", format={"type": "csv", "options": {"null_values": ["", "NA", "-"]}}
    )

    (outcome,) = lake.load(ingestion)

    assert outcome.bad_rows == 0
    assert lake.rows("nulls", "zip", "n", "t") == [
        ("00123", 1, None),
        ("04567", None, "x"),
        ("99999", None, "y"),
    ]


def test_a_new_column_is_added_and_old_rows_stay(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.csv").write_text("id\n1\n")
    ingestion = lake.ingestion("wider")
    lake.load(ingestion)
    (folder / "b.csv").write_text("id,Added Later\n2,2.5\n")

    lake.load(ingestion)

    assert lake.rows("wider", "id", "added_later") == [(1, None), (2, 2.5)]


def test_names_that_differ_in_case_alone_have_one_column(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.csv").write_text("Id,name\n1,a\n")
    (folder / "b.csv").write_text("name,id\nb,2\n")
    ingestion = lake.ingestion("cases", schema={"names": "original"})
    lake.load(ingestion)
    by_hand.sql(lake, "alter table lake.{ns}.cases add column Extra string")
    (folder / "c.csv").write_text("ID,extra\n3,c\n")

    lake.load(ingestion)

    assert lake.rows("cases", "Id", "name", "Extra", "_rescued") == [
        (1, "a", None, None),
        (2, "b", None, None),
        (3, None, "c", None),
    ]


def test_without_a_header_columns_are_numbered(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.csv").write_text("1;one\n2;two\n")
    ingestion = lake.ingestion(
        "bare", format={"type": "csv", "options": {"header": False, "delimiter": ";"}}
    )

    lake.load(ingestion)

    assert lake.rows("bare", "column_1", "column_2") == [(1, "one"), (2, "two")]


def test_a_type_hint_wins_over_what_the_values_look_like(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.csv").write_text("Unit Price,code\n1.25,7\n3,8\n")
    ingestion = lake.ingestion(
        "hinted", schema={"hints": {"unit_price": "decimal(18,2)", "code": "string"}}
    )

    lake.load(ingestion)

    assert [(str(p), c) for p, c in lake.rows("hinted", "unit_price", "code")] == [
        ("1.25", "7"),
        ("3.00", "8"),
    ]


def test_the_rows_of_a_table_that_its_owner_keeps_in_order_are_in_order(lake: Lake) -> None:
    (lake.folder() / "a.csv").write_text("id\n3\n1\n2\n")
    ingestion = lake.ingestion("ordered")
    lake.load(ingestion)
    with ingestion.connect() as spark:
        spark.sql(f"alter table {ingestion.spec.table.name} write ordered by id")
    (lake.folder() / "b.csv").write_text("id\n30\n10\n20\n")
    lake.load(ingestion)

    written = [
        [row["id"] for row in pq.read_table(path, columns=["id"]).to_pylist()]
        for path in Path(lake.settings.warehouse).glob(
            f"{lake.namespace}/ordered/data/**/*.parquet"
        )
    ]
    # The first is as its file is, for nobody had asked for an order.
    assert sorted(written) == [[3, 1, 2], [10, 20, 30]]
