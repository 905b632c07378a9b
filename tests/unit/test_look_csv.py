import csv as csv_module
import io
import random

import pytest

from autoloader_dagster.formats.content import HEAD_BYTES
from autoloader_dagster.formats.csv.group import CsvGroup
from autoloader_dagster.formats.csv.options import CsvOptions
from autoloader_dagster.formats.csv.record_scan import RecordScan
from autoloader_dagster.formats.outcome import BadFile
from autoloader_dagster.formats.text import MAX_LINE_BYTES
from autoloader_dagster.formats.type_inference import infer_column
from tests.fixtures.seeds import each_seed
from tests.unit.look_steps import SAMPLES, csv, look_at_bytes, look_at_folder


def look(tmp_path, data, **options):
    return look_at_bytes(tmp_path, data, csv(**options))


def test_real_daily_reports_show_their_headers_and_values():
    looks = look_at_folder(SAMPLES / "covid_daily", csv())
    assert [found.bad for found in looks] == [None] * 16
    headers = {found.group.header for found in looks}
    assert len(headers) == 5
    assert {header[0] for header in headers} == {"Province/State", "FIPS"}
    assert all(found.sample and not found.group.multiline for found in looks)


def test_a_file_with_quoted_line_breaks_is_multiline(tmp_path):
    found = look(tmp_path, b'a,b\r\n1,"x\r\ny"\r\n2,z\r\n')
    assert found.group == CsvGroup(("a", "b"), multiline=True, line_end="crlf")
    assert found.sample == (("1", "x\r\ny"), ("2", "z"))


@pytest.mark.parametrize(
    "text",
    [
        'a,b\n1,"x, y"\n2,""\n',
        'a,b\n1,"say ""hi"""\n',
        'a,b\n1,5" pipe\n2,6"\n',
        'a,b\n1,5" pipe and 6" pipe\n',
        'a,b\n1, "x\n2,y\n',
        'a,b\n1,"q"x\n2,"q" \n',
    ],
)
def test_quotes_within_lines_are_not_multiline(tmp_path, text):
    found = look(tmp_path, text.encode())
    assert found.bad is None
    assert not found.group.multiline


def test_inch_signs_do_not_hide_a_line_break(tmp_path):
    # Each line has an even number of quotes.
    found = look(tmp_path, b'a,b\n5" pipe,"x\ny",5" pipe\n')
    assert found.group.multiline


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b'a,b\n1,x\n2,"never closed\n3,y\n', "line 3 that is never closed"),
        (b'a,b\n5" pipe,x\n2,"never closed', "line 3 that is never closed"),
        (b'a,b\n1,"open\n2,x\n3,"again\n', "line 2 that closes in the middle of a value on line 4"),
        (b'a,b\n"1","x"\n"2","y\n', "line 3 that is never closed"),
    ],
)
def test_a_quote_that_never_closes_sets_the_file_aside(tmp_path, data, line):
    found = look(tmp_path, data)
    assert found.bad.error_type == "UnbalancedQuotes"
    assert line in found.bad.message
    assert "format.options.quote" in found.bad.message
    assert found.group is None
    assert look(tmp_path, data, quote="").bad is None


def test_the_spec_can_settle_multiline(tmp_path):
    data = b'a,b\n1,"x\ny"\n'
    assert look(tmp_path, data, multiline=True).sample == (("1", "x\ny"),)
    # A quote that is open at the end of its line is noticed.
    found = look(tmp_path, data, multiline=False)
    assert found.bad.error_type == "UnbalancedQuotes"
    assert "line 2 that goes on in the next line" in found.bad.message
    assert look(tmp_path, b"a,b\n1,2\n", multiline=False).sample == (("1", "2"),)


@pytest.mark.parametrize("multiline", ["auto", True, False])
def test_a_fault_far_behind_the_head_is_found_whatever_multiline_says(tmp_path, multiline):
    rows = b"1,x\n" * (HEAD_BYTES // 2)
    for line, error_type in ((b"1,\xfc\n", "WrongEncoding"), (b'1,"x\n', "UnbalancedQuotes")):
        found = look(tmp_path, b"a,b\n" + rows + line + rows, multiline=multiline)
        assert (found.bad and found.bad.error_type) == error_type


def test_an_escaped_quote_does_not_close_a_value(tmp_path):
    data = b'a,b\n1,"x\\"\ny"\n2,"z\\""\n'
    assert look(tmp_path, data, escape="\\").group.multiline
    assert look(tmp_path, b'a,b\n1,"x\\"y"\n', escape="\\").sample == (("1", 'x"y'),)
    # The quotes before the line break are even in number, and those of the file too.
    assert look(tmp_path, b'a,b\n"x\\"\ny\\"",z\n', escape="\\").group.multiline


@pytest.mark.parametrize("multiline", ["auto", True])
@pytest.mark.parametrize("end", [b"", b'3,"y"\n', b'3,""\n', b'"",""\n3,""\n5","y"\n'])
def test_an_escape_before_a_closing_quote_swallows_no_rows(tmp_path, multiline, end):
    data = b'a,b\n1,"c:\\dir\\"\n' + b"2,x\n" * 18 + end
    found = look(tmp_path, data, escape="\\", multiline=multiline)
    assert (found.bad and found.bad.error_type) == "UnbalancedQuotes"


def test_comment_lines_are_no_header_and_their_quotes_do_not_count(tmp_path):
    found = look(tmp_path, b'# made by "x\n\n  \na,b\n#,"\n1,2\n', comment="#")
    assert found.group == CsvGroup(("a", "b"), multiline=False)
    assert found.sample == (("1", "2"),)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end(tmp_path, end):
    found = look(tmp_path, end.join(["a,b", "1,2", '3,"4"', ""]).encode())
    assert found.group == CsvGroup(("a", "b"), multiline=False)
    assert found.sample == (("1", "2"), ("3", "4"))
    assert look(tmp_path, end.join(["a,b", '1,"x', 'y"']).encode()).group.multiline


def test_byte_order_marks_are_not_part_of_the_header(tmp_path):
    assert look(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n").columns == ("a", "b")
    text = "a,b\n1,ü\n"
    for encoding, codec in [
        ("utf-16", "utf-16"),
        ("utf-16", "utf-16-be"),
        ("utf-16le", "utf-16-le"),
        ("utf-16be", "utf-16-be"),
    ]:
        found = look(tmp_path, text.encode(codec), encoding=encoding)
        assert (found.bad, found.columns, found.sample) == (None, ("a", "b"), (("1", "ü"),))
    marked = "\ufeff" + text
    assert look(tmp_path, marked.encode("utf-16-le"), encoding="utf-16le").columns == ("a", "b")


@pytest.mark.parametrize(
    ("data", "encoding", "what"),
    [
        ("a,b\n1,ü\n".encode("latin-1"), "utf-8", "byte 6 does not belong there"),
        (b"a,b\n1," + b"x" * 300_000 + b"\xff\n", "utf-8", "byte 300,006"),
        (b"a,b\n1,2\xc3", "utf-8", "ends in the middle"),
        ("a,b\n1,ü\n".encode(), "us-ascii", "is not us-ascii"),
        ("a,b\n".encode("utf-16"), "utf-8", "byte order mark of UTF-16LE"),
        ("a,b\n".encode("utf-16"), "utf-16be", "byte order mark of UTF-16LE"),
        ("a,b\n".encode("utf-16-le"), "utf-8", "looks like UTF-16 without"),
        (b"\xef\xbb\xbfa,b\n", "iso-8859-1", "byte order mark of UTF-8"),
        (b"\xff\xfea", "utf-16", "is not utf-16le"),
        (b"\xff\xfea\x00\x00\xd8a\x00", "utf-16", "is not utf-16le"),
    ],
)
def test_another_encoding_than_the_spec_says(tmp_path, data, encoding, what):
    found = look(tmp_path, data, encoding=encoding)
    assert found.bad.error_type == "WrongEncoding"
    assert what in found.bad.message
    assert "format.options.encoding" in found.bad.message


def test_latin_1_is_read_where_the_spec_says_so(tmp_path):
    found = look(tmp_path, "a,b\n1,ü\n".encode("latin-1"), encoding="iso-8859-1")
    assert found.sample == (("1", "ü"),)


@pytest.mark.parametrize(
    ("data", "error_type", "what"),
    [
        (b"", "EmptyFile", "is empty (0 bytes)"),
        (b"\n \n\n", "EmptyFile", "nothing but blank"),
        (b"\xef\xbb\xbf", "EmptyFile", "nothing but a byte order mark"),
        (b"\n" * 300_000, "NotCsv", "more than 256 KiB of blank"),
        (b"a,b\n1,\x00\n", "NulBytes", "holds a NUL byte after 'a,b"),
        (b"\x00a,b\n1,2\n", "NulBytes", "holds a NUL byte, so it is damaged"),
        (b'{"message": "Access denied"}', "NotCsv", "which is JSON"),
        (b'[\n  {"a": 1},\n', "NotCsv", "which is JSON"),
        (b"\n<!DOCTYPE html>\n<html>", "NotCsv", "web page"),
        (b"<Error><Code>AccessDenied</Code></Error>", "NotCsv", "web page"),
        (b"PAR1\x15\x04", "NotCsv", "Parquet"),
        (b"PK\x03\x04....", "UnsupportedCompression", "zip archive"),
        (b"\xfd7zXZ\x00....", "UnsupportedCompression", "xz"),
        (b"," * 20_001, "TooManyColumns", "20,002 columns"),
    ],
)
def test_what_is_not_csv(tmp_path, data, error_type, what):
    found = look(tmp_path, data)
    assert found.bad.error_type == error_type
    assert what in found.bad.message


@pytest.mark.parametrize(
    "data",
    [
        b"<DATE>,<TIME>,<CLOSE>\n20200101,1,2\n",
        b"[id],[name]\n1,x\n",
        b'{"a": 1},x\n{"a": 2},y\n',
    ],
)
def test_what_only_looks_like_another_format(tmp_path, data):
    assert look(tmp_path, data, header=False).bad is None


def test_a_header_alone_is_a_good_file_without_rows(tmp_path):
    for data in (b"a,b\n", b"a,b", b"\xef\xbb\xbfa,b\r\n\r\n"):
        found = look(tmp_path, data)
        assert (found.bad, found.empty, found.columns) == (None, True, ("a", "b"))
    assert not look(tmp_path, b"a,b\n1,2").empty
    assert not look(tmp_path, b"a,b\n", header=False).empty


def test_columns_are_numbered_where_there_is_no_header(tmp_path):
    found = look(tmp_path, b"1;2\n3;4\n", header=False, delimiter=";")
    assert found.columns == ("column_1", "column_2")
    assert found.sample == (("1", "2"), ("3", "4"))


def test_empty_and_repeated_names_are_left_as_they_are(tmp_path):
    assert look(tmp_path, b'a,,"a",A \n1,2,3,4\n').columns == ("a", "", "a", "A ")


@pytest.mark.parametrize("rows", [100, 10_000, 300_000, 3_000_000])
def test_the_sample_is_bounded_and_spread_over_the_file(tmp_path, rows):
    found = look(tmp_path, ("n,t\n" + "".join(f"{i},x\n" for i in range(rows))).encode())
    values = [int(n) for n, _ in found.sample]
    assert values[:50] == list(range(50))
    assert values == sorted(set(values))
    assert len(values) <= 16_000
    for tenth in range(10):
        assert any(tenth * rows // 10 <= value < (tenth + 1) * rows // 10 for value in values)


def test_a_fraction_that_comes_late_makes_the_column_double(tmp_path):
    rows = ["0"] * 20_000 + ["0.25", "0.5"] * 5_000 + ["0"] * 20_000
    found = look(tmp_path, ("rain\n" + "\n".join(rows) + "\n").encode())
    assert infer_column(row[0] for row in found.sample) == "double"


def test_null_values_and_malformed_rows_in_the_sample(tmp_path):
    found = look(tmp_path, b"a,b\n1,NA\n,x\ntotal\n", null_values=("", "NA"))
    assert found.sample == (("1", None), (None, "x"))


def test_a_very_long_value_is_no_fault(tmp_path):
    data = b'a,b\n1,2\n3,"' + b"x" * 140_000 + b'"\n5,6\n'
    found = look(tmp_path, data)
    assert found.bad is None
    assert ("3", "x" * 140_000) in found.sample


def test_a_header_longer_than_the_head(tmp_path):
    names = ",".join(f"a_rather_long_name_for_a_column_{i}" for i in range(15_000))
    found = look(tmp_path, f"{names}\n{',' * 14_999}\n".encode())
    assert len(found.columns) == 15_000
    assert not found.empty


def test_a_line_without_end_takes_bounded_memory(tmp_path):
    found = look(tmp_path, b"a,b\n" + b"x" * (MAX_LINE_BYTES + 5 * 2**20))
    assert found.bad.error_type == "LineTooLong"


def test_signs_that_the_encoding_lacks_are_no_error(tmp_path):
    found = look(tmp_path, b"a,b\n1,2\n", encoding="us-ascii", delimiter="§", quote="»")
    assert found.columns == ("a,b",)


def test_delimiters_and_quotes_beyond_ascii(tmp_path):
    found = look(tmp_path, "a§b\n1§»x\ny»\n".encode(), delimiter="§", quote="»", escape="»")
    assert found.group == CsvGroup(("a", "b"), multiline=True)


def _by_csv_module(text: str, quote_open: list[bool]) -> bool:
    """Whether a record spans lines, by the csv module; notes whether the last quote is open."""
    lines = text.splitlines(keepends=True)
    reader = csv_module.reader(lines)
    spans, before = False, 0
    for _ in reader:
        spans |= reader.line_num - before > 1
        before = reader.line_num
    try:
        list(csv_module.reader([*lines, "\n"], strict=True))
    except csv_module.Error as error:
        quote_open.append("unexpected end of data" in str(error))
    return spans


def test_the_scan_agrees_with_a_csv_parser():
    each_seed(range(2_000), _compare_with_the_csv_module)


def _compare_with_the_csv_module(seed: int) -> None:
    chance = random.Random(seed)
    weird = seed % 2
    cells = ['"x"', '"a,b"', '"l\nm"', '"q""q"', '""', '"a""\n"', "7", ""]
    cells += ['5" p', '"u"v', ' "w"', '"x" ', '"open', 'mid"'] if weird else []
    end = chance.choice(["\n", "\r\n", "\r"])
    text = end.join(
        ",".join(chance.choices(cells, k=3)) for _ in range(chance.randrange(1, 6))
    ).replace("\n", end if end != "\r\n" else "\n")
    text += chance.choice(["", end])
    quote_open: list[bool] = []
    spans = _by_csv_module(text, quote_open)
    scan = RecordScan(CsvOptions(), "utf-8")
    lines = io.StringIO(text, newline="").readlines()
    try:
        while lines:
            size = chance.randrange(1, 4)
            scan.feed("".join(lines[:size]).encode())
            lines = lines[size:]
        scan.finish()
    except BadFile:
        # Values that span lines and end badly are set aside beyond what the module refuses.
        assert weird
        return
    assert scan.multiline == spans
    assert not any(quote_open)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("beginning", "blank"),
    [("id,note\n", None), ("\n\nid,note\n", None), (" \t\nid,note\n", "before its header"),
     ("\n \nnote\n", "before its header"), ("note\n \n", "one column"), ("note\n\n", None),
     ("#x\n \nid,note\n", "before its header"), ("id,note\n \n", None)],
)  # fmt: skip
def test_a_line_of_blanks_that_spark_takes_for_a_record_is_refused(tmp_path, beginning, blank, end):
    rows = '1,"a\nb"\n' if "," in beginning else '"a\nb"\n'
    for size, expected in ((1, None), (30_000, blank)):
        data = (beginning + rows * size).replace("\n", end).encode()
        bad = look(tmp_path, data, comment="#").bad
        assert (bad and bad.error_type) == (expected and "LinesOfBlanks")
        assert expected is None or expected in bad.message


def test_a_record_with_more_cells_than_spark_takes_is_refused_and_commas_in_a_value_are_not(
    tmp_path,
):
    many = "," * 30_000
    bad = look(tmp_path, f"a,b\n1,2\nx{many}\n".encode()).bad
    assert (bad.error_type, bad.message[:45]) == (
        "TooManyColumns",
        "has 30,001 columns in the record that begins ",
    )
    assert look(tmp_path, f'a,b\n1,"{many}"\n"{many}\n",\n'.encode()).bad is None


@pytest.mark.parametrize("blank", ["\u00a0", " \u2003\u00a0", "\u0085"])
def test_a_first_line_of_unicode_blanks_is_no_header(tmp_path, blank):
    data = f"{blank}\nid,note\n1,a\n".encode()
    bad = look(tmp_path, data).bad
    assert (bad.error_type, "format.options.header" in bad.message) == ("BlankHeader", True)
    assert look(tmp_path, data, header=False).bad is None
