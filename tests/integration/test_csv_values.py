"""CSV records and values are what the file says, on both ways to Spark; what is not is noticed.

Each file is there twice: as it is, so that its records go along with the plan, and as gzip with so
many blank lines that Spark's reader opens it.
"""

import gzip
import json
import random
import struct
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloader_dagster.formats.csv.read import MAX_HEADER_READERS
from autoloader_dagster.formats.type_inference import infer_column
from autoloader_dagster.formats.typing import typed
from tests.fixtures.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_BLANKS = b" " * 999


def _twice(folder: Path, name: str, data: bytes) -> None:
    (folder / f"{name}.csv").write_bytes(data)
    end = next((e for e in (b"\r\n", b"\n", b"\r") if data.endswith(e)), b"\n")
    data = data.removesuffix(end) + (end + _BLANKS) * 132
    (folder / f"{name}.large.csv").write_bytes(gzip.compress(data))


def _loaded(lake: Lake, name: str, files: dict[str, bytes], **parts: Any) -> dict[str, list[Any]]:
    """File name without its ending -> the rows of both ways, which must be the same."""
    folder = lake.folder(name)
    for file, data in files.items():
        _twice(folder, file, data)
    source = {"type": "local", "url": str(folder)}
    (outcome,) = lake.load(lake.ingestion(name, source=source, **parts))
    table = lake.table(name) if outcome.rows else None
    columns = [c for c in table.column_names if c[0] != "_"] if table else []
    rows: dict[str, list[Any]] = {f"{f}{w}": [] for f in files for w in ("", ".large")}
    for row in table.to_pylist() if table else []:
        values = [row[c] for c in columns]
        if row["_rescued"]:
            values.append(json.loads(row["_rescued"]))
        rows[Path(row["_source_file"]).name.removesuffix(".csv")].append(values)
    for file in outcome.files:
        key = Path(file.path).name.removesuffix(".csv")
        if file.status == "SUCCESS":
            assert file.rows == len(rows[key]), file
        else:
            assert not rows[key]
            rows[key] = [file.error_type]
    for file in files:
        assert sorted(map(repr, rows[file])) == sorted(map(repr, rows[f"{file}.large"])), file
    return {file: rows[file] for file in files}


def test_blank_lines_are_no_rows_wherever_they_are(lake: Lake) -> None:
    blank = {
        "one": b"id,n\n1,2\n\n",
        "two": b"id,n\n1,2\n\n\n",
        "none": b"id,n\n1,2",
        "crlf": b"id,n\r\n1,2\r\n\r\n",
        "blanks": b" \nid,n\n1,2\n \t\n",
        "quoted": b'id,n\n1,2\n \n\n"3","4"\n\n',
    }
    rows = _loaded(lake, "headers", blank)
    assert rows.pop("quoted") == [[1, 2], [3, 4]]
    assert list(rows.values()) == [[[1, 2]]] * 5
    bare = _loaded(
        lake,
        "bare",
        {name: data.partition(b"n")[2].lstrip() for name, data in blank.items() if name != "none"},
        format={"type": "csv", "options": {"header": False}},
    )
    assert bare.pop("quoted") == [[1, 2], [3, 4]]
    assert list(bare.values()) == [[[1, 2]]] * 4
    many = {
        f"f{i}": b"id,only_%d\n1,2\n%b" % (i, b"\n" * (i % 3))
        for i in range(MAX_HEADER_READERS + 2)
    }
    assert {len(r) for r in _loaded(lake, "many", many).values()} == {1}


def test_a_line_of_delimiters_is_a_row_and_a_header_of_no_break_spaces_is_refused(
    lake: Lake,
) -> None:
    tabs = _loaded(
        lake,
        "tabs",
        {
            "plain": b"a\tb\n1\tx\n\t\n\n2\t\n",
            "quoted": b'a\tb\n1\t"x\ny"\n\t\n\n2\t\n',
            "blanks": b"a\tb\n1\tx\n\t \n  \n",
        },
        format={"type": "csv", "options": {"delimiter": "\t"}},
    )
    assert tabs == {
        "plain": [[1, "x"], [None, None], [2, None]],
        "quoted": [[1, "x\ny"], [None, None], [2, None]],
        "blanks": [[1, "x"], [None, " "]],
    }
    # For Spark a no-break space is a character, so the line below it would be no header.
    nbsp = _loaded(lake, "nbsp", {"a": "\u00a0\nid,n\n1,2\n".encode()})
    assert nbsp == {"a": ["BlankHeader"]}


def test_an_empty_cell_in_quotes_is_null_where_null_values_says_so(lake: Lake) -> None:
    data = {"a": b'n,text\n"",""\n,\nNA,NA\n"NA","-"\n5,x\n'}

    def rows(*null_values: str) -> list[Any]:
        options = {"null_values": list(null_values)}
        return _loaded(
            lake,
            f"nulls_{len(null_values)}",
            data,
            format={"type": "csv", "options": options},
            schema={"hints": {"n": "int", "text": "string"}},
        )["a"]

    null = [None, None]
    assert rows("", "NA", "-") == [null, null, null, null, [5, "x"]]
    assert rows("NA", "-") == [[None, "", {"n": ""}], null, null, null, [5, "x"]]
    assert rows() == [
        [None, "", {"n": ""}],
        null,
        [None, "NA", {"n": "NA"}],
        [None, "-", {"n": "NA"}],
        [5, "x"],
    ]


def test_a_value_that_a_type_would_change_is_rescued(lake: Lake) -> None:
    wrong = {
        "double": "12D 5f 0x1p3 1e400 -1e400 1e-400 9007199254740993 72057594037927935 "
        "9.000000000000001 90071992547409.91 9.007199254740993e15 "
        "12345678901234567890.5 1_0 +-1",
        "decimal(9,2)": "1.234 0x1 12345678.00 1e400",
        "int": "1.0 1e3 2147483648 0x10 1_0",
        "boolean": "yes 1 t",
        "date": "2024-01 2024 2024-01-1T 2024-01-1x 2024-02-30 2024-01-01T00:00 0000-01-01 "
        "10000-01-01 20240101",
        "timestamp": "2024-01 12:30 2024-01-01T24:00 2024-01-01T10:00:00.123456789 0000-01-01 "
        "2024-01-01T10:00:00Europe/Berlin 10000-01-01T00:00 now",
        "timestamp_ntz": "2024-01-01T10:00:00Z 2024-01-01T10:00:00+02:00",
        "float": "98765.432 9.0000001 16777217",
    }
    right = {
        "double": "0.1 1.10 1e5 1E-7 -0.0 .5 5. +5 007 1.7976931348623157e308 NaN -Infinity "
        "0.30000000000000004 0.10000000000000001 3.947930996347202e+16 100000000000000000000 "
        "68063.575011252193 72057594037927936",
        "decimal(9,2)": "1.23 1.2300 -.5 9999999.99",
        "int": "+5 007 -0 2147483647",
        "boolean": "TRUE false",
        "date": "2024-01-01 2024-1-5",
        "timestamp": "2024-01-01 2024-01-01T10:00 2024-01-01T10:00Z 2024-01-01T10:00:00.123456000Z "
        "2024-01-01T10:00:00+0200 2024-01-01T10:00+02:00",
        "timestamp_ntz": "2024-01-01 2024-01-01T10:00:00.5",
        "float": "0.1 98765.43 0.100000001 16777216",
    }
    files = {}
    for i, (sql_type, cells) in enumerate(wrong.items()):
        lines = [*cells.split(), *right[sql_type].split(), " " + right[sql_type].split()[0] + "\t"]
        files[f"c{i}"] = f"c{i}\n{chr(10).join(lines)}\n".encode()
    hints = {f"c{i}": sql_type for i, sql_type in enumerate(wrong)}

    found = _loaded(lake, "values", files, schema={"hints": hints})

    for i, sql_type in enumerate(wrong):
        bad = [row[-1][f"c{i}"] for row in found[f"c{i}"] if isinstance(row[-1], dict)]
        assert sorted(bad) == sorted(wrong[sql_type].split())
        assert all(set(row[:-1]) == {None} for row in found[f"c{i}"] if isinstance(row[-1], dict))
    doubles = [row[0] for row in found["c0"] if not isinstance(row[-1], dict)]
    assert doubles[:4] == [0.1, 1.1, 100000.0, 1e-07]
    assert 39479309963472020.0 in doubles


def test_only_blanks_and_tabs_beside_a_value_mean_nothing(spark: "SparkSession") -> None:
    values = {
        "tinyint": "12", "int": "-12", "bigint": "120", "float": "1.5", "double": "12.",
        "decimal(9,2)": "1.20", "boolean": "true", "date": "2024-01-05",
        "timestamp": "2024-01-05T10:00:00Z", "timestamp_ntz": "2024-01-05 10:00:00",
    }  # fmt: skip
    beside = [chr(c) for c in (*range(33), *range(0x7F, 0xA1), 0x1680, *range(0x2000, 0x2010))]
    beside += [*"\u2028\u2029\u202f\u205f\u2060\u3000\ufeff", "\t \x1f", "\x0b ", " \x00\t", "+ "]
    for sql_type, value in [*values.items(), ("timestamp", "05.01.2024 10:00")]:
        texts = [text for c in beside for text in (c + value, value + c, c + value + c)]
        rows = spark.createDataFrame([(text,) for text in texts], "raw string")
        formats = ["dd.MM.yyyy HH:mm"] if value.startswith("05") else []
        fits = rows.selectExpr("raw", f"{typed('raw', sql_type, formats)} is not null as fits")
        found = {row["raw"] for row in fits.collect() if row["fits"]}
        right = {text for text in texts if text.strip(" \t") == value}
        assert found == right, (sql_type, found ^ right)
        for text in texts:
            inferred = infer_column([text], formats)
            assert (inferred == "string") is (text.strip(" \t") != value), (text, inferred)


def test_numbers_that_a_program_wrote_with_all_their_digits_are_loaded(lake: Lake) -> None:
    rng = random.Random(5)
    drawn = [10 ** rng.uniform(-10, 10) for _ in range(3_000)]
    drawn += [rng.uniform(1, 1.2) * 2**power for power in range(-60, 53) for _ in range(20)]
    pairs = [(double, struct.unpack("f", struct.pack("f", double))[0]) for double in drawn]
    # A zero at the end is not written, and 16 digits can be those of another number.
    pairs = [
        (double, single)
        for double, single in pairs
        if f"{double:.16e}"[17] != "0" and f"{single:.8e}"[9] != "0"
    ]
    written = [f"{double:.17g},{single:.9g}" for double, single in pairs]
    folder = lake.folder("long")
    (folder / "a.csv").write_text("\n".join(["d,f", *written]) + "\n")
    hints = {"d": "double", "f": "float"}
    source = {"type": "local", "url": str(folder)}

    lake.load(lake.ingestion("long", source=source, schema={"hints": hints}))

    rows = lake.table("long").to_pydict()
    assert not any(rows["_rescued"])
    # In the order of the lines, which a file of one split keeps.
    assert list(zip(rows["d"], rows["f"], strict=True)) == pairs


def test_a_zone_in_a_pattern_is_never_cut_off_a_local_time(lake: Lake) -> None:
    patterns = ["yyyy-MM-dd HH:mm XXX", "dd.MM.yyyy HH:mm 'X'", "yyyy/MM/dd HH:mm"]
    lines = b"t\n2024-01-01 10:00 +02:00\n02.01.2024 10:00 X\n2024/01/03 10:00\n"
    found = _loaded(
        lake,
        "zones",
        {"a": lines},
        format={"type": "csv", "options": {"timestamp_formats": patterns}},
        schema={"hints": {"t": "timestamp_ntz"}},
    )
    assert found["a"] == [
        [None, {"t": "2024-01-01 10:00 +02:00"}],
        [datetime(2024, 1, 2, 10)],
        [datetime(2024, 1, 3, 10)],
    ]


def test_names_that_differ_in_case_keep_their_columns_in_all_files(lake: Lake) -> None:
    files = {
        "a": b"Total,total\n1,t\n",
        "b": b"total,Total\nt,1\n",
        "c": b"total\nt\n",
    }
    first = _loaded(lake, "cases", files)
    assert first["a"] == first["b"] == [[1, "t"]], "each has its own type, too"
    assert first["c"] == [[None, "t"]]
    # Another load knows them by the table.
    folder = lake.folder("cases")
    (folder / "d.csv").write_bytes(b"total,x,Total\nt,2,1\n")
    lake.load(lake.ingestion("cases", source={"type": "local", "url": str(folder)}))
    assert (1, "t", 2) in lake.rows("cases", "total", "total_2", "x")


def test_quotes_and_bytes_that_would_swallow_rows_are_noticed_whatever_the_options(
    lake: Lake,
) -> None:
    rows = b"".join(b"%d,x\n" % i for i in range(2_000))
    files = {
        "unclosed": b'a,b\n1,"x\n' + rows,
        "latin": b"a,b\n" + rows + b"1,\xfc\n",
        "spanning": b'a,b\n1,"x\ny"\n' + rows,
        "good": b'a,b\n1,"x, y"\n2,z\n',
    }
    for multiline in ("auto", True, False):
        found = _loaded(
            lake,
            f"multiline_{multiline}".lower(),
            files,
            format={"type": "csv", "options": {"multiline": multiline}},
        )
        assert found["unclosed"] == ["UnbalancedQuotes"]
        assert found["latin"] == ["WrongEncoding"]
        assert found["good"] == [["1", "x, y"], ["2", "z"]] or found["good"] == [
            [1, "x, y"],
            [2, "z"],
        ]
        if multiline is False:
            assert found["spanning"] == ["UnbalancedQuotes"]
        else:
            assert len(found["spanning"]) == 2_001
    # A backslash before the closing quote, and no other quote after it.
    escaped = {
        "swallowing": b"a,b\n" + b'1,"c:\\dir\\"\n' * 20,
        "good": b'a,b\n1,"c:\\\\dir\\\\"\n2,"say \\"hi\\""\n',
        "doubled": b"a,b\n" + b'1,"say ""hi"""\n' * 20,
    }
    found = _loaded(lake, "escaped", escaped, format={"type": "csv", "options": {"escape": "\\"}})
    assert found["swallowing"] == ["UnbalancedQuotes"]
    assert found["good"] == [[1, "c:\\dir\\"], [2, 'say "hi"']]
    assert len(found["doubled"]) == 20


def test_line_breaks_in_quotes_stay_as_they_are(lake: Lake) -> None:
    found = _loaded(
        lake,
        "breaks",
        {
            "crlf": b'a,b\r\n1,"x\r\ny"\r\n2,"p\nq"\r\n',
            "lf": b'a,b\n1,"x\r\ny"\n2,"p\rq\r"\n',
            "cr": b'a,b\r1,"x\ry"\r2,"p\r\nq"\r',
        },
    )
    assert found == {
        "crlf": [[1, "x\r\ny"], [2, "p\nq"]],
        "lf": [[1, "x\r\ny"], [2, "p\rq\r"]],
        "cr": [[1, "x\ry"], [2, "p\r\nq"]],
    }


def test_a_row_of_another_width_is_rescued_whole(lake: Lake) -> None:
    found = _loaded(
        lake,
        "widths",
        {
            "plain": b"a,b\n1\n1,x,more\n1,x\n",
            "quoted": b'a,b\n1\n1,x,"mo\nre"\n1,x\n',
            "single": b'a\n1\n\n""\n1,x\n',
        },
    )
    assert found == {
        "plain": [[1, None, {"_row": "1"}], [1, "x", {"_row": "1,x,more"}], [1, "x"]],
        "quoted": [[1, None, {"_row": "1"}], [1, "x", {"_row": '1,x,"mo\nre"'}], [1, "x"]],
        "single": [[1, None], [None, None], [1, None, {"_row": "1,x"}]],
    }
