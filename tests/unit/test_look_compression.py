import bz2
import gzip
import random

import pyarrow as pa
import pytest

from tests.unit.look_steps import csv, json, look_at_bytes

TEXT = b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(300_000))


def _zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


PACKERS = {
    "gzip": (lambda data: gzip.compress(data, 1), ".gz"),
    "bzip2": (lambda data: bz2.compress(data, 1), ".bz2"),
    "zstd": (_zstd, ".zst"),
}


@pytest.mark.parametrize("kind", PACKERS)
def test_a_compressed_file_under_its_suffix_is_read_in_place(tmp_path, kind):
    pack, suffix = PACKERS[kind]
    for name in (f"x.csv{suffix}", f"X.CSV{suffix.upper()}"):
        found = look_at_bytes(tmp_path, pack(TEXT), csv(), name)
        assert (found.bad, found.compression, found.stage_as) == (None, kind, None)
        assert found.columns == ("a", "b")
        last = int(found.sample[-1][0])
        assert last > 250_000
        assert found.sample[-1] == (str(last), str(last**2))


@pytest.mark.parametrize("kind", PACKERS)
def test_a_compressed_file_without_its_suffix_is_staged(tmp_path, kind):
    pack, suffix = PACKERS[kind]
    for name in ("x.csv", "x.dat", "x.snappy"):
        found = look_at_bytes(tmp_path, pack(TEXT), csv(), name)
        assert (found.bad, found.stage_as) == (None, f".csv{suffix}")
    found = look_at_bytes(tmp_path, pack(b'{"a":1}\n'), json(), "x.gzip")
    assert (found.columns, found.stage_as) == (("a",), f".json{suffix}")


@pytest.mark.parametrize("name", ["x.csv.gz", "x.bz2", "x.zst", "x.deflate", "x.lz4", "x.snappy"])
def test_a_plain_file_with_the_suffix_of_a_codec_is_staged(tmp_path, name):
    found = look_at_bytes(tmp_path, b"a,b\n1,2\n", csv(), name)
    assert (found.bad, found.compression, found.stage_as) == (None, "none", ".csv")


@pytest.mark.parametrize("kind", PACKERS)
def test_several_streams_in_one_file_are_one_content(tmp_path, kind):
    pack, suffix = PACKERS[kind]
    data = pack(b"a,b\n1,2\n") + pack(b"") + pack(b'3,"4\n5"\n')
    found = look_at_bytes(tmp_path, data, csv(), f"x{suffix}")
    assert found.bad is None
    assert found.group.multiline
    assert found.sample == (("1", "2"), ("3", "4\n5"))


@pytest.mark.parametrize("options", [{}, {"multiline": False}])
@pytest.mark.parametrize("kind", PACKERS)
def test_a_truncated_stream_sets_the_file_aside(tmp_path, kind, options):
    pack, suffix = PACKERS[kind]
    data = pack(TEXT)
    for cut in (1, 4, 8, 9, len(data) // 2, len(data) - 20):
        found = look_at_bytes(tmp_path, data[:-cut], csv(**options), f"x{suffix}")
        assert found.bad.error_type == f"Truncated{kind.capitalize()}"
        assert "ends in the middle" in found.bad.message


def test_a_truncated_json_gzip_sets_the_file_aside(tmp_path):
    data = gzip.compress(b'{"a":1}\n' * 300_000)
    found = look_at_bytes(tmp_path, data[:-1], json(), "x.json.gz")
    assert found.bad.error_type == "TruncatedGzip"
    data = gzip.compress(b"[" + b'{"a":1},' * 10 + b"{}]")
    found = look_at_bytes(tmp_path, data[:-1], json(), "x.json.gz")
    assert found.bad.error_type == "TruncatedGzip"


@pytest.mark.parametrize("kind", ["gzip", "bzip2"])
@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_never_passes(tmp_path, kind, seed):
    chance = random.Random(seed)
    pack, suffix = PACKERS[kind]
    data = bytearray(pack(TEXT[:200_000]))
    # The header of gzip holds a time that nothing checks.
    data[chance.randrange(20, len(data))] ^= 1 << chance.randrange(8)
    found = look_at_bytes(tmp_path, bytes(data), csv(), f"x{suffix}")
    assert found.bad is not None


@pytest.mark.parametrize("kind", PACKERS)
def test_signs_after_the_stream_set_the_file_aside(tmp_path, kind):
    pack, suffix = PACKERS[kind]
    found = look_at_bytes(tmp_path, pack(TEXT) + b"trailing signs", csv(), f"x{suffix}")
    assert found.bad.error_type == f"Corrupt{kind.capitalize()}"


@pytest.mark.parametrize("kind", PACKERS)
def test_nothing_compressed_is_an_empty_file(tmp_path, kind):
    pack, suffix = PACKERS[kind]
    packed = pack(b"")
    found = look_at_bytes(tmp_path, packed, csv(), f"x{suffix}")
    assert found.bad.error_type == "EmptyFile"
    expected = f"is empty: nothing is in the compressed file ({len(packed)} bytes)"
    assert found.bad.message == expected


@pytest.mark.parametrize("kind", PACKERS)
def test_a_bomb_takes_bounded_memory(tmp_path, kind):
    pack, suffix = PACKERS[kind]
    found = look_at_bytes(tmp_path, pack(b"a" * 200 * 2**20), csv(), f"x{suffix}")
    assert found.bad.error_type == "LineTooLong"


@pytest.mark.parametrize(
    ("data", "name", "what"),
    [
        (b"\xfd7zXZ\x00", "x.csv.xz", "xz"),
        (b"PK\x03\x04", "x.csv", "zip archive"),
        (b"PK\x05\x06", "x.zip", "zip archive without files"),
        (b"\x04\x22\x4d\x18", "x.csv.lz4", "lz4"),
        (b"\xff\x06\x00\x00sNaPpY", "x.csv", "snappy"),
        (b"7z\xbc\xaf\x27\x1c", "x.csv", "7z"),
        (b"Rar!\x1a\x07\x00", "x.csv", "rar"),
        (b"\x1f\x9d\x90", "x.Z", "compress"),
        (b"\x5d\x00\x00\x80", "x.lzma", "lzma"),
    ],
)
def test_compressions_that_spark_does_not_read_are_named(tmp_path, data, name, what):
    found = look_at_bytes(tmp_path, data + b" rest", csv(), name)
    assert found.bad.error_type == "UnsupportedCompression"
    assert what in found.bad.message


def test_a_tar_archive_in_gzip_is_named(tmp_path):
    data = gzip.compress(b"x.csv".ljust(257, b"\0") + b"ustar\0" + b"\0" * 300)
    found = look_at_bytes(tmp_path, data, csv(), "x.tar.gz")
    assert found.bad.error_type == "UnsupportedCompression"
    assert "tar archive" in found.bad.message
