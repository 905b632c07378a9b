import io
from datetime import time
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.formats.parquet.options import ParquetFormat
from tests.unit.look_steps import look_at_bytes

PARQUET = ParquetFormat(type="parquet")


def parquet(table: dict | pa.Table, **options) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), sink, **options)
    return sink.getvalue()


def look(tmp_path, data, name="x.parquet"):
    return look_at_bytes(tmp_path, data, PARQUET, name)


def test_the_footer_gives_names_and_rows(tmp_path):
    found = look(tmp_path, parquet({"id": [1, 2, 3], "Name": ["a", None, "c"]}))
    assert (found.bad, found.rows, found.empty) == (None, 3, False)
    assert found.columns == found.group.names == ("id", "Name")


def test_a_file_without_rows_is_good(tmp_path):
    found = look(tmp_path, parquet({"id": pa.array([], pa.int64())}))
    assert (found.bad, found.rows, found.empty) == (None, 0, True)


def test_files_of_one_schema_are_one_group(tmp_path):
    def group(table):
        return look(tmp_path, parquet(table)).group

    first = group({"a": [1], "b": [{"x": 1}]})
    assert group({"a": [2, 3], "b": [{"x": 4}, None]}) == first
    assert group({"a": [1.5], "b": [{"x": 1}]}) != first
    assert group({"a": [1], "b": [{"x": "1"}]}) != first
    assert group({"b": [{"x": 1}], "a": [1]}) != first


def test_a_footer_longer_than_the_tail_is_read_in_two_steps(tmp_path):
    rows = {f"column_{i}": np.random.default_rng(i).random(50) for i in range(3_000)}
    data = parquet(rows, compression="none")
    assert int.from_bytes(data[-8:-4], "little") > 64 * 2**10
    found = look(tmp_path, data)
    assert (found.bad, found.rows, len(found.columns)) == (None, 50, 3_000)


@pytest.mark.parametrize(
    ("damage", "error_type", "what"),
    [
        (lambda d: b"", "EmptyFile", "0 bytes"),
        (lambda d: b"PAR1", "TruncatedParquet", "does not end with PAR1"),
        (lambda d: d[:-1], "TruncatedParquet", "does not end with PAR1"),
        (lambda d: d[: len(d) // 2], "TruncatedParquet", "does not end with PAR1"),
        (lambda d: d[:200] + d[50_000:], "TruncatedParquet", "should have data up to byte"),
        (
            lambda d: d[:-8] + b"\xff\xff\xff\x00PAR1",
            "TruncatedParquet",
            "its footer has 16,777,215",
        ),
        (
            lambda d: (
                d[:-18] + (int.from_bytes(d[-8:-4], "little") - 10).to_bytes(4, "little") + b"PAR1"
            ),
            "CorruptParquet",
            "No more data to read; deliver it again",
        ),
        (
            lambda d: d[:-200] + b"\xff" * 192 + d[-8:],
            "CorruptParquet",
            "footer that cannot be read",
        ),
        (lambda d: d[:-4] + b"PARE", "Encrypted", "encrypted"),
        (lambda d: b"PARE" + d[4:], "Encrypted", "encrypted"),
        (lambda d: b"a,b\n1,2\n", "NotParquet", "begins with 'a,b·1,2', not with PAR1"),
        (lambda d: b"\x1f\x8b\x08" + d, "NotParquet", "not with PAR1"),
    ],
)
def test_a_damaged_file_is_set_aside(tmp_path, damage, error_type, what):
    data = parquet({"a": np.random.default_rng(1).random(20_000)})
    found = look(tmp_path, damage(data))
    assert found.bad.error_type == error_type
    assert what in found.bad.message


def test_names_that_differ_only_in_case_are_one_name_to_spark(tmp_path):
    found = look(tmp_path, parquet({"Lat": [1.0], "lat": [2.0]}))
    assert found.bad.error_type == "DuplicateColumns"
    assert "'Lat' and 'lat'" in found.bad.message


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (pa.array([[{"t": 0}]], pa.list_(pa.struct([("t", pa.timestamp("ns"))]))), "nanoseconds"),
        (pa.array([time(1, 2)]), "a time of day"),
        (pa.array([np.float16(1)]), "16-bit floats"),
    ],
)
def test_types_that_spark_does_not_read_are_named(tmp_path, values, what):
    found = look(tmp_path, parquet({"fine": [1], "c": values}))
    assert found.bad.error_type == "UnsupportedType"
    assert what in found.bad.message
    assert "column 'c" in found.bad.message


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0], pa.timestamp("us", "UTC")),
        pa.array([0], pa.timestamp("ms")),
        pa.array([0], pa.date32()),
        pa.array([Decimal("1.10")]),
        pa.array([[1]], pa.list_(pa.int8())),
        pa.array([b"x"]),
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
    ],
)
def test_types_that_spark_reads(tmp_path, values):
    assert look(tmp_path, parquet({"c": values})).bad is None
    # Some writers note times in the older INT96.
    if pa.types.is_timestamp(values.type):
        old = parquet({"c": values}, use_deprecated_int96_timestamps=True)
        assert look(tmp_path, old).bad is None


def test_only_a_hidden_name_is_staged(tmp_path):
    data = parquet({"a": [1]})
    assert look(tmp_path, data, "part-0.gz.parquet").stage_as is None
    assert look(tmp_path, data, "part-0.gz").stage_as is None
    assert look(tmp_path, data, "_part").stage_as == ".parquet"


def test_a_compression_that_spark_does_not_have_is_named(tmp_path):
    assert look(tmp_path, parquet({"a": [1]}, compression="lz4")).bad is None
    found = look(tmp_path, parquet({"a": [1]}, compression="brotli"))
    assert found.bad.error_type == "UnsupportedCompression"
    assert "brotli" in found.bad.message
