"""F18: Spark's server is killed, forgets a session, or cannot be reached, in the middle of a load.

The proxy before the REST catalog tells the moment: a commit waits there until the server is gone.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoloader_dagster.iceberg import append as writing_module
from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.spark.session import connect
from tests.faults.lost_answers import Landing, lake_of
from tests.fixtures.catalogs import Catalog, Catalogs
from tests.fixtures.lake import Lake
from tests.fixtures.moments import once_at
from tests.fixtures.proxy import Proxy
from tests.fixtures.refusals import FOREIGN_HTTP
from tests.fixtures.spark import settings_for

APPEND = re.compile(rb'"action":"add-snapshot".*"autoloader.batch-id"', re.DOTALL)
PUBLISH = re.compile(rb'"ref-name":"main"')
# What issue 3 promises.
NOTICED_SECONDS = 10


@pytest.fixture
def lake(catalogs: Catalogs, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lake]:
    with lake_of(catalogs, tmp_path, request.node.name) as made:
        yield made


@pytest.fixture
def landing(lake: Lake, catalogs: Catalogs) -> Landing:
    """A table in the REST catalog, and changes that wait to be loaded into it."""
    landing = Landing(lake, catalogs.by_name["restlake"], "landing")
    landing.change()
    assert landing.load() == []
    landing.change()
    return landing


@pytest.fixture
def spark_proxy(catalogs: Catalogs, landing: Landing) -> Iterator[Proxy]:
    """A proxy before the Spark server, through which the landing's loads go."""
    address = EmbeddedServer(catalogs.settings).ensure()
    proxy = Proxy("127.0.0.1", address.port)
    remote = settings_for(
        landing.lake.root / "remote",
        SPARK_REMOTE=f"sc://localhost:{proxy.port}/;token={address.token}",
    )
    direct = landing.ingestion
    landing.ingestion = replace(direct, connect=lambda: connect(remote))
    yield proxy
    landing.ingestion = direct
    proxy.close()


def load_until(
    landing: Landing, catalog: Catalog, request: re.Pattern[bytes], then: Callable[[], object]
) -> tuple[list[str], float]:
    """Load; when such a request is on its way, do ``then`` and let it go.

    Returns:
        What the load said, and how long it took to say so after ``then``.
    """
    with ThreadPoolExecutor(1) as pool, catalog.proxy.holding(request) as hold:
        said: Future[list[str]] = pool.submit(landing.load)
        assert hold.arrived.wait(120), said.result(1)
        then()
        at = time.monotonic()
        hold.go.set()
        return said.result(120), time.monotonic() - at


def check_settled(landing: Landing) -> None:
    """Nothing is wrong; but a branch may be there that could not be dropped without a server."""
    verdict = landing.check()
    open_ends = [line for line in verdict.unsettled if not line.endswith(" is left behind")]
    assert not replace(verdict, unsettled=open_ends), str(verdict)


@pytest.mark.parametrize("request_", [APPEND, PUBLISH], ids=["append", "publish"])
def test_a_spark_server_killed_in_mid_commit_is_noticed_and_the_next_run_settles(
    landing: Landing, catalogs: Catalogs, request_: re.Pattern[bytes]
) -> None:
    address = EmbeddedServer(catalogs.settings).ensure()

    said, seconds = load_until(
        landing, landing.catalog, request_, lambda: os.kill(address.pid, signal.SIGKILL)
    )

    assert len(said) == 1
    assert "SparkUnavailable" in said[0]
    assert seconds < NOTICED_SECONDS
    # The server of the catalog got the request, though nobody waits for its answer.
    assert landing.load() == []
    check_settled(landing)
    assert EmbeddedServer(catalogs.settings).ensure().pid != address.pid


def test_a_connection_that_breaks_in_mid_write_is_taken_up_again_and_writes_once(
    landing: Landing, spark_proxy: Proxy
) -> None:
    assert load_until(landing, landing.catalog, APPEND, spark_proxy.cut)[0] == []
    check_settled(landing)
    # The first attempt's commits were enough: nothing was written again.
    assert {batch.attempt for batch in landing.lake.store.batches.latest(landing.ingestion.id)} == {
        1
    }


@pytest.mark.parametrize("request_", [APPEND, PUBLISH], ids=["append", "publish"])
def test_a_network_that_is_cut_is_noticed_and_the_next_run_settles(
    landing: Landing, spark_proxy: Proxy, request_: re.Pattern[bytes]
) -> None:
    cut = threading.Event()

    def cut_it() -> None:
        stack.enter_context(spark_proxy.down())
        cut.set()

    with ExitStack() as stack:
        said, seconds = load_until(landing, landing.catalog, request_, cut_it)
        assert cut.is_set()
        assert len(said) == 1
        assert "SparkUnavailable" in said[0]
        assert seconds < NOTICED_SECONDS
    # Spark went on without us: what it wrote, or published, meanwhile is found.
    assert landing.load() == []
    check_settled(landing)


def test_a_session_that_the_server_has_closed_ends_the_run_and_the_next_one_settles(
    landing: Landing,
) -> None:
    sessions = []

    @contextmanager
    def seen() -> Iterator[Any]:
        with connect(landing.lake.settings) as session:
            sessions.append(session)
            yield session

    ingestion = landing.ingestion
    landing.ingestion = replace(ingestion, connect=seen)
    with once_at("writing", lambda: sessions[-1].client.release_session()):
        said = landing.load()
    landing.ingestion = ingestion

    assert len(said) == 1
    assert "does not know this session any more" in said[0]
    assert landing.load() == []
    check_settled(landing)


def test_a_server_too_busy_to_count_costs_a_look_into_the_table(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = writing_module._append_observed
    asked = []

    def without_counts(*args, **kwargs) -> dict[str, object]:
        asked.append(real(*args, **kwargs))
        return {}

    monkeypatch.setattr(writing_module, "_append_observed", without_counts)

    assert landing.load() == []

    assert len(asked) == 1
    # The checker compares the recorded rows of each file with the table's.
    check_settled(landing)


def test_the_error_of_a_catalog_is_shown_whole_when_it_is_a_document(landing: Landing) -> None:
    request = re.compile(rb"^GET /v1/namespaces/[^ ]*/tables/")
    with landing.catalog.proxy.losing(request, None, "before", FOREIGN_HTTP):
        (said,) = landing.load()

    assert "the disk of the catalog's database is full" in said
    assert landing.load() == []
