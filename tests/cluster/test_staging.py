"""Copies that a cluster reads from an object store, where it does not see our folders."""

import json
import secrets
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from autoloader_dagster.errors import UsageError
from autoloader_dagster.loading.preview import preview
from autoloader_dagster.sources.s3.copies import S3CopyStore
from autoloader_dagster.specs.connections import load_connections
from tests.fixtures.cluster_places import ClusterPlaces
from tests.fixtures.lake import Lake
from tests.fixtures.s3 import S3Bucket
from tests.integration.cli_steps import Project
from tests.integration.s3_steps import keys_are, s3_ingestion

_ARRAY = json.dumps([{"id": n} for n in range(1, 4)]).encode()


@pytest.fixture(autouse=True)
def some_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    keys_are(monkeypatch, "tests", "tests")


@pytest.fixture
def staging(cluster_lake: Lake, bucket: S3Bucket) -> Lake:
    """A lake whose copies go to a bucket of its own, by the connection of the source."""
    name = f"{bucket.name}-copies"
    bucket.server.client.create_bucket(Bucket=name)
    cluster_lake.settings = replace(
        cluster_lake.settings, staging=f"s3://{name}/below/", staging_connection="landing"
    )
    return cluster_lake


def _copies(bucket: S3Bucket) -> list[str]:
    listed = bucket.server.client.list_objects_v2(Bucket=f"{bucket.name}-copies")
    return [each["Key"] for each in listed.get("Contents", [])]


def _store(lake: Lake, bucket: S3Bucket, **more: int) -> S3CopyStore:
    landing = load_connections(lake.root / "specs", []).get("default", "landing").resolve()
    return S3CopyStore(f"s3://{bucket.name}-copies/below/", landing, **more)


def test_a_file_that_must_be_copied_is_read_from_the_store(staging: Lake, bucket: S3Bucket) -> None:
    bucket.put("in/_hidden.json", _ARRAY)
    ingestion = s3_ingestion(staging, bucket, "staged", format={"type": "json"})

    assert [row["id"] for row in preview(ingestion).rows] == [1, 2, 3]
    assert _copies(bucket) == []
    (outcome,) = staging.load(ingestion)

    assert outcome.rows == 3
    assert sorted(staging.table("staged")["id"].to_pylist()) == [1, 2, 3]
    assert _copies(bucket) == []
    assert list(staging.settings.staging_dir.iterdir()) == []


@pytest.mark.whole_cluster
def test_copies_of_a_killed_load_are_removed_by_the_next(staging: Lake, bucket: S3Bucket) -> None:
    bucket.put("in/a.csv", b"id\n1\n")
    ingestion = s3_ingestion(staging, bucket, "killed")
    (outcome,) = staging.load(ingestion)
    store = _store(staging, bucket)
    for folder in (outcome.batch_id, "another-project"):
        copy = staging.root / "copy.txt"
        copy.write_text("left behind")
        store.put(folder, copy)
    assert len(_copies(bucket)) == 2

    bucket.put("in/b.csv", b"id\n2\n")
    staging.load(ingestion)

    assert _copies(bucket) == ["below/another-project/copy.txt"]
    ((_, stored),) = store.folders()
    assert abs(stored - time.time()) < 600


@pytest.mark.whole_cluster
def test_a_large_copy_is_sent_in_parts(staging: Lake, bucket: S3Bucket) -> None:
    s3_ingestion(staging, bucket, "large")
    path = staging.root / "large.bin"
    path.write_bytes(secrets.token_bytes(11 * 2**20))

    address = _store(staging, bucket, part_bytes=5 * 2**20).put("batch", path)

    key = address.removeprefix(f"s3a://{bucket.name}-copies/")
    stored = bucket.server.client.get_object(Bucket=f"{bucket.name}-copies", Key=key)
    assert stored["Body"].read() == path.read_bytes()


@pytest.mark.whole_cluster
def test_a_bucket_that_is_not_there_is_named(staging: Lake, bucket: S3Bucket) -> None:
    bucket.put("in/_hidden.json", _ARRAY)
    staging.settings = replace(staging.settings, staging="s3://no-such-bucket/")
    ingestion = s3_ingestion(staging, bucket, "nowhere", format={"type": "json"})

    with pytest.raises(UsageError) as caught:
        staging.load(ingestion)

    assert "s3://no-such-bucket/" in caught.value.what
    assert "AUTOLOADER_STAGING" in caught.value.hint
    assert staging.statuses(ingestion) == {"_hidden.json": "DISCOVERED"}


@pytest.mark.whole_cluster
def test_one_bucket_with_two_sorts_of_keys_is_refused(
    staging: Lake, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("in/a.json", _ARRAY)
    staging.settings = replace(staging.settings, staging=f"s3://{bucket.name}/copies/")
    ingestion = s3_ingestion(staging, bucket, "mixed", format={"type": "json"})
    monkeypatch.setenv("LANDING_SECRET", "other")
    ingestion = replace(ingestion, copy_store=s3_ingestion(staging, bucket, "mixed").copy_store)

    with pytest.raises(UsageError, match="in one bucket, and have different credentials"):
        staging.load(ingestion)


def test_without_a_store_the_folder_is_named_and_no_file_is_blamed(
    cluster_lake: Lake, bucket: S3Bucket
) -> None:
    bucket.put("in/_hidden.json", _ARRAY)
    ingestion = s3_ingestion(cluster_lake, bucket, "unseen", format={"type": "json"})

    with pytest.raises(UsageError) as caught:
        cluster_lake.load(ingestion)

    assert str(cluster_lake.settings.staging_dir) in caught.value.what
    assert "AUTOLOADER_STAGING" in caught.value.hint
    assert cluster_lake.statuses(ingestion) == {"_hidden.json": "DISCOVERED"}


# --- doctor ----------------------------------------------------------------------------------


@pytest.fixture
def project(cluster: ClusterPlaces, staging: Lake, bucket: S3Bucket) -> Project:
    """A project on the cluster, with the connection of the lake and no spec."""
    s3_ingestion(staging, bucket, "orders")
    bucket.put("in/a.csv", b"id\n1\n")
    project = Project(
        staging.root,
        staging.settings.home,
        {"SPARK_REMOTE": cluster.remote, "LANDING_KEY": "tests", "LANDING_SECRET": "tests"},
    )
    shutil.copytree(staging.root / "specs", project.specs, dirs_exist_ok=True)
    return project


@pytest.mark.whole_cluster
def test_doctor_tells_who_cannot_read_the_copies(
    cluster: ClusterPlaces, staging: Lake, project: Project
) -> None:
    def staging_check(**environ: str) -> dict[str, str]:
        checks = project.run("doctor", "--json", **environ).json["checks"]
        return next(check for check in checks if check["name"] == "staging")

    in_store = staging_check(
        AUTOLOADER_STAGING=staging.settings.staging or "",
        AUTOLOADER_STAGING_CONNECTION="landing",
    )
    assert in_store["status"] == "ok", in_store
    assert "driver and executors read copies in s3a://" in in_store["detail"]
    if not cluster.isolated:
        # Every folder is seen by all of its machines here.
        return
    unseen = staging_check()
    assert unseen["status"] == "fail"
    assert "the driver of the Spark server cannot read copies" in unseen["detail"]
    # The driver's own folder, which no worker sees.
    drivers = Path(cluster.client).parent / "connect" / f"seen-{secrets.token_hex(4)}"
    half = staging_check(AUTOLOADER_STAGING=str(drivers))
    assert half["status"] == "fail"
    assert "the executors of the Spark server cannot read copies" in half["detail"]
    assert "AUTOLOADER_STAGING" in half["hint"]
