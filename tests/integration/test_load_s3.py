"""From a bucket to the table: Spark's own reader of S3 with the credentials of the connection."""

import gzip
import io
import json
import logging
import sqlite3
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.errors import AutoloaderError, LoadError, SourceAccessDenied
from autoloader_dagster.loading import batch as batch_module
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.processed_files.store import ProcessedFiles
from autoloader_dagster.spark.session import connect
from tests.fixtures.lake import Lake
from tests.fixtures.s3 import S3Bucket
from tests.integration.s3_steps import keys_are, s3_ingestion

READ_AND_LIST = ("s3:ListBucket", "s3:GetObject")


@pytest.fixture(autouse=True)
def some_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server looks at credentials only where a test asks it to."""
    keys_are(monkeypatch, "tests", "tests")


def _csv(*ids: int) -> bytes:
    return ("id\n" + "".join(f"{i}\n" for i in ids)).encode()


def _parquet(*ids: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), file)
    return file.getvalue()


def _json(*ids: int) -> bytes:
    return "".join(json.dumps({"id": i}) + "\n" for i in ids).encode()


def _ids(lake: Lake, name: str) -> Counter[int]:
    return Counter(row[0] for row in lake.rows(name, "id"))


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


@pytest.mark.parametrize("count", [3, 40])
def test_odd_names_are_loaded_from_their_own_files(
    lake: Lake, s3_bucket: S3Bucket, count: int
) -> None:
    odd = [
        "a b.csv", "a%20b.csv", "100%.csv", "a+b.csv", "Zürich ✓.csv", "a#b.csv", "a?b.csv",
        "a//b.csv", "//c.csv", "_hidden.csv", ".dot.csv", "_folder/a.csv", ".folder/a.csv",
        "a[1].csv", "a{x,y}.csv", "a*.csv", "a\\b.csv", "a:b.csv", "a'b\"c.csv", "a&b=c.csv",
        "trailing .csv ", "naïve.csv", "nai\u0308ve.csv", "x=1/y=a b/c.csv", "plain", "c.csv.gz",
        "e._COPYING_",
    ]  # fmt: skip
    # Few files are named to Spark one by one; many are read through their folders.
    keys = odd + [f"plain/{i}.csv" for i in range(count)]
    s3_bucket.put_many({f"in/{key}": _csv(i, 1000 + i) for i, key in enumerate(keys)})
    # Beside them what is none of the batch's, though the folders hold it.
    s3_bucket.put_many({f"in/{i}.txt": b"other\n1\n" for i in range(3)})
    ingestion = s3_ingestion(lake, s3_bucket, "odd", source={"exclude": ["*.txt"]})

    (outcome,) = lake.load(ingestion)

    assert [f for f in outcome.files if f.status != "SUCCESS"] == []
    assert Counter(lake.rows("odd", "_source_file", "id")) == Counter(
        (f"s3://{s3_bucket.name}/in/{key}", number)
        for i, key in enumerate(keys)
        for number in (i, 1000 + i)
    )
