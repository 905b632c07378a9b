"""Each server that a load needs is away for a day, one after the other, while files keep coming.

The clock is moved by moving what Dagster and the state have recorded into the past.
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
import yaml

from autoloader_dagster.definitions import load_definitions
from autoloader_dagster.orchestration.pages import report
from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.orchestration.runs.tags import PENDING_TAG, run_failure
from autoloader_dagster.settings import load_settings
from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.spark.session import connect
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.catalogs import Catalog, Catalogs
from tests.fixtures.lake import read_places
from tests.fixtures.proxy import Proxy
from tests.fixtures.s3 import S3Bucket
from tests.fixtures.truth import rows_by_partition, untrue

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

INGESTION = "default/orders"
HOUR = 3600
# Of the sensor.
EVERY = 60
# After so many, a set of files waits for an hour.
FAILED_RUNS = 8
# By what is away: what each page says meanwhile of the cause, and of what to do.
PAGES = {
    "spark": (
        "SPARK_REMOTE.* (cannot be reached|does not answer)",
        "Start it|whether it still runs",
    ),
    "catalog": ("Failed to connect", "the catalog"),
    "state": ("The state database", "Start the database"),
    "source": ("no answer", "this machine may reach it"),
}
# Columns that lie in the past once time has passed.
TIMES = {
    "batches": ("started_at", "lease_expires_at", "finished_at"),
    "processed_files": ("updated_at", "processing_started_at", "processed_at"),
}


@dataclass
class Site:
    """One ingestion from a bucket, whose servers can be taken away.

    Attributes:
        proxies: By the name of what is behind them.
        state_url: Of the state, past the proxy.
        ids: What was put into the bucket.
    """

    instance: dg.DagsterInstance
    catalog: Catalog
    bucket: S3Bucket
    proxies: dict[str, Proxy]
    state_url: str
    namespace: str
    ids: list[int] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def put(self, day: str) -> None:
        """A file of this day arrives."""
        self.ids.append(len(self.ids))
        self.bucket.put(f"in/{day}-{len(self.ids)}.csv", f"id\n{self.ids[-1]}\n".encode())

    def tick(self) -> str:
        """The sensor's tick, with the runs that it asks for; what its page says."""
        definitions = load_definitions()
        sensor = definitions.resolve_sensor_def("orders_on_arrival")
        # Closed, or its resources' own instance is still the current one in a later test.
        with dg.build_sensor_context(
            instance=self.instance, resources=definitions.resources or {}
        ) as context:
            try:
                tick = sensor.evaluate_tick(context)
            except Exception as error:  # Dagster's page of the tick has it
                return str(error)
        report(self.instance, tick.asset_events)
        job = definitions.resolve_implicit_global_asset_job_def()
        said = [tick.skip_message or ""]
        for request in tick.run_requests or ():
            # As Dagster does, which starts no run of a key that it has seen.
            if request.run_key in self.asked:
                continue
            self.asked.add(request.run_key or "")
            result = job.execute_in_process(
                instance=self.instance,
                run_id=str(uuid.uuid4()),
                asset_selection=[dg.AssetKey([self.namespace, "orders"])],
                tags=request.tags,
                raise_on_error=False,
            )
            run_locks.let_go(result.run_id)
            failure = run_failure(self.instance, result.run_id)
            said.append(failure.message if failure else "")
        return "\n".join(said)

    def pass_time(self, seconds: float) -> None:
        """Move the clock, which is to move all that is recorded into the past."""
        storage = self.instance.run_storage
        with storage.connect() as connection:  # pyright: ignore[reportAttributeAccessIssue]
            for column in ("start_time", "end_time"):
                connection.execute(
                    sa.text(f"UPDATE runs SET {column} = {column} - :seconds"),
                    {"seconds": seconds},
                )
        with psycopg.connect(self.state_url) as connection:
            for table, columns in TIMES.items():
                moved = ", ".join(f"{c} = {c} - make_interval(secs => {seconds})" for c in columns)
                connection.execute(f"UPDATE {table} SET {moved}".encode())

    def fail_for_a_day(self) -> None:
        """Have each set that has failed fail as often as in a day, the last time just now."""
        failed = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        for tags in {run.tags[PENDING_TAG]: run.tags for run in failed}.values():
            for _ in range(FAILED_RUNS):
                run = dg.DagsterRun("orders", str(uuid.uuid4()), tags=tags)
                self.instance.add_run(run)
                self.instance.report_run_failed(run)

    def in_table(self) -> list[int]:
        """The rows of the table."""
        with self.catalog.reader() as reader:
            table = reader.load_table(f"{self.namespace}.orders")
            return sorted(table.scan().to_arrow().column("id").to_pylist())

    def untrue(self) -> list[str]:
        """What the pages say that is not true."""
        loaded = load_specs(load_settings().specs_dir).get("orders")
        with self.catalog.reader() as reader:
            places = read_places(reader.load_table(f"{self.namespace}.orders"))
        rows = rows_by_partition(places, loaded.spec.source.url)
        return untrue(self.instance, loaded, self.state_url, rows)

    def statuses(self) -> set[str]:
        """Of all files."""
        store = ProcessedFiles(self.state_url)
        try:
            return {row.status for row in store.files.find(INGESTION)}
        finally:
            store.close()


@pytest.fixture
def site(
    catalogs: Catalogs,
    s3_bucket: S3Bucket,
    postgres_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    # The first session of a server takes longer than a remote one has time.
    with connect(catalogs.settings) as session:
        session.sql("SELECT 1").collect()
    spark = EmbeddedServer(catalogs.settings).ensure()
    catalog = catalogs.by_name["pglake"]
    namespace = f"o_{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:
        proxies = {"catalog": catalog.proxy}
        for name, port in (
            ("spark", spark.port),
            ("state", urlsplit(postgres_database_url).port),
            ("source", urlsplit(s3_bucket.server.endpoint).port),
        ):
            assert port is not None
            proxies[name] = Proxy("127.0.0.1", port)
            stack.callback(proxies[name].close)
        specs = tmp_path / "specs"
        specs.mkdir()
        (specs / "_connections.yaml").write_text(
            yaml.safe_dump(
                {
                    "landing": {
                        "type": "s3",
                        "endpoint_url": f"http://127.0.0.1:{proxies['source'].port}",
                        "access_key_id": "env:LANDING_KEY",
                        "secret_access_key": "env:LANDING_SECRET",
                    }
                }
            )
        )
        (specs / "orders.yaml").write_text(
            yaml.safe_dump(
                {
                    "source": {
                        "type": "s3",
                        "url": f"s3://{s3_bucket.name}/in/",
                        "connection": "landing",
                    },
                    "format": {"type": "csv"},
                    "table": {"name": f"pglake.{namespace}.orders"},
                    "partition": {
                        "by": "path",
                        "pattern": "{yyyy}-{MM}-{dd}-*.csv",
                        "start": "2026-01-01",
                    },
                    "trigger": {"on_arrival": {"every": f"{EVERY}s"}},
                }
            )
        )
        state = postgres_database_url.replace(
            f":{urlsplit(postgres_database_url).port}/", f":{proxies['state'].port}/"
        )
        environ = {
            "AUTOLOADER_HOME": str(tmp_path / "home"),
            "AUTOLOADER_SPECS_DIR": str(specs),
            "AUTOLOADER_DATABASE_URL": state,
            "SPARK_REMOTE": f"sc://localhost:{proxies['spark'].port}/;token={spark.token}",
            "LANDING_KEY": "key-of-a-test",
            "LANDING_SECRET": "secret-of-a-test",
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        instance = stack.enter_context(dg.DagsterInstance.ephemeral())
        yield Site(instance, catalog, s3_bucket, proxies, postgres_database_url, namespace)


def test_what_waits_through_an_outage_of_a_day_is_loaded_within_two_ticks(site: Site) -> None:
    site.put("2026-01-01")
    site.tick()
    assert site.in_table() == site.ids
    for month, (name, (fault, advice)) in enumerate(PAGES.items(), start=2):
        site.put(f"2026-{month:02}-01")
        with site.proxies[name].down():
            said = [site.tick()]
            site.put(f"2026-{month:02}-15")
            site.pass_time(12 * HOUR)
            said.append(site.tick())
            site.fail_for_a_day()
            site.pass_time(12 * HOUR)
            site.fail_for_a_day()
            site.pass_time(EVERY)
            said.append(site.tick())
        for page in said:
            assert re.search(fault, page), f"{name}: {page}"
            assert re.search(advice, page), f"{name}: {page}"
        after: list[str] = []
        for _ in range(2):
            site.pass_time(EVERY)
            after.append(site.tick())
        assert site.in_table() == site.ids, f"{name}: {after}"
        assert site.statuses() == {"SUCCESS"}
        assert site.untrue() == []
