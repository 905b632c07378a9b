"""From a bucket to the table: Spark's own reader of S3 with the credentials of the connection."""

import io
import json
import logging
import secrets
import traceback
from collections import Counter
from contextlib import closing
from datetime import datetime, timezone
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.errors import AutoloaderError, SourceAccessDenied, SpecError
from autoloader_dagster.formats.csv import lines as csv_lines
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.orchestration.assets import build_asset
from autoloader_dagster.orchestration.resources import default_resources
from autoloader_dagster.sources.s3.client import S3Access
from autoloader_dagster.spark.session import connect
from autoloader_dagster.specs.connections import load_connections
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.lake import Lake
from tests.fixtures.moments import once_at
from tests.fixtures.s3 import S3Bucket
from tests.integration.s3_steps import keys_are, s3_ingestion

READ_AND_LIST = ("s3:ListBucket", "s3:GetObject")


@pytest.fixture(autouse=True)
def some_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server looks at credentials only where a test asks it to."""
    keys_are(monkeypatch, "tests", "tests")


@pytest.fixture
def spark_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small CSV objects too are read by Spark, as large ones are."""
    monkeypatch.setattr(csv_lines, "INLINE_FILE_BYTES", -1)


def _csv(*ids: int) -> bytes:
    return ("id\n" + "".join(f"{i}\n" for i in ids)).encode()


def _parquet(*ids: int) -> bytes:
    return _table(pa.table({"id": pa.array(ids, pa.int64())}))


def _table(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def _json(*ids: int) -> bytes:
    return "".join(json.dumps({"id": i}) + "\n" for i in ids).encode()


@pytest.mark.usefixtures("spark_reads")
@pytest.mark.parametrize(
    ("format_name", "suffix", "content"),
    [("csv", "csv", _csv), ("json", "jsonl", _json), ("parquet", "parquet", _parquet)],
)
def test_files_of_each_format_are_loaded(
    lake: Lake, s3_bucket: S3Bucket, format_name: str, suffix: str, content: Any
) -> None:
    s3_bucket.put(f"in/a.{suffix}", content(1, 2))
    s3_bucket.put(f"in/deep/er/b.{suffix}", content(3))
    s3_bucket.put(f"not_in/c.{suffix}", content(4))
    ingestion = s3_ingestion(lake, s3_bucket, format_name, format={"type": format_name})

    (outcome,) = lake.load(ingestion)

    assert (outcome.rows, len(outcome.loaded)) == (3, 2)
    assert lake.rows(format_name, "id", "_source_file") == [
        (1, f"s3://{s3_bucket.name}/in/a.{suffix}"),
        (2, f"s3://{s3_bucket.name}/in/a.{suffix}"),
        (3, f"s3://{s3_bucket.name}/in/deep/er/b.{suffix}"),
    ]
    assert lake.load(ingestion) == []


ODD_NAMES = (
    "a b.csv", "a%20b.csv", "100%.csv", "a+b.csv", "Zürich ✓.csv", "a#b.csv", "a?b.csv",
    "a//b.csv", "//c.csv", "_hidden.csv", ".dot.csv", "_folder/a.csv", "a[1].csv", "a{x,y}.csv",
    "a*.csv", "a\\b.csv", "a:b.csv", "a'b\"c.csv", "a&b=c.csv", "trailing .csv ", "naïve.csv",
    "nai\u0308ve.csv", "x=1/y=a b/c.csv", "no_suffix", "c.csv.gz", "e._COPYING_",
)  # fmt: skip


@pytest.mark.usefixtures("spark_reads")
# Spark is given few files one by one, and many through their folders.
@pytest.mark.parametrize("further", [0, 20])
def test_odd_names_are_loaded_from_their_own_files(
    lake: Lake, s3_bucket: S3Bucket, further: int
) -> None:
    keys = [*ODD_NAMES, *(f"plain/{i}.csv" for i in range(further))]
    s3_bucket.put_many({f"in/{key}": _csv(i, 1000 + i) for i, key in enumerate(keys)})
    # Not of the batch, though the folders hold it.
    s3_bucket.put_many({"in/other.txt": b"other\n1\n", "in/plain/_x.txt": b"other\n1\n"})
    ingestion = s3_ingestion(lake, s3_bucket, "odd", source={"exclude": ["**/*.txt"]})

    (outcome,) = lake.load(ingestion)

    assert [f for f in outcome.files if f.status != "SUCCESS"] == []
    assert Counter(lake.rows("odd", "_source_file", "id")) == Counter(
        (f"s3://{s3_bucket.name}/in/{key}", number)
        for i, key in enumerate(keys)
        for number in (i, 1000 + i)
    )


@pytest.mark.usefixtures("spark_reads")
def test_files_of_many_folders_are_read_through_the_folder_above(
    lake: Lake, s3_bucket: S3Bucket
) -> None:
    s3_bucket.put_many({f"in/day [{i}]/x.parquet": _parquet(i) for i in range(34)})
    s3_bucket.put("in/day [1]/other.csv", b"no parquet at all")
    source = {"include": ["**/*.parquet"]}
    ingestion = s3_ingestion(lake, s3_bucket, "folders", source=source, format={"type": "parquet"})

    lake.load(ingestion)

    assert lake.ids("folders") == Counter(range(34))


def test_files_of_two_schemas_beside_each_other_keep_their_columns(
    lake: Lake, s3_bucket: S3Bucket
) -> None:
    # From 33 files of a schema on Spark is given the folder, in which the others are, too.
    prices, costs, turned = (
        [pa.table({"id": [i], **more}) for i in ids]
        for ids, more in (
            (range(34), {"price": [1.5], "cost": [2.5]}),
            (range(34, 68), {"cost": [3.5]}),
            (range(68, 102), {"cost": [4.5], "price": [5.5]}),
        )
    )
    s3_bucket.put_many(
        {
            f"in/{year}-{i}.parquet": _table(table)
            for year, tables in (("2024", prices), ("2025", costs), ("2026", turned))
            for i, table in enumerate(tables)
        }
    )

    lake.load(s3_ingestion(lake, s3_bucket, "schemas", format={"type": "parquet"}))

    expected = [(i, 1.5, 2.5) for i in range(34)] + [(i, None, 3.5) for i in range(34, 68)]
    expected += [(i, 5.5, 4.5) for i in range(68, 102)]
    assert sorted(lake.rows("schemas", "id", "price", "cost")) == expected


@pytest.mark.usefixtures("spark_reads")
def test_files_at_the_root_of_a_bucket_are_loaded(lake: Lake, s3_bucket: S3Bucket) -> None:
    s3_bucket.put_many({f"{i}.csv": _csv(i) for i in range(34)})

    lake.load(s3_ingestion(lake, s3_bucket, "root", below=""))

    assert lake.ids("root") == Counter(range(34))


def test_a_changed_object_takes_the_place_of_its_rows(lake: Lake, s3_bucket: S3Bucket) -> None:
    s3_bucket.put("in/a.csv", _csv(1, 2))
    s3_bucket.put("in/b.csv", _csv(3))
    ingestion = s3_ingestion(lake, s3_bucket, "changed", source={"on_change": "replace"})
    lake.load(ingestion)
    # As long as the first one, and within the same second: only the etag tells.
    s3_bucket.put("in/a.csv", _csv(8, 9))

    (outcome,) = lake.load(ingestion)

    assert [f.path for f in outcome.loaded] == [f"s3://{s3_bucket.name}/in/a.csv"]
    assert lake.ids("changed") == Counter([8, 9, 3])
    assert lake.load(ingestion) == []


@pytest.mark.parametrize("when", ["before the look", "after the look", "after the write"])
def test_an_object_replaced_after_the_listing_is_loaded_once_and_whole(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    s3_bucket.put_many({"in/a.csv": _csv(1), "in/b.csv": _csv(2), "in/_c.csv": _csv(3)})
    ingestion = s3_ingestion(lake, s3_bucket, "moving")
    discover(ingestion)

    def replace() -> None:
        s3_bucket.put_many({"in/b.csv": _csv(20, 21), "in/_c.csv": _csv(30)})

    point = {"before the look": "claimed", "after the look": "staged"}.get(when, "written")
    with once_at(point, replace):
        lake.load(ingestion, listed=True)

    assert lake.ids("moving") == Counter([1, 20, 21, 30])
    assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}


# The same size within the same second: then only the etag tells.
@pytest.mark.parametrize("ids", [(7, 8), (2, 3, 4), (2,)], ids=["same size", "appended", "cut"])
@pytest.mark.parametrize("step", ["staged", "written"])
def test_an_object_that_is_changed_in_mid_load_is_loaded_as_it_is_then(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, step: str, ids: tuple[int]
) -> None:
    s3_bucket.put_many({"in/a.csv": _csv(1), "in/b.csv": _csv(2, 3)})
    ingestion = s3_ingestion(lake, s3_bucket, "unsteady")

    with once_at(step, lambda: s3_bucket.put("in/b.csv", _csv(*ids))):
        lake.load(ingestion)

    assert lake.ids("unsteady") == Counter([1, *ids])
    loaded = lake.store.files.find(ingestion.id, ("SUCCESS",))
    now = {ref.path: ref.version for page in ingestion.source.list_pages() for ref in page}
    assert {file.file_path: file.file_version for file in loaded} == now
    assert lake.load(ingestion) == []


@pytest.mark.parametrize("format_name", ["csv", "parquet"])
@pytest.mark.parametrize("step", ["staged", "written"])
def test_an_object_deleted_in_mid_load_is_skipped(
    lake: Lake, s3_bucket: S3Bucket, step: str, format_name: str
) -> None:
    content = _csv if format_name == "csv" else _parquet
    s3_bucket.put_many({"in/a": content(1), "in/b": content(2)})
    ingestion = s3_ingestion(lake, s3_bucket, "gone", format={"type": format_name})

    with once_at(step, lambda: s3_bucket.delete("in/a")):
        lake.load(ingestion)

    assert lake.ids("gone") == Counter([2])
    assert lake.statuses(ingestion) == {"a": "SKIPPED", "b": "SUCCESS"}


def test_the_state_may_be_in_postgresql(
    lake: Lake, s3_bucket: S3Bucket, postgres_database_url: str
) -> None:
    s3_bucket.put_many({"in/a b.csv": _csv(1), "in/b.csv": _csv(2), "in/bad.csv": b""})
    with closing(ProcessedFiles(postgres_database_url)) as lake.store:
        lake.store.upgrade()
        ingestion = s3_ingestion(lake, s3_bucket, "pg", source={"on_change": "replace"})
        lake.load(ingestion)
        s3_bucket.put("in/b.csv", _csv(20))

        lake.load(ingestion)

        statuses = {f.file_path[-7:]: f.status for f in lake.store.files.find(ingestion.id)}

    assert lake.ids("pg") == Counter([1, 20])
    assert statuses == {"a b.csv": "SUCCESS", "n/b.csv": "SUCCESS", "bad.csv": "QUARANTINED"}


# --- credentials ----------------------------------------------------------------------------------


def test_wrong_keys_are_said_and_the_right_ones_load_the_same_files(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_bucket.put("in/a.csv", _csv(1))
    key, secret = s3_bucket.server.user("loader", *READ_AND_LIST)
    keys_are(monkeypatch, key, "wrong")
    with s3_bucket.server.checking_signatures():
        ingestion = s3_ingestion(lake, s3_bucket, "keys")
        with pytest.raises(SourceAccessDenied) as caught:
            lake.load(ingestion)
        assert "spec 'keys'" in caught.value.what
        assert "connection 'landing'" in caught.value.what
        assert "secret_access_key does not belong to this key" in caught.value.hint
        assert lake.statuses(ingestion) == {}

        keys_are(monkeypatch, key, secret)
        lake.load(s3_ingestion(lake, s3_bucket, "keys"))

    assert lake.ids("keys") == Counter([1])


def test_keys_that_may_read_no_object_are_said_though_an_empty_one_needs_no_reading(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_bucket.put_many({"in/a.csv": _csv(1), "in/empty.csv": b""})
    keys_are(monkeypatch, *s3_bucket.server.user("lister", "s3:ListBucket"))
    with s3_bucket.server.checking_signatures():
        ingestion = s3_ingestion(lake, s3_bucket, "lister")
        with pytest.raises(SourceAccessDenied, match="access denied"):
            lake.load(ingestion)
    assert set(lake.statuses(ingestion).values()) == {"DISCOVERED"}


def test_an_object_that_may_not_be_read_is_set_aside_and_the_others_load(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_bucket.put_many({f"in/{i}.csv": _csv(i) for i in range(3)})
    key, secret = s3_bucket.server.user(
        "guest", *READ_AND_LIST, but_not=f"{s3_bucket.name}/in/1.csv"
    )
    keys_are(monkeypatch, key, secret)
    with s3_bucket.server.checking_signatures():
        ingestion = s3_ingestion(lake, s3_bucket, "guest", errors={"retries": 0})

        lake.load(ingestion)

    assert lake.ids("guest") == Counter([0, 2])
    (file,) = lake.store.files.find(ingestion.id, statuses=["QUARANTINED"])
    assert file.file_path.endswith("in/1.csv")
    assert file.error_type == "AccessDenied"
    assert "access denied" in (file.reason or "")


def test_a_missing_variable_is_named(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LANDING_SECRET")

    with pytest.raises(SpecError, match=r"connection 'landing'.*LANDING_SECRET"):
        s3_ingestion(lake, s3_bucket, "keys")


@pytest.mark.usefixtures("spark_reads")
@pytest.mark.parametrize("files", [1, 3])
def test_keys_that_spark_alone_is_refused_with_set_no_file_aside(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """Keys that are renewed in mid-load; and Hadoop would keep the wrong ones for the bucket."""
    s3_bucket.put_many({f"in/{i}.csv": _csv(i) for i in range(files)})
    key, secret = s3_bucket.server.user(f"renewed{files}", *READ_AND_LIST)
    keys_are(monkeypatch, key, secret)
    real = S3Access.spark_options

    def outdated(self: S3Access, bucket: str) -> dict[str, str]:
        return real(self, bucket) | {f"fs.s3a.bucket.{bucket}.secret.key": "outdated"}

    with s3_bucket.server.checking_signatures():
        ingestion = s3_ingestion(lake, s3_bucket, "renewed")
        with monkeypatch.context() as patched:
            patched.setattr(S3Access, "spark_options", outdated)
            with pytest.raises(AutoloaderError) as caught:
                lake.load(ingestion)
        assert "403" in caught.value.what
        assert set(lake.statuses(ingestion).values()) == {"DISCOVERED"}

        lake.load(ingestion)

    assert lake.ids("renewed") == Counter(range(files))


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("spark_reads")
def test_the_secret_key_is_written_and_shown_nowhere(
    lake: Lake,
    s3_bucket: S3Bucket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Through Dagster, once with success and once for each way in which Spark can fail."""
    canary = f"canary{secrets.token_hex(12)}"
    keys_are(monkeypatch, "tests", canary)
    monkeypatch.setenv("AUTOLOADER_HOME", str(lake.settings.home))
    monkeypatch.setenv("AUTOLOADER_DATABASE_URL", f"sqlite:///{lake.root / 'state.db'}")
    caplog.set_level(logging.DEBUG)
    s3_bucket.put_many({"in/a.csv": _csv(1), "in/b.csv": _csv(2)})
    ingestion = s3_ingestion(lake, s3_bucket, "canary")
    asset = build_asset(ingestion.loaded, load_connections(lake.root / "specs", []))
    seen: list[str] = []
    (lake.root / "dagster").mkdir()

    def materialize() -> bool:
        with dg.DagsterInstance.local_temp(str(lake.root / "dagster")) as instance:
            result = dg.materialize(
                [asset],
                instance=instance,
                partition_key=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
                resources=default_resources(),
                raise_on_error=False,
            )
            seen.extend(str(event) for event in result.all_events)
            return result.success

    assert materialize()
    # The keys are right for the listing and the look, and Spark is refused.
    s3_bucket.put_many({"in/c.csv": _csv(3), "in/d.csv": _csv(4)})
    with once_at("looked", lambda: s3_bucket.server._free_calls("0")):
        assert not materialize()
    s3_bucket.server._free_calls("inf")
    options = ingestion.source.spark_options()
    with connect(lake.settings) as spark:
        missing = spark.read.options(**options).format("csv").load(f"s3a://{s3_bucket.name}/no")
        with pytest.raises(Exception, match="PATH_NOT_FOUND") as caught:
            missing.collect()
        frame = spark.read.options(**options).schema("id int").csv(f"s3a://{s3_bucket.name}/in")
        seen += [frame._explain_string(extended=True), repr(frame)]
    seen.append("".join(traceback.format_exception(caught.value)))
    seen += [caplog.text, *capfd.readouterr(), repr(ingestion), repr(ingestion.source)]

    assert lake.ids("canary") == Counter([1, 2])
    assert [text for text in seen if canary in text] == []
    written = [*lake.root.rglob("*"), *lake.settings.home.rglob("*")]
    assert (lake.settings.spark_dir / "logs").is_dir()
    assert [p for p in written if p.is_file() and canary.encode() in p.read_bytes()] == []
