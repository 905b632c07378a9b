import bz2
import io
import random
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.errors import SourceUnavailable
from autoloader_dagster.formats.base import Readable, file_format
from autoloader_dagster.formats.compression import detect
from autoloader_dagster.formats.look import look_at
from autoloader_dagster.formats.outcome import BadFile
from autoloader_dagster.formats.parquet.options import ParquetFormat
from autoloader_dagster.formats.placing import stage_as
from autoloader_dagster.formats.reading import ReadContext
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.sources.local.source import LocalFileSource
from autoloader_dagster.specs.model import IngestionSpec
from tests.unit.look_steps import SAMPLES, csv, folder, json, listed, look_at_folder

PARQUET = ParquetFormat(type="parquet")


def write_many(path, count):
    for i in range(count):
        (path / f"{i:05}.csv").write_text(f"a,b\n{i},x\n")


def spec(format, **schema) -> IngestionSpec:
    return IngestionSpec.model_validate(
        {
            "name": "looks",
            "source": {"type": "local", "url": "data"},
            "format": format.model_dump(),
            "schema": schema,
            "table": {"name": "lake.a.b"},
        }
    )


def columns_in(looks, spec, known=()):
    """The type and the original name of each column, without Spark."""
    files = [Readable(look, None) for look in looks]
    context = ReadContext(None, tuple(known), {}, "")
    found = file_format(spec.format).columns(context, spec, files, spec.columns.types, lambda: 2)
    assert {column.name for column in found.columns} == set(found.names)
    return {column.name: (column.sql_type, column.original) for column in found.columns}


def test_looks_come_in_the_order_of_the_files(tmp_path):
    write_many(tmp_path, 300)
    refs = listed(folder(tmp_path))
    random.Random(1).shuffle(refs)
    looks = list(look_at(folder(tmp_path), refs, csv(), threads=7))
    assert [found.ref for found in looks] == refs
    assert [found.sample[0][0] for found in looks] == [str(int(r.path[-9:-4])) for r in refs]


def test_samples_are_bounded_and_every_group_has_one(tmp_path):
    write_many(tmp_path, 300)
    for i in (17, 150, 299):
        (tmp_path / f"{i:05}.csv").write_text(f"other{i}\n{i}\n")
    looks = look_at_folder(tmp_path, csv())
    assert all(found.sample for found in looks)
    source = folder(tmp_path)
    looks = list(look_at(source, listed(source), csv(), threads=3, sample_files=10))
    sampled = {i for i, found in enumerate(looks) if found.sample}
    assert set(range(0, 300, 30)) | {17, 150, 299} <= sampled
    assert len(sampled) < 20
    assert all(found.columns for found in looks)


class _Slow(LocalFileSource):
    """A source as over a network: after the first ones its files open only several at a time."""

    def __init__(self, root, together: int, first: int = 2) -> None:
        self._inner = folder(root)
        self._together = threading.Barrier(together, timeout=10)
        self._first = first

    def open(self, ref, start=0, length=None):
        self._first -= 1
        if self._first >= 0:
            time.sleep(0.2)
        else:
            self._together.wait()
        return self._inner.open(ref, start, length)


def test_files_that_are_waited_for_are_looked_at_at_the_same_time(tmp_path):
    write_many(tmp_path, 22)
    refs = listed(folder(tmp_path))
    looks = list(look_at(_Slow(tmp_path, together=4), refs, csv(), threads=4))
    assert [found.ref for found in looks] == refs
    assert all(found.bad is None for found in looks)


def test_large_files_are_looked_at_at_the_same_time(tmp_path):
    for name in "abcd":
        (tmp_path / name).write_bytes(b"n\n" + b"1\n" * 2**19)
    refs = listed(folder(tmp_path))
    looks = list(look_at(_Slow(tmp_path, together=2, first=0), refs, csv(), threads=2))
    assert [found.ref for found in looks] == refs


def test_no_files_and_an_early_end(tmp_path):
    source = folder(tmp_path)
    assert list(look_at(source, [], csv())) == []
    write_many(tmp_path, 200)
    looks = look_at(_Slow(tmp_path, together=1), listed(source), csv(), threads=4)
    for _ in range(3):
        next(looks)
    assert [t for t in threading.enumerate() if t.name.startswith("look")]
    looks.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("look")]


@pytest.mark.parametrize("format", [csv(), csv(multiline=False), json(), PARQUET])
def test_a_file_that_changed_after_the_listing_is_marked(tmp_path, format):
    for name in ("changed", "gone", "same"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    source = folder(tmp_path)
    refs = listed(source)
    (tmp_path / "changed").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "gone").unlink()
    changed, gone, same = look_at(source, refs, format)
    for found in (changed, gone):
        assert found.changed
        assert found.bad.error_type == "FileChanged"
        assert found.group is None
    assert not same.changed


class _Failing(LocalFileSource):
    """A source that stops answering, at the opening or in the middle of a file."""

    def __init__(self, root, after: int) -> None:
        self._inner = folder(root)
        self._after = after
        self._opened = 0

    def open(self, ref, start=0, length=None):
        self._opened += 1
        if self._opened > self._after:
            raise SourceUnavailable("the source does not answer")
        return self._inner.open(ref, start, length)


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    ("name", "format"),
    [("x.csv", csv()), ("x.zst", csv()), ("x.json", json()), ("x.parquet", PARQUET)],
)
def test_a_source_that_fails_is_not_the_fault_of_the_file(tmp_path, name, format, after):
    noise = random.Random(1).randbytes(400_000).hex()
    lines = "a\n" + "\n".join(noise[i : i + 80] for i in range(0, len(noise), 80)) + "\n"
    data = {
        "x.csv": lines.encode(),
        "x.zst": pa.Codec("zstd").compress(lines.encode(), asbytes=True),
        "x.json": b'[{"a": "' + noise.encode() + b'"}]',
        "x.parquet": _wide_parquet(),
    }[name]
    (tmp_path / name).write_bytes(data)
    refs = listed(folder(tmp_path))
    with pytest.raises(SourceUnavailable):
        list(look_at(_Failing(tmp_path, after), refs, format))


def test_a_source_that_fails_in_a_long_footer(tmp_path):
    (tmp_path / "x.parquet").write_bytes(_wide_parquet())
    refs = listed(folder(tmp_path))
    with pytest.raises(SourceUnavailable):
        list(look_at(_Failing(tmp_path, 2), refs, PARQUET))


def _wide_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({f"column_{i}": list(range(30)) for i in range(3_000)}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("path", "encoding", "suffix"),
    [
        ("/d/x.csv", None, None),
        ("/d/x.CSV", None, None),
        ("/d/x", None, None),
        ("/d/x[1] ü,*.csv", None, None),
        ("/_d/.e/x.csv", None, None),
        ("/d/_x.csv", None, ".csv"),
        ("/d/.x.csv", None, ".csv"),
        ("/d/x.csv._COPYING_", None, ".csv"),
        ("/d/a:b.csv", None, ".csv"),
        ("s3://b/a:b.csv", None, None),
        ("s3://b/a//b.csv", None, ".csv"),
        ("s3://b//b.csv", None, ".csv"),
        ("s3://b/b.csv", "gzip", ".csv"),
        ("s3://b/b.csv", "aws-chunked", None),
        ("s3://b/b.csv.gz", None, ".csv"),
    ],
)
def test_names_that_spark_would_misread_are_staged(tmp_path, path, encoding, suffix):
    (tmp_path / "x").write_text("a\n")
    (ref,) = listed(folder(tmp_path))
    fields = {
        name: getattr(ref, name) for name in ("relative_path", "size", "modified_at", "version")
    }
    ref = type(ref)(path=path, content_encoding=encoding, **fields)
    assert stage_as(ref, "csv", "none") == suffix


def test_a_name_with_a_control_character_is_refused(tmp_path):
    (tmp_path / "a\nb.csv").write_text("a\n1\n")
    (found,) = look_at_folder(tmp_path, csv())
    assert found.bad.error_type == "UnreadableName"
    assert "'a\\nb.csv'" in found.bad.message


FORMATS = [csv(), csv(multiline=False, header=False), json(), json(record_path="r"), PARQUET]


@pytest.mark.parametrize("format", FORMATS)
def test_whatever_the_bytes_the_look_is_an_outcome_and_no_exception(tmp_path, format):
    chance = random.Random(7)
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), sink)
    seeds = [
        b'a,b\n1,"x\ny"\n2,"q""q"\n',
        b'{"r": [{"a": 1.5, "b": [1, {"c": null}]}]}',
        b'{"a": "\\ud83d\\ude00", "r": true}\n{"a": "x"}\n',
        sink.getvalue(),
        pa.Codec("gzip").compress(b"a,b\n1,2\n" * 50, asbytes=True),
        pa.Codec("zstd").compress(b'{"a": 1}\n' * 50, asbytes=True),
        bz2.compress(b"a\n" * 50),
        "a,ü\n".encode("utf-16"),
    ]
    for i in range(400):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
            data = data or bytearray(b"x")
        (tmp_path / f"{i}.x").write_bytes(data[: chance.randrange(1, 2 * len(data) + 1)])
    looks = look_at_folder(tmp_path, format)
    assert len(looks) == 400
    for found in looks:
        assert (found.bad is None) == (found.group is not None)
        assert found.bad is None or (found.bad.message and len(found.bad.message) < 500)


def test_one_sign_is_enough_for_a_file(tmp_path):
    for data in (b"x", b"\x1f", b"{", b"P", b"\xff", b"\n"):
        (tmp_path / data.hex()).write_bytes(data)
    for format in FORMATS:
        assert len(look_at_folder(tmp_path, format)) == 6


def test_two_thousand_small_files_are_looked_at_in_no_time(tmp_path):
    text = "id,name,amount\n" + "".join(f"{i},name {i},{i / 7}\n" for i in range(400))
    for i in range(2_000):
        (tmp_path / f"{i}.csv").write_text(text)
    source = folder(tmp_path)
    refs = listed(source)
    before = time.monotonic()
    assert all(found.bad is None for found in look_at(source, refs, csv()))
    # A tenth of this on an idle machine.
    assert time.monotonic() - before < 10


def test_lzma_is_known_by_its_name_only():
    with pytest.raises(BadFile):
        detect(b"\x5d\x00\x00\x80", "x.lzma")
    assert detect(b"\x5d\x00\x00\x80", "x.csv") == "none"


def test_columns_of_real_daily_reports():
    looks = look_at_folder(SAMPLES / "covid_daily", csv())
    columns = columns_in(looks, spec(csv(), hints={"FIPS": "string", "deaths": "int"}))
    assert list(columns)[:3] == ["province_state", "country_region", "last_update"]
    assert columns["province_state"] == ("string", "Province/State")
    assert columns["last_update"][0] == "string"
    assert columns["confirmed"][0] == "bigint"
    assert columns["deaths"][0] == "int"
    assert columns["lat"][0] == "double"
    assert columns["fips"] == ("string", "FIPS")
    assert len(columns) == len(set(columns))
    formats = ("M/d/yyyy H:mm", "M/d/yy H:mm")
    looks = look_at_folder(SAMPLES / "covid_daily", csv(timestamp_formats=formats))
    columns = columns_in(looks, spec(csv(timestamp_formats=formats)))
    assert columns["last_update"][0] == "timestamp"


def test_headers_that_differ_in_case_alone_share_their_columns(tmp_path):
    (tmp_path / "a.csv").write_text("Id,Name\n1,x\n")
    (tmp_path / "b.csv").write_text("id,name\n2.5,y\n")
    looks = look_at_folder(tmp_path, csv())
    columns = columns_in(looks, spec(csv(), names="original"))
    assert columns == {"Id": ("double", "Id"), "Name": ("string", "Name")}
    columns = columns_in(looks, spec(csv()), [Column("ID", "int"), Column("Extra", "int")])
    assert columns == {"ID": ("double", "Id"), "name": ("string", "Name")}


def test_columns_of_real_weather():
    looks = look_at_folder(SAMPLES / "weather_hourly", csv(null_values=("", "NA")))
    columns = columns_in(looks, spec(csv(null_values=("", "NA"))))
    assert columns["year"][0] == "bigint"
    assert columns["temp"][0] == "double"
    assert columns["origin"][0] == "string"


def test_columns_of_real_cloudtrail():
    format = json(record_path="Records")
    looks = [look for look in look_at_folder(SAMPLES / "cloudtrail", format) if look.group]
    columns = columns_in(looks, spec(format))
    assert columns["eventtime"] == ("timestamp", "eventTime")
    assert columns["useridentity"][0] == "string"
    assert columns["readonly"][0] == "boolean"


def test_a_json_key_keeps_the_column_it_has(tmp_path):
    (tmp_path / "1.json").write_text('{"ID": 1, "id": 2}\n')
    (tmp_path / "2.json").write_text('{"id": 3, "Id": "x"}\n')
    looks = look_at_folder(tmp_path, json())
    columns = columns_in(looks, spec(json()))
    assert columns == {
        "id": ("bigint", "ID"),
        "id_2": ("bigint", "id"),
        "id_3": ("string", "Id"),
    }
    known = [Column("id", "bigint", "ID"), Column("id_2", "bigint", "id")]
    columns = columns_in(looks[1:], spec(json()), known)
    assert columns == {"id_2": ("bigint", "id"), "id_3": ("string", "Id")}


def test_columns_without_values_and_hints_for_columns_to_come(tmp_path):
    (tmp_path / "1.csv").write_text("a,b\n")
    (tmp_path / "2.csv").write_text("b,c\n1,\n")
    hints = {"later": "int", "c": "date"}
    columns = columns_in(look_at_folder(tmp_path, csv()), spec(csv(), hints=hints))
    assert columns == {"a": ("string", "a"), "b": ("bigint", "b"), "c": ("date", "c")}
