"""A cluster without a free executor, which Spark itself never tells its client."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from autoloader_dagster.errors import SparkUnavailable
from autoloader_dagster.loading.staging_probe import probe_staging
from autoloader_dagster.sources.s3.copies import S3CopyStore
from autoloader_dagster.spark.session import connect
from autoloader_dagster.specs.connections import load_connections
from tests.cluster.test_load import CONTENT
from tests.fixtures.cluster_places import ClusterPlaces
from tests.fixtures.lake import Lake
from tests.fixtures.project import wait_for
from tests.fixtures.s3 import S3Bucket
from tests.integration.s3_steps import keys_are, s3_ingestion

_LONG = "java_method('java.lang.Thread', 'sleep', 600000L)"


@contextmanager
def _busy(cluster: ClusterPlaces, lake: Lake) -> Iterator[threading.Event]:
    """All executors have work for the block, or until the event is set."""
    free = threading.Event()
    cores = sum(each["totalCores"] for each in cluster.executors())
    with connect(lake.settings) as spark:

        def work() -> None:
            with pytest.raises(Exception, match=r"(?i)cancell?ed|interrupted"):
                spark.range(0, cores, 1, cores).selectExpr(_LONG).collect()

        def end() -> None:
            free.wait(120)
            spark.interruptAll()

        threads = [threading.Thread(target=each) for each in (work, end)]
        for thread in threads:
            thread.start()
        try:
            wait_for(
                lambda: sum(each["activeTasks"] for each in cluster.executors()) == cores,
                60,
                "the executors to be busy",
            )
            yield free
        finally:
            free.set()
            for thread in threads:
                thread.join(60)


@pytest.mark.whole_cluster
def test_a_load_that_waits_for_executors_says_so_and_goes_on(
    cluster: ClusterPlaces,
    cluster_lake: Lake,
    bucket: S3Bucket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys_are(monkeypatch, "tests", "tests")
    bucket.put("in/a.csv", CONTENT["csv"])
    ingestion = s3_ingestion(cluster_lake, bucket, "patient")
    told: list[str] = []
    with _busy(cluster, cluster_lake) as free:

        def tell(text: str) -> None:
            told.append(text)
            if "waiting for executors" in text:
                free.set()

        (outcome,) = cluster_lake.load(ingestion, progress=tell)

    assert outcome.rows == 40_000
    waiting = [text for text in told if "waiting for executors" in text]
    assert len(waiting) == 1
    assert "no free executor for 10 s" in waiting[0]
    assert "Start workers or end other applications" in caplog.text


@pytest.mark.whole_cluster
def test_doctors_look_at_the_copies_ends_without_an_executor(
    cluster: ClusterPlaces,
    cluster_lake: Lake,
    bucket: S3Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys_are(monkeypatch, "tests", "tests")
    s3_ingestion(cluster_lake, bucket, "none")
    landing = load_connections(cluster_lake.root / "specs", []).get("default", "landing")
    store = S3CopyStore(f"s3://{bucket.name}/copies/", landing.resolve())
    with (
        _busy(cluster, cluster_lake),
        connect(cluster_lake.settings) as spark,
        pytest.raises(SparkUnavailable, match=r"no free executor for 0\.5 s"),
    ):
        probe_staging(spark, cluster_lake.settings.staging_dir, store, patience=0.5)
