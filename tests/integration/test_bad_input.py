"""Bad input of every kind: one clear message, nothing lost, nothing half-loaded.

After each fault is mended the same files load, once. What is wrong with Java, the jars and the
server's port has its tests in test_java, test_jars and test_spark_server.
"""

import bz2
import gzip
import io
import os
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.errors import (
    SourceNotFound,
    SourceUnavailable,
    SpecError,
    StateError,
    TableError,
    TableUnavailable,
    exit_code,
)
from autoloader_dagster.iceberg.table import IcebergTable
from autoloader_dagster.loading import load as load_module
from autoloader_dagster.loading.discover import discover, why_nothing_was_listed
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.preview import preview
from autoloader_dagster.spark.session import connect
from autoloader_dagster.state import database
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.postgres import PostgresServer, running_postgres
from tests.fixtures.s3 import S3Bucket
from tests.integration.s3_steps import keys_are, s3_ingestion


def _reasons(lake: Lake, ingestion: Ingestion) -> dict[str, tuple[str, str, str]]:
    """File name -> status, kind of error, reason."""
    return {
        Path(f.file_path).name: (f.status, f.error_type or "", f.reason or "")
        for f in lake.store.files.find(ingestion.id)
    }


# --- the source -----------------------------------------------------------------------------------


def test_a_folder_that_is_missing_is_named_and_loads_once_it_is_there(lake: Lake) -> None:
    folder = lake.root / "later"
    ingestion = lake.ingestion("folder", source={"type": "local", "url": str(folder)})

    with pytest.raises(SourceNotFound, match=rf"folder {folder} of spec 'folder' does not exist"):
        lake.load(ingestion)

    folder.mkdir()
    write_ids(folder, "a.csv", 1)
    lake.load(ingestion)
    assert lake.ids("folder") == Counter([1])


def test_a_bucket_that_is_missing_is_named_and_loads_once_it_is_there(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys_are(monkeypatch, "tests", "tests")
    later = S3Bucket(s3_bucket.server, f"{s3_bucket.name}-later")
    ingestion = s3_ingestion(lake, later, "bucket")

    with pytest.raises(SourceNotFound, match=rf"{later.name}.*spec 'bucket'.*no such bucket"):
        lake.load(ingestion)

    later.server.client.create_bucket(Bucket=later.name)
    later.put("in/a.csv", b"id\n1\n")
    lake.load(ingestion)
    assert lake.ids("bucket") == Counter([1])


def test_an_endpoint_that_is_unreachable_is_named_and_loads_once_it_is_reached(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys_are(monkeypatch, "tests", "tests")
    s3_bucket.put("in/a.csv", b"id\n1\n")

    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:9 .*spec 'reach': no answer"):
        lake.load(s3_ingestion(lake, s3_bucket, "reach", endpoint="http://127.0.0.1:9"))

    lake.load(s3_ingestion(lake, s3_bucket, "reach"))
    assert lake.ids("reach") == Counter([1])


# --- files that have no place (yet) ---------------------------------------------------------------


def test_a_file_that_matches_no_partition_says_so_and_loads_once_the_pattern_is_mended(
    lake: Lake,
) -> None:
    write_ids(lake.folder(), "2026-11-20.csv", 1)
    write_ids(lake.folder(), "report.20261121.csv", 2)
    by_path = {"by": "path", "start": "2026-01-01"}
    ingestion = lake.ingestion("place", partition={**by_path, "pattern": "{yyyy}-{MM}-{dd}.csv"})

    lake.load(ingestion)

    status, kind, reason = _reasons(lake, ingestion)["report.20261121.csv"]
    assert (status, kind) == ("QUARANTINED", "NoPartition")
    assert "report.20261121.csv does not match partition.pattern '{yyyy}-{MM}-{dd}.csv'" in reason
    assert "correct the pattern" in reason
    assert lake.ids("place") == Counter([1])

    mended = lake.ingestion("place", partition={**by_path, "pattern": "report.{yyyy}{MM}{dd}.csv"})
    lake.load(mended)
    assert lake.ids("place") == Counter([1, 2])
    assert set(lake.statuses(mended).values()) == {"SUCCESS"}


def test_a_file_before_the_start_is_held_and_loads_once_the_start_is_lowered(lake: Lake) -> None:
    write_ids(lake.folder(), "2025-12-31.csv", 1)
    write_ids(lake.folder(), "2026-01-01.csv", 2)
    by_path = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv"}
    ingestion = lake.ingestion("early", partition={**by_path, "start": "2026-01-01"})

    lake.load(ingestion)

    status, kind, reason = _reasons(lake, ingestion)["2025-12-31.csv"]
    assert (status, kind) == ("HELD", "BeforeStart")
    assert "set partition.start to 2025-12-31 or earlier to load it" in reason
    assert lake.ids("early") == Counter([2])

    lake.load(lake.ingestion("early", partition={**by_path, "start": "2025-12-31"}))
    assert lake.ids("early") == Counter([1, 2])


@pytest.mark.parametrize(
    ("every", "key", "before"), [("week", "2026-11-09", "11-08"), ("month", "2026-11-01", "10-31")]
)
def test_the_first_partition_is_the_one_around_the_start(
    lake: Lake, every: str, key: str, before: str
) -> None:
    for number, day in enumerate(("11-10", "11-12", "11-15", before)):
        write_ids(lake.folder(), f"2026-{day}.csv", number)
    partition = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv", "every": every}
    ingestion = lake.ingestion("middle", partition={**partition, "start": "2026-11-12"})

    lake.load(ingestion)

    assert set(lake.rows("middle", "id", "_partition_key")) == {(0, key), (1, key), (2, key)}
    held = f"2026-{before}"
    status, kind, reason = _reasons(lake, ingestion)[f"{held}.csv"]
    assert (status, kind) == ("HELD", "BeforeStart")
    assert f"set partition.start to {held} or earlier to load it" in reason

    lake.load(lake.ingestion("middle", partition={**partition, "start": held}))
    assert lake.ids("middle") == Counter(range(4))


def test_filters_that_choose_nothing_are_said_and_load_once_they_are_mended(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    write_ids(lake.folder("in/deep"), "b.csv", 2)
    source = {"type": "local", "url": str(lake.folder())}
    ingestion = lake.ingestion("glob", source={**source, "include": ["*.tsv"]})

    assert discover(ingestion).listed == 0
    assert why_nothing_was_listed(ingestion) == (
        f"2 files are below {lake.folder()}, and none is chosen by the filters of source "
        "(include *.tsv); correct them in glob.yaml"
    )
    assert lake.load(ingestion) == []

    lake.load(lake.ingestion("glob", source={**source, "include": ["**/*.csv"]}))
    assert lake.ids("glob") == Counter([1, 2])


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (
            {"include": ["*.tsv"], "exclude": ["x"]},
            "1 file is below .*include \\*.tsv; exclude x",
        ),
        ({"modified_after": "2999-01-01"}, "1 file is below .*modified_after 2999-01-01"),
        ({"include": ["no/*.csv"]}, "there are no files below"),
    ],
)
def test_objects_that_no_filter_chooses_are_counted(
    lake: Lake,
    s3_bucket: S3Bucket,
    monkeypatch: pytest.MonkeyPatch,
    filters: dict[str, object],
    words: str,
) -> None:
    keys_are(monkeypatch, "tests", "tests")
    s3_bucket.put("in/a.csv", GOOD)
    ingestion = s3_ingestion(lake, s3_bucket, "chosen", source=filters)

    assert discover(ingestion).listed == 0
    assert re.search(words, why_nothing_was_listed(ingestion))


# --- bad files ------------------------------------------------------------------------------------


GOOD = b"id\n1\n2\n"


def _cut_parquet() -> bytes:
    whole = _parquet(1, 2, 3)
    return whole[: len(whole) - 20]


def _parquet(*ids: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), file, compression="none")
    return file.getvalue()


BAD_CSV = {
    "cut.csv.gz": (gzip.compress(GOOD)[:-5], "TruncatedGzip", "ends in the middle of its gzip"),
    "empty.csv": (b"", "EmptyFile", "is empty (0 bytes)"),
    "error.csv": (b'{"error": "quota exceeded"}', "NotCsv", "which is JSON"),
    "page.csv": (b"<!DOCTYPE html><html><body>502</body></html>", "NotCsv", "which is a web page"),
    "parquet.csv": (_parquet(1), "NotCsv", "is a Parquet file; set format.type: parquet"),
    "late.csv.bz2": (
        bz2.compress(os.urandom(2_000_000).hex().encode())[:-40],
        "TruncatedBzip2",
        "deliver it again whole",
    ),
    "archive.csv": (b"PK\x03\x04 and so on", "UnsupportedCompression", "is a zip archive"),
}


def test_bad_files_are_set_aside_with_the_reason_and_the_good_ones_are_published(
    lake: Lake,
) -> None:
    folder = lake.folder()
    for name, (content, _, _) in BAD_CSV.items():
        (folder / name).write_bytes(content)
    (folder / "header.csv").write_bytes(b"id\n")
    (folder / "good.csv").write_bytes(GOOD)
    (folder / "good.csv.gz").write_bytes(gzip.compress(b"id\n3\n"))
    source = {"type": "local", "url": str(folder), "on_change": "replace"}
    ingestion = lake.ingestion("bad", source=source)

    (outcome,) = lake.load(ingestion)

    reasons = _reasons(lake, ingestion)
    for name, (_, kind, words) in BAD_CSV.items():
        assert reasons[name][:2] == ("QUARANTINED", kind), name
        assert words in reasons[name][2]
    assert {n for n, r in reasons.items() if r[0] == "SUCCESS"} == {
        "header.csv", "good.csv", "good.csv.gz",
    }  # fmt: skip
    assert (outcome.rows, lake.ids("bad")) == (3, Counter([1, 2, 3]))
    assert lake.load(ingestion) == [], "a file that is bad in itself is not tried again"

    for i, name in enumerate(BAD_CSV, start=10):
        content = f"id\n{i}\n".encode()
        packed = {".gz": gzip.compress, ".bz2": bz2.compress}.get(Path(name).suffix, bytes)
        (folder / name).write_bytes(packed(content))
    lake.load(ingestion)
    assert lake.ids("bad") == Counter([1, 2, 3, *range(10, 10 + len(BAD_CSV))])


def test_a_parquet_file_cut_short_is_set_aside(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "cut.parquet").write_bytes(_cut_parquet())
    (folder / "good.parquet").write_bytes(_parquet(4))
    ingestion = lake.ingestion("cut", format={"type": "parquet"})

    lake.load(ingestion)

    status, kind, reason = _reasons(lake, ingestion)["cut.parquet"]
    assert (status, kind) == ("QUARANTINED", "TruncatedParquet")
    assert "deliver it again whole" in reason
    assert lake.ids("cut") == Counter([4])


def _damaged_parquet() -> bytes:
    """A Parquet file with a sound footer and a damaged page, which only reading it shows."""
    file = io.BytesIO()
    table = pa.table({"id": pa.array(range(100_000), pa.int64())})
    pq.write_table(table, file, compression="snappy", use_dictionary=False)
    content = bytearray(file.getvalue())
    content[2_000:6_000] = b"\xff" * 4_000
    return bytes(content)


def test_a_file_that_only_spark_finds_bad_is_tried_so_often_and_no_more(lake: Lake) -> None:
    folder = lake.folder()
    for name in ("damaged.parquet", "other damaged.parquet"):
        (folder / name).write_bytes(_damaged_parquet())
    for i in range(3):
        (folder / f"{i}.parquet").write_bytes(_parquet(i))
    ingestion = lake.ingestion("page", format={"type": "parquet"}, errors={"retries": 1})

    (outcome,) = lake.load(ingestion)

    assert lake.ids("page") == Counter(range(3))
    assert len(outcome.loaded) == 3
    for name in ("damaged.parquet", "other damaged.parquet"):
        status, kind, reason = _reasons(lake, ingestion)[name]
        assert (status, kind) == ("FAILED", "Unreadable")
        assert reason
        assert reason.startswith("Spark cannot read the file: ")
        assert "Encountered error" not in reason
        assert "Exception" not in reason
    (folder / "3.parquet").write_bytes(_parquet(3))
    (folder / "damaged again.parquet").write_bytes(_damaged_parquet())
    shown = preview(ingestion)
    assert [Path(path).name for path in shown.files] == ["3.parquet"]
    assert {Path(file.path).name for file in shown.bad_files} == {
        "damaged again.parquet",
        "damaged.parquet",
    }
    assert {file.error_type for file in shown.bad_files} == {"Unreadable"}
    assert "cannot read" in str(shown.bad_files[0].reason)
    (folder / "3.parquet").unlink()
    (folder / "damaged again.parquet").unlink()

    lake.load(ingestion)
    assert _reasons(lake, ingestion)["damaged.parquet"][0] == "QUARANTINED"
    assert lake.load(ingestion) == []
    assert lake.ids("page") == Counter(range(3))


def test_an_unknown_catalog_or_partition_column_is_named_with_those_there_are(lake: Lake) -> None:
    (lake.folder() / "a.parquet").write_bytes(_parquet(1))
    table = {"name": f"lake.{lake.namespace}.wrong", "partition_by": ["days(idd)"]}
    ingestion = lake.ingestion("wrong", format={"type": "parquet"}, table=table)
    for call in (lambda: preview(ingestion), lambda: lake.load(ingestion)):
        with pytest.raises(SpecError, match=r"names the column 'idd'.*did you mean 'id'"):
            call()
    elsewhere = lake.ingestion("wrong", format={"type": "parquet"}, table={"name": "lak.a.wrong"})
    for call in (lambda: preview(elsewhere), lambda: lake.load(elsewhere)):
        with pytest.raises(TableError, match=r"catalog 'lak'.*the catalogs are lake"):
            call()


@pytest.mark.parametrize("files", [1, 3])
def test_a_batch_of_nothing_but_damaged_files_is_not_tried_for_ever(lake: Lake, files: int) -> None:
    for i in range(files):
        (lake.folder() / f"{i}.parquet").write_bytes(_damaged_parquet())
    ingestion = lake.ingestion("all", format={"type": "parquet"}, errors={"retries": 0})

    lake.load(ingestion)

    assert set(lake.statuses(ingestion).values()) == {"QUARANTINED"}
    assert lake.load(ingestion) == []


def test_files_with_more_bad_rows_than_the_spec_allows_are_set_aside(lake: Lake) -> None:
    (lake.folder() / "one.csv").write_text("id,n\n1,1\n2,x\n")
    (lake.folder() / "two.csv").write_text("id,n\n3,x\n4,y\n5,5\n")
    ingestion = lake.ingestion(
        "rows",
        schema={"hints": {"n": "bigint"}},
        errors={"bad_rows": "quarantine", "max_bad_rows": 1},
    )

    (note,) = [each for each in preview(ingestion).notes if "_rescued" in each]
    assert note.startswith(("one.csv has rows with values that do not fit", "two.csv has rows"))
    assert note.endswith(("; row 2: n is 'x'", "; row 1: n is 'x'"))

    lake.load(ingestion)

    status, kind, reason = _reasons(lake, ingestion)["two.csv"]
    assert (status, kind) == ("QUARANTINED", "BadRows")
    assert "has 2 bad rows, and errors.max_bad_rows is 1; row 1: n is 'x'" in reason
    assert lake.rows("rows", "id", "_rescued") == [(1, None), (2, '{"n":"x"}')]


# --- the table ------------------------------------------------------------------------------------


def test_a_table_with_another_layout_is_named_with_its_spec_and_loads_once_it_is_out_of_the_way(
    lake: Lake,
) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("alien")
    with connect(lake.settings) as spark:
        spark.sql(f"create namespace if not exists lake.{lake.namespace}")
        spark.sql(f"create table {ingestion.spec.table.name} (id bigint) using iceberg")

    with pytest.raises(TableError, match=r"exists with another layout.*_source_file") as caught:
        lake.load(ingestion)
    assert "Give table.name a name of its own" in caught.value.hint

    with connect(lake.settings) as spark:
        spark.sql(f"drop table {ingestion.spec.table.name}")
    lake.load(ingestion)
    assert lake.ids("alien") == Counter([1])


# --- the disk -------------------------------------------------------------------------------------


@contextmanager
def _small_disk(at: Path, size: str) -> Iterator[Path]:
    at.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
    assert shutil.disk_usage(disk).free == 0
    return filler


@pytest.mark.parametrize("when", ["making the table", "writing"])
def test_a_warehouse_that_is_full_sets_no_file_aside(lake: Lake, when: str) -> None:
    for i in range(2):
        write_ids(lake.folder(), f"{i}.csv", i)
    ingestion = lake.ingestion("full")
    with _small_disk(lake.root / "disk", "2m") as disk:
        warehouse = Path(lake.settings.warehouse)
        warehouse.mkdir(parents=True, exist_ok=True)
        (warehouse / lake.namespace).symlink_to(disk)
        if when == "writing":
            lake.load(ingestion)
            for i in range(2, 4):
                write_ids(lake.folder(), f"{i}.csv", i)
        before = {n for n, s in lake.statuses(ingestion).items() if s == "SUCCESS"}
        filler = _fill(disk)

        with pytest.raises(TableUnavailable) as caught:
            lake.load(ingestion)
        assert exit_code(caught.value) == 2
        assert caught.value.what.count("No space left on device") == 1
        assert ingestion.spec.table.name in caught.value.what
        assert "wait for the next run" in caught.value.hint

        waiting = {n: s for n, s in lake.statuses(ingestion).items() if n not in before}
        assert set(waiting.values()) == {"DISCOVERED"}
        filler.unlink()
        lake.load(ingestion)
        assert lake.ids("full") == Counter(range(4 if when == "writing" else 2))


def test_a_state_database_on_a_full_disk_says_so_and_loads_once_there_is_room(lake: Lake) -> None:
    for i in range(1000):
        write_ids(lake.folder(), f"{i}.csv", i)
    with (
        _small_disk(lake.root / "disk", "4m") as disk,
        closing(ProcessedFiles(f"sqlite:///{disk / 'state.db'}")) as lake.store,
    ):
        lake.store.upgrade()
        ingestion = lake.ingestion("state")
        filler = _fill(disk)

        with pytest.raises(StateError, match=r"disk that is full") as caught:
            lake.load(ingestion)
        assert "Free space on its disk" in caught.value.hint

        filler.unlink()
        lake.load(ingestion)
    assert lake.ids("state") == Counter(range(1000))


# --- the state database ---------------------------------------------------------------------------


def test_a_database_that_another_process_keeps_locked_says_so(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_SECONDS", 0.2)
    write_ids(lake.folder(), "a.csv", 1)
    path = lake.root / "locked.db"
    with closing(ProcessedFiles(f"sqlite:///{path}")) as lake.store:
        lake.store.upgrade()
        ingestion = lake.ingestion("locked")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StateError, match=r"locked\.db is locked by another process"):
                lake.load(ingestion)
            other.execute("ROLLBACK")

        lake.load(ingestion)
    assert lake.ids("locked") == Counter([1])


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of the test's own, which it may stop."""
    with running_postgres() as server:
        yield server


def test_a_database_that_is_down_says_so_and_loses_nothing(
    lake: Lake, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    with closing(ProcessedFiles(own_postgres.url)) as lake.store:
        lake.store.upgrade()
        ingestion = lake.ingestion("down")
        own_postgres.stop()

        with pytest.raises(StateError, match=r"127\.0\.0\.1.*cannot be reached") as caught:
            lake.load(ingestion)
        assert "Start the database" in caught.value.hint

        own_postgres.start()
        # Now it goes down after the batch is published and before it is recorded.
        real = IcebergTable.fast_forward

        def publish_and_stop(table: IcebergTable, branch: str) -> None:
            real(table, branch)
            own_postgres.stop()

        with monkeypatch.context() as patched:
            patched.setattr(IcebergTable, "fast_forward", publish_and_stop)
            with pytest.raises(StateError):
                lake.load(ingestion)
        own_postgres.start()
        lake.load(ingestion, ended_runs={f"run-{lake.runs}"})

        assert lake.statuses(ingestion) == {"a.csv": "SUCCESS"}
        assert lake.load(ingestion) == []
    assert lake.ids("down") == Counter([1])


def test_rows_that_another_transaction_holds_are_waited_for_and_said(
    lake: Lake, postgres_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    with (
        closing(ProcessedFiles(postgres_database_url)) as lake.store,
        psycopg.connect(postgres_database_url) as other,
    ):
        lake.store.upgrade()
        ingestion = lake.ingestion("held")
        discover(ingestion)
        other.execute("SELECT * FROM processed_files FOR UPDATE")
        with monkeypatch.context() as short:
            short.setattr(load_module, "_LOCKED_SECONDS", 0.1)
            with pytest.raises(StateError, match=r"another transaction .* has held their rows"):
                lake.load(ingestion, listed=True)

        def let_go() -> None:
            if other.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
                other.rollback()

        pause = load_module._Locked.pause
        monkeypatch.setattr(load_module._Locked, "pause", lambda it: (pause(it), let_go()))
        assert len(lake.load(ingestion, listed=True)) == 1
    assert lake.ids("held") == Counter([1])
