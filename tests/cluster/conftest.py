"""The cluster that these tests use: the one that the environment names, else a small one."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoloader_dagster.settings import Settings
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.cluster import Shape, running_cluster
from tests.fixtures.cluster_places import VARIABLE, ClusterPlaces, running_places
from tests.fixtures.lake import Lake
from tests.fixtures.s3 import S3Bucket, S3Server, client_of
from tests.fixtures.spark import settings_for

# One executor is enough to be another machine than the driver's.
SMALL = Shape(workers=1, executor_memory=640, driver_memory=1024)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave a few cheap tests to a run that must start a cluster for them; 40 s of processor."""
    if running_places() is None:
        whole = [item for item in items if item.get_closest_marker("whole_cluster")]
        items[:] = [item for item in items if item not in whole]


@pytest.fixture(scope="package")
def one_cluster() -> Iterator[ClusterPlaces]:
    """The cluster; one of our own ends with the last of these tests."""
    if (places := running_places()) is not None:
        yield places
        return
    with running_cluster(SMALL) as places:
        yield places


@pytest.fixture
def cluster(one_cluster: ClusterPlaces, monkeypatch: pytest.MonkeyPatch) -> ClusterPlaces:
    """Where its parts are; named by the environment for this test alone, and no other."""
    monkeypatch.setenv(VARIABLE, one_cluster.environ()[VARIABLE])
    return one_cluster


@pytest.fixture
def bucket(cluster: ClusterPlaces) -> Iterator[S3Bucket]:
    """A bucket in the cluster's S3 server."""
    client = client_of("s3", cluster.s3)
    name = f"landing-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=name)
    yield S3Bucket(S3Server(cluster.s3, client), name)
    client.close()


@pytest.fixture
def cluster_settings(cluster: ClusterPlaces) -> Settings:
    """Settings with a home that no machine of the cluster sees."""
    home = Path(cluster.client) / secrets.token_hex(6)
    return settings_for(home, SPARK_REMOTE=cluster.remote)


@pytest.fixture
def cluster_lake(cluster_settings: Settings, sqlite_template: Path) -> Iterator[Lake]:
    """A namespace of its own, on the cluster; its files are the client's alone."""
    root = cluster_settings.home
    root.mkdir(parents=True)
    shutil.copy(sqlite_template, root / "state.db")
    store = ProcessedFiles(f"sqlite:///{root / 'state.db'}")
    lake = Lake(cluster_settings, store, root, f"c_{secrets.token_hex(6)}")
    yield lake
    lake.store.close()
