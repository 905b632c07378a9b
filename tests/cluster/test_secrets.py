"""What a cluster's web pages and event log show of a load, to whoever may look at them."""

import io
import json
import secrets
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.batch_ids import NO_BATCH
from autoloader_dagster.formats.csv.line_check import csv_line_check
from autoloader_dagster.formats.csv.options import CsvOptions
from autoloader_dagster.formats.large_text import check_lines
from autoloader_dagster.formats.reading import ReadContext
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.loading.preview import preview
from autoloader_dagster.loading.staging_probe import probe_staging
from autoloader_dagster.sources.s3.copies import S3CopyStore
from autoloader_dagster.spark.session import connect
from autoloader_dagster.specs.connections import load_connections
from tests.fixtures.cluster_places import WAREHOUSE_KEY, WAREHOUSE_SECRET, ClusterPlaces
from tests.fixtures.lake import Lake
from tests.fixtures.s3 import S3Bucket
from tests.integration.s3_steps import keys_are, s3_ingestion

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ROWS = range(30_000)


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array(_ROWS, pa.int64())}), file)
    return file.getvalue()


@pytest.mark.whole_cluster
def test_no_key_of_a_source_is_in_the_pages_or_the_event_log(
    cluster: ClusterPlaces,
    cluster_lake: Lake,
    bucket: S3Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, secret = f"KEY{secrets.token_hex(8)}", secrets.token_hex(16)
    keys_are(monkeypatch, key, secret)
    good = _parquet()
    bad = bytearray(good)
    # In the pages of its data, so that only an executor notices.
    bad[8:3000] = b"x" * 2992
    content = {
        "csv": [("id\n" + "".join(f"{n}\n" for n in _ROWS)).encode(), b"id\n1\n"],
        "json": ["".join(json.dumps({"id": n}) + "\n" for n in _ROWS).encode(), b'[{"id": 1}]'],
        "parquet": [good, bytes(bad), good],
    }
    for kind, files in content.items():
        for number, each in enumerate(files):
            bucket.put(f"{kind}/{number}.{kind}", each)
        ingestion = s3_ingestion(cluster_lake, bucket, kind, f"{kind}/", format={"type": kind})
        assert preview(ingestion).rows
        (outcome, *_) = cluster_lake.load(ingestion)
        assert outcome.rows >= len(_ROWS)
    large = s3_ingestion(cluster_lake, bucket, "csv", "csv/").source
    refs = [ref for page in large.list_pages() for ref in page]
    texts = [SourceFile(ref.path, None, None, read_from=large.spark_path(ref)) for ref in refs]
    connections = load_connections(cluster_lake.root / "specs", [])
    landing = connections.get("default", "landing").resolve()
    store = S3CopyStore(f"s3://{bucket.name}/copies/", landing)
    with connect(cluster_lake.settings) as spark:
        probe_staging(spark, cluster_lake.settings.staging_dir, store)
        for some in (texts, texts[:1]):
            context = ReadContext(spark, (), large.spark_options(), NO_BATCH)
            assert len(check_lines(context, csv_line_check(CsvOptions()), some)) == len(some)
        _show(spark, bucket, canary := secrets.token_hex(16))

    shown = _shown(cluster)
    # A plan that is not deep is shown with its options, so a key of ours would have been found.
    assert all(canary in text for text in shown.values())
    for each in (key, secret, WAREHOUSE_KEY, WAREHOUSE_SECRET):
        assert [place for place, text in shown.items() if each in text] == [], each


def _show(spark: "SparkSession", bucket: S3Bucket, secret: str) -> None:
    """Read a file by a plan that is not deep, with an option that nothing uses."""
    connection = {
        f"fs.s3a.bucket.{bucket.name}.endpoint": bucket.server.endpoint,
        f"fs.s3a.bucket.{bucket.name}.path.style.access": "true",
        f"fs.s3a.bucket.{bucket.name}.access.key": "tests",
        f"fs.s3a.bucket.{bucket.name}.secret.key": "tests",
        "fs.s3a.bucket.another.secret.key": secret,
        "fs.s3a.impl.disable.cache": "true",
    }
    address = f"s3a://{bucket.name}/parquet/0.parquet"
    assert spark.read.options(**connection).parquet(address).count() == len(_ROWS)


def _shown(cluster: ClusterPlaces) -> dict[str, str]:
    """The text of the event log, and of all that the pages know."""
    logs = [path for path in Path(cluster.events).rglob("*") if path.is_file()]
    (application,) = _ask(f"{cluster.ui}/api/v1/applications")
    api = f"{cluster.ui}/api/v1/applications/{application['id']}"
    parts = ("sql?details=true&planDescription=true&length=100000", "jobs", "stages?details=true")
    pages = [json.dumps(_ask(f"{api}/{part}")) for part in (*parts, "environment")]
    with urllib.request.urlopen(f"{cluster.ui}/connect/", timeout=30) as page:
        pages.append(page.read().decode())
    return {
        "event log": "".join(path.read_text(errors="replace") for path in logs),
        "web pages": "".join(pages),
    }


def _ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)
