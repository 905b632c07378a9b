"""A catalog's answer is lost, or its request; other writers; a publish that arrives late.

The catalogs are real: Iceberg's JDBC catalog on PostgreSQL, and Iceberg's own REST server.
"""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from autoloader_dagster import failpoints
from autoloader_dagster.errors import PublishConflict, TableError
from autoloader_dagster.iceberg.table import IcebergTable
from autoloader_dagster.loading.batch.attempts import Attempt
from autoloader_dagster.loading.batch.audit import own_chain
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.load import load
from autoloader_dagster.loading.write_plan import Expected, WritePlan
from autoloader_dagster.spark.session import connect
from autoloader_dagster.state.store import ProcessedFiles
from tests.faults.lost_answers import COMMITS, Landing, lake_of, lose_a_commit
from tests.fixtures.catalogs import Catalog, Catalogs
from tests.fixtures.lake import Lake
from tests.fixtures.project import served_project
from tests.fixtures.proxy import Refusal, When
from tests.fixtures.refusals import OVERTAKEN_HTTP, unauthorized_http
from tests.fixtures.sizes import size

CLI = "autoloader_dagster.cli.app"
_REST_COMMITS = (
    "set-properties",
    "add-schema, set-current-schema",
    "set-snapshot-ref branch",
    "add-snapshot, set-snapshot-ref branch",
    "add-snapshot, set-snapshot-ref branch",
    "set-snapshot-ref main",
    "remove-snapshot-ref branch",
)
# The batch's own append, not the delete before it.
APPEND = re.compile(rb'"action":"add-snapshot".*"autoloader.batch-id"', re.DOTALL)


@pytest.fixture
def lake(
    catalogs_of_sessions: Catalogs, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Lake]:
    with lake_of(catalogs_of_sessions, tmp_path, request.node.name) as made:
        yield made


def loaded(lake: Lake, catalog: Catalog, name: str) -> Landing:
    """A landing whose first files are in its table."""
    landing = Landing(lake, catalog, name)
    landing.change()
    assert landing.load() == []
    assert not landing.check(), str(landing.check())
    return landing


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_load_goes_on_when_a_commit_or_its_answer_is_lost(
    lake: Lake, catalog: Catalog, when: When
) -> None:
    # The first table's commits: namespace, table, a first snapshot. The table after it: again, for
    # the namespace is there.
    for name, nth in [("one", 1), ("two", 1), ("three", 2)]:
        told = lose_a_commit(Landing(lake, catalog, name), nth, when)
        assert told.lost
        assert not told.outcome.verdict, str(told.outcome)
        assert told.errors == []
    landing = loaded(lake, catalog, "later")
    # Each commit is lost in each of the two ways, in one of the catalogs or else in both.
    first = 1 if (when == "before") == (catalog.name == "restlake") else 2
    for nth in range(size(first, 1), COMMITS + 1, size(2, 1)):
        told = lose_a_commit(landing, nth, when)
        assert not told.outcome.verdict, str(told.outcome)
        assert told.errors == []
        assert told.lost
        if catalog.name == "restlake":
            assert re.sub(r"autoloader_\w+", "branch", told.lost) == _REST_COMMITS[nth - 1]


def test_an_append_that_the_jdbc_catalog_repeats_is_one_snapshot_and_a_second_one_is_seen(
    lake: Lake, catalogs: Catalogs
) -> None:
    catalog = catalogs.by_name["pglake"]
    landing = loaded(lake, catalog, "repeated")
    with connect(lake.settings) as spark:
        table = IcebergTable(spark, landing.ingestion.spec.table.name)
        base = table.head()
        table.create_branch("b", base)
        frame = spark.table(table.name).limit(1).selectExpr("*")
        with table.tagged("attempt"), catalog.proxy.losing(catalog.commit, 1, "after") as loss:
            table.append(frame, "b", "batch", layout="any")
        assert loss.happened.is_set()
        # The catalog has sent it twice, and takes its own first try for another writer's. Iceberg
        # keeps a snapshot's id from try to try, and so finds that it is there.
        assert loss.seen == 2
        assert [snapshot.added_records for snapshot in table.chain("b", base)] == [1]
        # Were it otherwise, the chain would tell.
        with table.tagged("attempt"):
            table.append(frame, "b", "batch", layout="any")
        plan = WritePlan("batch", None, (), {}, Expected(((True,),)))
        with pytest.raises(PublishConflict, match="exactly the commits of this attempt"):
            own_chain(table, Attempt("b", "attempt", base), plan)
        table.drop_branch("b")


def test_answers_that_are_lost_each_time_end_the_run_and_nothing_is_published(
    lake: Lake, catalogs: Catalogs
) -> None:
    catalog = catalogs.by_name["restlake"]
    landing = loaded(lake, catalog, "stubborn")
    landing.change()
    with catalog.proxy.losing(APPEND, None, "after") as loss:
        (said,) = landing.load()
    assert said.startswith("CommitUnknown: nobody knows whether a write to branch autoloader_")
    assert loss.seen == 3
    assert len(landing.waiting()) == 2
    assert landing.load() == []
    assert not landing.check(), str(landing.check())


def test_an_append_that_is_refused_again_and_again_is_tried_until_others_pause(
    lake: Lake, catalogs: Catalogs
) -> None:
    """Many workers commit to one table, and Iceberg gives up after its own tries."""
    catalog = catalogs.by_name["restlake"]
    landing = loaded(lake, catalog, "crowded")
    with connect(lake.settings) as spark:
        name = landing.ingestion.spec.table.name
        properties = {
            row.key: row.value for row in spark.sql(f"show tblproperties {name}").collect()
        }
        assert properties["commit.retry.num-retries"] == "20"
        spark.sql(f"alter table {name} set tblproperties ('commit.retry.num-retries' = '1')")
    landing.change()
    # Two tries of Iceberg in each of four attempts.
    refused = range(1, 2 * 4 + 1)
    with catalog.proxy.losing(APPEND, refused, "before", OVERTAKEN_HTTP) as loss:
        assert landing.load() == []
    assert loss.seen == refused.stop
    assert not landing.check(), str(landing.check())


def test_other_writers_between_base_and_publish_cost_an_attempt(
    lake: Lake, catalog: Catalog
) -> None:
    landing = loaded(lake, catalog, "moved")
    landing.change()
    assert landing.load() == []
    name = landing.ingestion.spec.table.name
    in_catalog = name.partition(".")[2]
    by_others = iter(
        [
            f"call {catalog.name}.system.rewrite_data_files(table => '{in_catalog}', "
            "options => map('rewrite-all', 'true'))",
            f"insert into {name} (id, _source_file, _batch_id) values (99, 'x', 'by-hand')",
            f"delete from {name} where _batch_id = 'by-hand'",
        ]
    )

    def let_others_go_first() -> None:
        statement = next(by_others, None)
        if statement:
            with connect(lake.settings) as spark:
                spark.sql(statement)

    landing.change()

    with failpoints.on("publishing", let_others_go_first):
        assert landing.load() == []

    assert not landing.check(), str(landing.check())
    assert max(batch.attempt for batch in lake.store.batches.latest(landing.ingestion.id)) == 4


def test_a_publish_that_is_kept_on_its_way_comes_too_late(
    lake: Lake, catalogs: Catalogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = catalogs.by_name["restlake"]
    landing = loaded(lake, catalog, "late")
    landing.change()
    publish = re.compile(rb'"ref-name":"main"')
    held = []
    real = IcebergTable.fast_forward

    def time_out(self: IcebergTable, branch: str) -> int:
        """As if the call had been given up: it goes on in another thread and nobody waits."""
        publisher = threading.Thread(target=lambda: late.append(_outcome(real, self, branch)))
        publisher.start()
        held.append(publisher)
        assert hold.arrived.wait(30)
        monkeypatch.setattr(IcebergTable, "fast_forward", real)
        raise ConnectionError("the answer did not come in time")

    late: list[Exception | None] = []
    monkeypatch.setattr(IcebergTable, "fast_forward", time_out)
    with catalog.proxy.holding(publish) as hold, ExitStack() as sessions:
        # The session must outlive the run, as the server's side of a lost client does.
        session = sessions.enter_context(connect(lake.settings))
        impatient = replace(landing.ingestion, connect=lambda: nullcontext(session))
        discover(impatient)
        with pytest.raises(ConnectionError):
            list(load(impatient, None, "impatient"))
        assert landing.waiting(), "nothing is published yet, so its files wait"
        assert landing.load() == []
        assert not landing.check(), str(landing.check())
        hold.go.set()
        held[0].join(60)
    assert isinstance(late[0], TableError)
    assert landing.load() == []
    assert not landing.check(), str(landing.check())


def _outcome(publish, table: IcebergTable, branch: str) -> Exception | None:
    try:
        publish(table, branch)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("their_column", ["column", "another"])
def test_two_writers_of_one_table_both_get_their_rows_and_columns_in(
    lake: Lake, catalog: Catalog, tmp_path: Path, their_column: str
) -> None:
    landing = loaded(lake, catalog, "shared")
    other_store = ProcessedFiles(f"sqlite:///{tmp_path / 'other.db'}")
    other_store.upgrade()
    # The same table, other files, and a state database of its own: only the table keeps order.
    (lake.root / "other").mkdir()
    other = Lake(lake.settings, other_store, lake.root / "other", lake.namespace)
    theirs = Landing(other, catalog, "shared", 1_000_000, their_column)
    try:
        with ThreadPoolExecutor(2) as pool:
            for _ in range(3):
                landing.change()
                theirs.change()
                said = list(pool.map(lambda side: side.load(), [landing, theirs]))
                assert said == [[], []]
    finally:
        other_store.close()
    assert not landing.check(theirs), str(landing.check(theirs))
    columns = {name for name in landing.columns() if not name.startswith("_")}
    ours = {f"column_{number}" for number in range(1, 5)}
    assert columns == {"id", *ours, *(f"{their_column}_{number}" for number in range(1, 4))}


def test_a_catalog_out_of_reach_is_named_on_the_command_line_and_nothing_is_lost(
    catalogs: Catalogs, catalog: Catalog, tmp_path: Path
) -> None:
    with connect(catalogs.settings):
        # A command would start the server without PostgreSQL's driver.
        project = served_project(catalogs.settings, tmp_path)
    project.environ["AUTOLOADER_SPARK_CONF"] = str(catalogs.settings.spark_conf)
    table = f"{catalog.name}.{project.namespace}.orders"
    project.write_spec("orders", table={"name": table})
    (project.landing("orders") / "a.csv").write_text("id\n1\n")
    run, query = ("run", "orders"), ("query", f"select * from {table}")
    cases: list[tuple[Refusal | None, str, tuple[tuple[str, ...], ...]]] = [
        (None, "cannot be reached", (run, query, ("reconcile", "orders", "--yes")))
    ]
    if catalog.name == "restlake":
        # After a 500 or a 503 its client tries for half a minute more.
        cases = [
            (None, "cannot be reached", (query,)),
            (unauthorized_http, "refuses access", (run,)),
        ]
    for refuse, failed, commands in cases:
        with catalog.proxy.down(refuse=refuse):
            for command in commands:
                done = project.run(CLI, *command, check=False)
                assert done.returncode == 2, (command, done.stderr)
                assert f"the catalog '{catalog.name}' at " in done.stderr, done.stderr
                assert f":{catalog.proxy.port}" in done.stderr.splitlines()[0]
                assert f" {failed}" in done.stderr.splitlines()[0]
                assert len(done.stderr.splitlines()) == 2, done.stderr
    assert " 1 row from" in project.run(CLI, *run).stdout
