"""What a cluster refuses, in words that say what to do."""

import pytest

from autoloader_dagster.errors import LoadError, TableUnavailable
from autoloader_dagster.loading.preview import preview
from tests.cluster.test_load import CONTENT
from tests.fixtures.cluster_places import ClusterPlaces
from tests.fixtures.lake import Lake
from tests.fixtures.s3 import S3Bucket


def test_credentials_that_only_the_client_has_are_named(
    cluster: ClusterPlaces,
    cluster_lake: Lake,
    bucket: S3Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests-secret",
        "AWS_ENDPOINT_URL": cluster.s3,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    bucket.put("in/a.csv", CONTENT["csv"])
    source = {"type": "s3", "url": f"s3://{bucket.name}/in/"}
    ingestion = cluster_lake.ingestion("unnamed", source=source)

    with pytest.raises(TableUnavailable) as caught:
        cluster_lake.load(ingestion)

    assert "The Spark server has no credentials for the files" in caught.value.hint
    assert "source.connection" in caught.value.hint
    assert cluster_lake.statuses(ingestion) == {"a.csv": "DISCOVERED"}


def test_local_files_that_the_cluster_does_not_see_are_not_blamed(cluster_lake: Lake) -> None:
    for number in range(5):
        (cluster_lake.folder() / f"{number}.json").write_bytes(CONTENT["json"])
    ingestion = cluster_lake.ingestion("unseen", format={"type": "json"})

    with pytest.raises(LoadError) as caught:
        cluster_lake.load(ingestion)

    assert "does not find files that this process sees" in caught.value.hint
    assert set(cluster_lake.statuses(ingestion).values()) == {"DISCOVERED"}
    with pytest.raises(LoadError) as caught:
        preview(ingestion)
    assert "does not find files that this process sees" in caught.value.hint
