"""A site whose servers can be taken away: one ingestion from a bucket, its ticks, and a clock.

The clock is moved by moving what Dagster and the state have recorded into the past.
"""

import logging
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import sqlalchemy as sa
import yaml

from autoloader_dagster import errors, failpoints
from autoloader_dagster.build import load_definitions
from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.orchestration.pages import report
from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.orchestration.runs.tags import AT_ONCE_TAG, PENDING_TAG, run_failure
from autoloader_dagster.settings import load_settings
from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.spark.session import connect
from autoloader_dagster.specs.loader import load_specs
from tests.faults.checker import select
from tests.fixtures.catalogs import Catalog, Catalogs
from tests.fixtures.failed_runs import add_failed_run
from tests.fixtures.lake import read_places
from tests.fixtures.proxy import Proxy, Refusal
from tests.fixtures.s3 import S3Bucket
from tests.fixtures.truth import rows_by_partition, untrue
from tests.nets.error_paths import environment
from tests.nets.outage_files import File, Version

# Of the sensor.
EVERY = 60
BY_DAY = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}-*.csv", "start": "2026-01-01"}
# Columns that lie in the past once time has passed.
_TIMES = {
    "batches": ("started_at", "lease_expires_at", "finished_at"),
    "processed_files": ("updated_at", "processing_started_at", "processed_at"),
}
_WAITING = ("DISCOVERED", "PROCESSING", "FAILED", "HELD")


@dataclass
class Page:
    """What a tick and its runs show.

    Attributes:
        text: All of it.
        strange: Errors in it that are none of our own, which say what to do.
        seconds: How long the tick took, without its runs.
    """

    text: str = ""
    strange: list[str] = field(default_factory=list)
    seconds: float = 0.0


class _Log(logging.Handler):
    """Keeps what a tick logs, which is on its page."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class Site:
    """One ingestion from a bucket, whose servers can be taken away.

    Attributes:
        name: Of the spec and of the table.
        proxies: By the name of what is behind them.
        state_url: Of the state, past the proxy.
        files: By the key in the bucket.
    """

    instance: dg.DagsterInstance
    catalog: Catalog
    bucket: S3Bucket
    proxies: dict[str, Proxy]
    state_url: str
    namespace: str
    name: str
    files: dict[str, File] = field(default_factory=dict)
    _away: dict[str, ExitStack] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)
    _ids: int = 0

    # --- files ----------------------------------------------------------------------------------

    def put(self, key: str, *, good: bool = True) -> None:
        """A file arrives, or another version of it."""
        file = self.files.setdefault(key, File())
        ids = tuple(range(self._ids, self._ids + 1 + self._ids % 3)) if good else ()
        self._ids += len(ids) or 1
        rows = "".join(f"{each}\n" for each in ids)
        content = f"id\n{rows}" if good else f'{{"error": {self._ids}}}'
        file.versions.append(Version(ids, self.bucket.put(f"in/{key}", content.encode())))
        file.there = True

    def delete(self, key: str) -> None:
        """A file is deleted at the source."""
        self.bucket.delete(f"in/{key}")
        self.files[key].there = False

    # --- servers --------------------------------------------------------------------------------

    @property
    def away(self) -> list[str]:
        """What is away."""
        return [name for name in self._away if self.proxies[name].is_down]

    def take_away(self, name: str, after: int = 0, refuse: Refusal | None = None) -> None:
        """A server goes away, now or after so many requests; ``refuse`` is what it still says."""
        self.bring_back(name)
        self._away[name] = ExitStack()
        self._away[name].enter_context(self.proxies[name].down(after, refuse))

    def bring_back(self, name: str) -> None:
        """It is there again."""
        if name in self._away:
            self._away.pop(name).close()

    # --- Dagster --------------------------------------------------------------------------------

    def tick(self, asked: Callable[[], None] = lambda: None) -> Page:
        """The sensor's tick, with the runs that it asks for; what its page says.

        Args:
            asked: Called between the tick and its runs.
        """
        page = Page()
        definitions = load_definitions()
        sensor = definitions.resolve_sensor_def(f"{self.name}_on_arrival")
        # Closed, or its resources' own instance is still the current one in a later test.
        with dg.build_sensor_context(
            instance=self.instance, resources=definitions.resources or {}
        ) as context:
            log = _Log()
            context.log.addHandler(log)
            began = time.monotonic()
            try:
                tick = sensor.evaluate_tick(context)
            except Exception as error:  # Dagster's page of the tick has it
                page.text = str(error)
                if not isinstance(error, AutoloaderError):
                    page.strange.append(f"a tick failed with {type(error).__name__}: {error}")
                return page
            finally:
                page.seconds = time.monotonic() - began
        report(self.instance, tick.asset_events)  # pyright: ignore[reportArgumentType]
        asked()
        said = [tick.skip_message or "", *log.lines]
        for request in tick.run_requests or ():
            # As Dagster does, which starts no run of a key that it has seen.
            if request.run_key in self._asked:
                said.append(f"{request.run_key} was asked for before")
                continue
            self._asked.add(request.run_key or "")
            said.append(self._run(definitions, request.tags, page))
        page.text = "\n".join(filter(None, said))
        return page

    def _run(self, definitions: dg.Definitions, tags: Mapping[str, str], page: Page) -> str:
        run_id = str(uuid.uuid4())
        definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            run_id=run_id,
            asset_selection=[dg.AssetKey([self.namespace, self.name])],
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        run_locks.let_go(run_id)
        failure = run_failure(self.instance, run_id)
        if failure is None:
            return ""
        if failure.message.endswith(failpoints.Death.__name__):
            self._forget_failure(run_id)
            return "its process ended"
        if not failure.error:
            page.strange.append(f"a run failed with {failure.message}")
        return failure.message

    def _forget_failure(self, run_id: str) -> None:
        """Have Dagster know no more of a failure than it does of a process that died."""
        storage = self.instance.event_log_storage
        with storage.run_connection(run_id) as connection:  # pyright: ignore[reportAttributeAccessIssue]
            connection.execute(
                sa.text(
                    "DELETE FROM event_logs WHERE run_id = :run AND dagster_event_type = :type"
                ),
                {"run": run_id, "type": dg.DagsterEventType.STEP_FAILURE.value},
            )

    def pass_time(self, seconds: float) -> None:
        """Move the clock, which is to move all that is recorded into the past."""
        storage = self.instance.run_storage
        with storage.connect() as connection:  # pyright: ignore[reportAttributeAccessIssue]
            for column in ("start_time", "end_time"):
                connection.execute(
                    sa.text(f"UPDATE runs SET {column} = {column} - :seconds"),
                    {"seconds": seconds},
                )
        # Before the first tick the state has no tables, and a run may have locked it.
        with (
            suppress(psycopg.errors.UndefinedTable, psycopg.errors.LockNotAvailable),
            psycopg.connect(self.state_url, options="-c lock_timeout=2s") as connection,
        ):
            for table, columns in _TIMES.items():
                moved = ", ".join(f"{c} = {c} - make_interval(secs => {seconds})" for c in columns)
                connection.execute(f"UPDATE {table} SET {moved}".encode())

    def fail_again(self, times: int) -> None:
        """Have each set of files whose last run has failed fail so often more, just now."""
        last: dict[str, dg.DagsterRun] = {}
        for run in self.instance.get_runs():
            if PENDING_TAG in run.tags:
                last.setdefault(run.tags[PENDING_TAG], run)
        for run in last.values():
            failure = run_failure(self.instance, run.run_id)
            if failure is None:
                continue
            error = getattr(errors, failure.error)(failure.what, failure.hint)
            tags = {name: value for name, value in run.tags.items() if name != AT_ONCE_TAG}
            for _ in range(times):
                add_failed_run(self.instance, tags, error)

    # --- what is true ---------------------------------------------------------------------------

    def rows(self) -> dict[str, list[int]]:
        """The ids in the table by the file that they come from."""
        found: dict[str, list[int]] = defaultdict(list)
        table = self._scan("id", "_source_file")
        if table is not None:
            pairs = zip(table["id"].to_pylist(), table["_source_file"].to_pylist(), strict=True)
            for number, path in pairs:
                found[path.rpartition("/in/")[2]].append(number)
        return {key: sorted(ids) for key, ids in found.items()}

    def _scan(self, *columns: str) -> Any:
        from pyiceberg.exceptions import NoSuchTableError

        with self.catalog.reader() as reader, suppress(NoSuchTableError):
            return (
                reader.load_table(f"{self.namespace}.{self.name}")
                .scan(selected_fields=columns)
                .to_arrow()
            )
        return None

    def waits(self) -> list[str]:
        """The files whose rows are not in the table yet, and must come."""
        rows = self.rows()
        good = {key: file for key, file in self.files.items() if file.is_good}
        return [key for key, file in good.items() if rows.get(key) not in file.may_have()]

    def unsettled(self) -> list[str]:
        """What still waits, or is not in the table as it must be."""
        rows = self.rows()
        wrong = [f"rows of {key}, which never was there" for key in rows.keys() - self.files.keys()]
        for key, file in self.files.items():
            if rows.get(key, []) not in file.may_have():
                wrong.append(f"{key} has rows {rows.get(key, [])}, not one of {file.may_have()}")
        return wrong + self._wrong_statuses()

    def wrong(self) -> list[str]:
        """What is not as it must be, once all that waited is to be loaded."""
        wrong, rows = self.unsettled(), self.rows()
        if not wrong:
            for key, file in self.files.items():
                known = [sorted(version.ids) for version in file.versions]
                file.loaded = known.index(rows[key]) if rows.get(key) else file.loaded
            wrong += self._untrue()
        return wrong

    def _wrong_statuses(self) -> list[str]:
        wrong: list[str] = []
        found: dict[tuple[str, str], str] = {}
        for path, etag, status in select(
            self.state_url, "select file_path, file_etag, status from processed_files"
        ):
            key = path.rpartition("/in/")[2]
            found[key, etag.strip('"')] = status
            bad = {version.etag for version in self.files[key].versions if not version.ids}
            if status in _WAITING:
                wrong.append(f"{key} is {status}")
            if status == "QUARANTINED" and etag.strip('"') not in bad:
                wrong.append(f"{key} is {status} and good")
        for key, file in self.files.items():
            should = "SUCCESS" if file.is_good else "QUARANTINED"
            status = found.get((key, file.versions[-1].etag))
            if file.there and status != should:
                wrong.append(f"{key} is {status}, not {should}")
        open_batches = select(
            self.state_url,
            "select id, status from batches where status not in ('RECORDED', 'RELEASED')",
        )
        return wrong + [f"batch {batch} is {status}" for batch, status in open_batches]

    def _untrue(self) -> list[str]:
        """What the pages say that is not true."""
        loaded = load_specs(load_settings().specs_dir).get(self.name)
        with self.catalog.reader() as reader:
            from pyiceberg.exceptions import NoSuchTableError

            try:
                places = read_places(reader.load_table(f"{self.namespace}.{self.name}"))
                rows = rows_by_partition(places, loaded.spec.source.url)
            except NoSuchTableError:
                rows = Counter[str | None]()
        return untrue(self.instance, loaded, self.state_url, rows)


@contextmanager
def open_site(
    catalogs: Catalogs,
    catalog: Catalog,
    bucket: S3Bucket,
    state_url: str,
    root: Path,
    **spec: Any,
) -> Iterator[Site]:
    """A site on running servers, with a table and an ingestion of its own.

    Args:
        catalogs: With the Spark server.
        catalog: The one of them that has the table.
        bucket: An empty one.
        state_url: Of an empty PostgreSQL database.
        root: A folder of the site's own.
        spec: Parts of the spec that are not the simplest ones.
    """
    # The first session of a server takes longer than a remote one has time.
    with connect(catalogs.settings) as session:
        # And the reader needs a catalog that has its own tables.
        session.sql(f"SHOW NAMESPACES IN {catalog.name}").collect()
    spark = EmbeddedServer(catalogs.settings).ensure()
    name = f"o_{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:
        proxies = {"catalog": catalog.proxy}
        for server, port in (
            ("spark", spark.port),
            ("state", urlsplit(state_url).port),
            ("source", urlsplit(bucket.server.endpoint).port),
        ):
            assert port is not None
            proxies[server] = Proxy("127.0.0.1", port)
            stack.callback(proxies[server].close)
        specs = root / "specs"
        specs.mkdir(parents=True)
        connection = {
            "type": "s3",
            "endpoint_url": f"http://127.0.0.1:{proxies['source'].port}",
            "access_key_id": "env:LANDING_KEY",
            "secret_access_key": "env:LANDING_SECRET",
        }
        (specs / "_connections.yaml").write_text(yaml.safe_dump({"landing": connection}))
        text = {
            "source": {
                "type": "s3",
                "url": f"s3://{bucket.name}/in/",
                "connection": "landing",
                "on_change": "replace",
            },
            "format": {"type": "csv"},
            "table": {"name": f"{catalog.name}.{name}.{name}"},
            "partition": BY_DAY,
            "trigger": {"on_arrival": {"every": f"{EVERY}s"}},
            **spec,
        }
        (specs / f"{name}.yaml").write_text(yaml.safe_dump(text))
        environ = {
            "AUTOLOADER_HOME": str(root / "home"),
            "AUTOLOADER_SPECS_DIR": str(specs),
            "AUTOLOADER_DATABASE_URL": state_url.replace(
                f":{urlsplit(state_url).port}/", f":{proxies['state'].port}/"
            ),
            "SPARK_REMOTE": f"sc://localhost:{proxies['spark'].port}/;token={spark.token}",
            "LANDING_KEY": "key-of-a-test",
            "LANDING_SECRET": "secret-of-a-test",
        }
        stack.enter_context(environment(environ))
        instance = stack.enter_context(dg.DagsterInstance.ephemeral())
        site = Site(instance, catalog, bucket, proxies, state_url, name, name)
        for server in proxies:
            stack.callback(site.bring_back, server)
        yield site
