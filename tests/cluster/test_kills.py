"""Parts of a cluster that are killed while they load: nothing is lost and nothing doubled."""

import json
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from autoloader_dagster.errors import SparkUnavailable
from autoloader_dagster.state.store import ProcessedFiles
from tests.cluster.conftest import SMALL
from tests.fixtures.cluster import Cluster
from tests.fixtures.cluster_places import VARIABLE, ClusterPlaces
from tests.fixtures.lake import Lake
from tests.fixtures.project import wait_for
from tests.fixtures.s3 import S3Bucket, S3Server, client_of
from tests.fixtures.spark import settings_for
from tests.integration.s3_steps import keys_are, s3_ingestion

pytestmark = pytest.mark.whole_cluster

_FILES, _ROWS = 6, 40_000
_KILLS = 2


@pytest.fixture(autouse=True)
def some_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    keys_are(monkeypatch, "tests", "tests")


def _fill(bucket: S3Bucket) -> None:
    for number in range(_FILES):
        first = number * _ROWS
        lines = (json.dumps({"id": first + i, "note": "x" * 80}) for i in range(_ROWS))
        bucket.put(f"in/{number}.json", "\n".join(lines).encode())


def _has_all(lake: Lake, name: str) -> bool:
    return sorted(lake.table(name)["id"].to_pylist()) == list(range(_FILES * _ROWS))


def _executor(places: ClusterPlaces, number: str) -> psutil.Process | None:
    root = Path(places.logs).parent
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if f"--executor-id {number} " in command and root in Path(process.cwd()).parents:
                return process
        except psutil.Error:
            continue
    return None


def _kill_a_busy_executor(places: ClusterPlaces, killed: list[str]) -> None:
    for each in places.executors():
        if each["activeTasks"] and each["id"] not in killed:
            process = _executor(places, each["id"])
            if process is not None:
                process.kill()
                killed.append(each["id"])
                return


def test_executors_that_are_killed_while_they_write_lose_and_double_nothing(
    cluster: ClusterPlaces, cluster_lake: Lake, bucket: S3Bucket
) -> None:
    _fill(bucket)
    ingestion = s3_ingestion(cluster_lake, bucket, "killed_executors", format={"type": "json"})
    killed: list[str] = []
    done = threading.Event()

    def kill() -> None:
        while len(killed) < _KILLS and not done.wait(0.1):
            _kill_a_busy_executor(cluster, killed)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        (outcome,) = cluster_lake.load(ingestion)
    finally:
        done.set()
        killer.join(60)

    assert len(killed) == _KILLS
    assert (outcome.rows, outcome.bad_rows) == (_FILES * _ROWS, 0)
    assert set(cluster_lake.statuses(ingestion).values()) == {"SUCCESS"}
    assert _has_all(cluster_lake, "killed_executors")
    wait_for(cluster.executors, 60, "an executor for the next test")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster whose Connect server no other test uses."""
    root = tmp_path / "own"
    root.mkdir()
    cluster = Cluster(root, SMALL)
    with cluster as places:
        monkeypatch.setenv(VARIABLE, places.environ()[VARIABLE])
        yield cluster


def test_a_connect_server_that_is_killed_at_any_moment_loses_and_doubles_nothing(
    own: Cluster, sqlite_template: Path
) -> None:
    places = own.places
    client = client_of("s3", places.s3)
    bucket = S3Bucket(S3Server(places.s3, client), f"landing-{secrets.token_hex(6)}")
    client.create_bucket(Bucket=bucket.name)
    home = Path(places.client) / "home"
    home.mkdir()
    shutil.copy(sqlite_template, home / "state.db")
    store = ProcessedFiles(f"sqlite:///{home / 'state.db'}")
    settings = settings_for(home, SPARK_REMOTE=places.remote)
    lake = Lake(settings, store, home, "killed")
    _fill(bucket)
    ingestion = s3_ingestion(lake, bucket, "killed_servers", format={"type": "json"})

    def killing(at: str) -> Callable[[str], None]:
        killed = threading.Event()

        def tell(text: str) -> None:
            if at in text and not killed.is_set():
                killed.set()
                own.kill_connect()

        return tell

    for at in ("preparing the table", "reading and writing", "counting the rows", "publishing"):
        with pytest.raises(SparkUnavailable):
            lake.load(ingestion, progress=killing(at), ended_runs=lake.runs_before())
        own.start_connect()

    outcomes = lake.load(ingestion, ended_runs=lake.runs_before())

    assert sum(outcome.rows for outcome in outcomes) in (0, _FILES * _ROWS)
    assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}
    assert _has_all(lake, "killed_servers")
    store.close()
    client.close()
