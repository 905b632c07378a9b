"""What Dagster's pages show of an asset is the truth, also when no run tells it."""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import create_engine, text

from autoloader_dagster.errors import UsageError
from autoloader_dagster.loading.changes.dismiss import dismiss
from autoloader_dagster.loading.changes.retry import retry
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration.assets import asset_key, build_asset, build_source
from autoloader_dagster.orchestration.jobs.all import build_jobs
from autoloader_dagster.orchestration.resources import (
    NO_IO_MANAGER,
    ProcessedFilesResource,
    default_resources,
)
from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.orchestration.runs.run_job import op_name
from autoloader_dagster.orchestration.runs.told import read_told
from autoloader_dagster.orchestration.triggers import build_sensor
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.state.records import Batch, Claim, LoadedFile, RemovedFile
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.late_pages import LatePages
from tests.fixtures.truth import untrue

_DAYS = [f"2026-01-0{day}" for day in (1, 2, 3, 4)]
_BY_DAY = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv", "start": "2026-01-01"}
_EVERY_5_S = {"on_arrival": {"every": "5s"}}


def _source(lake: Lake) -> dict[str, str]:
    return {"type": "local", "url": str(lake.folder()), "on_change": "fail"}


@dataclass
class Shown:
    """An ingestion, and a Dagster instance that shows it. Nothing here opens Spark."""

    lake: Lake
    ingestion: Ingestion
    instance: dg.DagsterInstance

    @property
    def key(self) -> dg.AssetKey:
        return asset_key(self.ingestion.loaded)

    @property
    def resources(self) -> dict[str, Any]:
        url = f"sqlite:///{self.lake.root / 'state.db'}"
        return {
            **default_resources(),
            "processed_files": ProcessedFilesResource(database_url=url),
            NO_IO_MANAGER: dg.mem_io_manager,
        }

    def tick(self) -> Any:
        """One tick of the sensor, with what the daemon does with its events."""
        loaded = self.ingestion.loaded
        sensor = build_sensor(loaded, load_specs(self.lake.root / "specs").connections)
        assert sensor is not None
        with dg.build_sensor_context(
            instance=self.instance,
            resources={name: self.resources[name] for name in ("spark_connect", "processed_files")},
        ) as context:
            result = sensor.evaluate_tick(context)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        return result

    def run(self, **tags: str) -> dg.ExecuteInProcessResult:
        """A run of the asset; nothing may wait, because that would open Spark."""
        connections = load_specs(self.lake.root / "specs").connections
        definitions = dg.Definitions(
            assets=[
                build_asset(self.ingestion.loaded, connections),
                build_source(self.ingestion.loaded),
            ],
            resources=self.resources,
        )
        return _ended(
            definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=self.instance, tags=tags, asset_selection=[self.key]
            )
        )

    def job(self, name: str, **config: Any) -> dg.ExecuteInProcessResult:
        """A run of one of the jobs."""
        jobs = build_jobs(load_specs(self.lake.root / "specs"))
        definitions = dg.Definitions(jobs=jobs, resources=self.resources)
        ops = {op_name(name): {"config": {"ingestion": self.ingestion.id, **config}}}
        return _ended(
            definitions.resolve_job_def(name).execute_in_process(
                instance=self.instance, run_config={"ops": ops}
            )
        )

    def untrue(self) -> list[str]:
        """What the pages say that is not true, if the table has what the state says."""
        totals = self.lake.store.totals.partition_totals(self.ingestion.id)
        rows = {partition: total.rows for partition, total in totals.items()}
        url = f"sqlite:///{self.lake.root / 'state.db'}"
        return untrue(self.instance, self.ingestion.loaded, url, rows)

    def claim(self, status: dg.DagsterRunStatus | None = dg.DagsterRunStatus.SUCCESS) -> Batch:
        """Claim what waits, in a run of this status, or one that this Dagster does not know."""
        run = dg.DagsterRun("shown", str(uuid.uuid4()), status=status)
        if status is not None:
            self.instance.add_run(run)
        batch = self.ingestion.store.claims.claim(
            Claim(
                self.ingestion.id,
                "default",
                self.ingestion.spec.table.name,
                None,
                9,
                10**9,
                1,
                "w",
                run.run_id,
                timedelta(minutes=5),
            )
        )
        assert batch is not None
        return batch

    def load(
        self,
        rows: int,
        bad_rows: int = 0,
        run: dg.DagsterRunStatus | None = dg.DagsterRunStatus.SUCCESS,
    ) -> Batch:
        """Have the state say that what waits is loaded, each file with so many rows."""
        batch = self.claim(run)
        files = [LoadedFile(file.id, rows, bad_rows) for file in batch.files]
        self.ingestion.store.batch_files.record(batch.batch_id, 7, files, 1.0)
        return batch

    def undo(self, batch: Batch, number: int = 0) -> None:
        """Have the state say that an undo, of no run of this Dagster, took out such a batch."""
        self.ingestion.store.batch_files.record_undo(
            f"20260101T00000{number}Z-aaaaaa",
            8,
            {file.id: batch.batch_id for file in batch.files},
            3,
            ingestion_id=self.ingestion.id,
            tenant="default",
            table=self.ingestion.spec.table.name,
        )

    def quarantine(self) -> None:
        """Have the state say that what waits is quarantined."""
        batch = self.claim()
        aside = [RemovedFile(f.id, "QUARANTINED", "NoCsv", "is a picture") for f in batch.files]
        self.ingestion.store.batch_files.remove(batch.batch_id, "w", aside, 1)
        self.ingestion.store.claims.release(batch.batch_id, "w")

    def fail(self, *days: str) -> None:
        """Runs over these partitions that fail before they load anything."""
        definition = build_asset(
            self.ingestion.loaded, load_specs(self.lake.root / "specs").connections
        ).partitions_def

        @dg.asset(key=self.key, partitions_def=definition)
        def fails() -> None:
            raise ValueError("down")

        for day in days:
            dg.materialize([fails], partition_key=day, instance=self.instance, raise_on_error=False)

    def check(self, name: str) -> dg.AssetCheckEvaluation | None:
        """The last answer of a check."""
        key = dg.AssetCheckKey(self.key, name)
        records = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])
        return records[key].evaluation if key in records else None

    def events(self) -> dict[str | None, dg.AssetMaterialization]:
        """The last materialization of each partition."""
        found: dict[str | None, dg.AssetMaterialization] = {}
        for record in self.instance.fetch_materializations(self.key, limit=1000).records:
            event = record.asset_materialization
            assert event is not None
            found.setdefault(event.partition, event)
        return found


def _ended(result: dg.ExecuteInProcessResult) -> dg.ExecuteInProcessResult:
    run_locks.let_go(result.run_id)
    return result


@pytest.fixture
def shown(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    monkeypatch.setenv("AUTOLOADER_HOME", str(lake.root / "home"))
    ingestion = lake.ingestion("shown", source=_source(lake), partition=_BY_DAY, trigger=_EVERY_5_S)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Shown(lake, ingestion, instance)


def test_a_tick_tells_of_what_its_listing_sets_aside(shown: Shown) -> None:
    folder = shown.lake.folder()
    write_ids(folder, f"{_DAYS[0]}.csv", 1)
    discover(shown.ingestion)
    shown.load(rows=1)
    shown.run()
    green = shown.check("every_file_loaded")
    assert green is not None
    assert green.passed

    # A changed file with 'on_change: fail', and a file of no partition.
    write_ids(folder, f"{_DAYS[0]}.csv", 1, 2)
    write_ids(folder, "odd.csv", 1)
    result = shown.tick()
    red = shown.check("every_file_loaded")
    assert red is not None
    assert not red.passed
    assert red.severity == dg.AssetCheckSeverity.ERROR
    assert red.description is not None
    assert red.description.startswith("2 files failed or quarantined; 'autoloader retry'")
    assert result.skip_message is not None
    assert "2 quarantined" in (result.skip_message or "")
    assert shown.tick().asset_events == [], "the same answer is not told again"

    # Dismissed, also though the source has it no more; its reason stays.
    (folder / "odd.csv").unlink()
    (folder / f"{_DAYS[0]}.csv").unlink()
    dry = shown.job("autoloader_dismiss", files=["*"])
    assert dry.success
    assert shown.check("every_file_loaded") == red
    assert shown.lake.store.totals.number_of_files(shown.ingestion.id, ("QUARANTINED",)) == 2
    shown.job("autoloader_dismiss", files=["*"], dry_run=False)
    green = shown.check("every_file_loaded")
    assert green is not None
    assert green.passed
    assert [lie for lie in shown.untrue() if "every_file_loaded" in lie] == []
    rows = [
        row for row in shown.lake.store.files.find(shown.ingestion.id) if row.status == "SKIPPED"
    ]
    assert {row.error_type for row in rows} == {"Dismissed"}
    assert "dismissed; it was QUARANTINED, NoPartition: odd.csv does not match" in "".join(
        row.reason or "" for row in rows
    )


def test_a_tick_after_a_run_that_failed_before_its_checks_asks_for_the_files(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    write_ids(shown.lake.folder(), f"{_DAYS[0]}.csv", 1)
    with pytest.raises(dg.Failure, match="cannot be reached"):
        shown.run()
    for run in shown.instance.get_runs():
        run_locks.let_go(run.run_id)

    assert len(shown.tick().run_requests or ()) == 1
    answer = shown.check("every_file_loaded")
    assert answer is not None
    assert answer.passed


def test_a_dismissed_version_is_never_loaded_silently_and_a_new_one_is(shown: Shown) -> None:
    folder = shown.lake.folder()
    path = write_ids(folder, f"{_DAYS[0]}.csv", 1)
    discover(shown.ingestion)
    shown.quarantine()
    shown.job("autoloader_dismiss", files=["*.csv"], dry_run=False)
    for _ in range(2):
        assert not shown.tick().run_requests
        assert discover(shown.ingestion).unchanged == 1
        assert retry(shown.ingestion).files == ()
    with pytest.raises(UsageError, match="needs files"):
        dismiss(shown.ingestion, ())

    before, was = path.read_text(), path.stat().st_mtime_ns
    write_ids(folder, path.name, 1, 2)
    assert discover(shown.ingestion).new == 1
    old, new = shown.lake.store.files.find(shown.ingestion.id)
    assert (old.status, new.status, new.partition_key) == ("SKIPPED", "DISCOVERED", _DAYS[0])
    # The source goes back to the version that is not to be loaded.
    path.write_text(before)
    os.utime(path, ns=(was, was))
    assert discover(shown.ingestion).unchanged == 1
    old, new = shown.lake.store.files.find(shown.ingestion.id)
    assert (old.status, new.status) == ("SKIPPED", "REPLACED")
    assert old.reason == "dismissed; it was QUARANTINED, NoCsv: is a picture"


def test_bad_rows_are_told_by_file_with_the_query_for_them(shown: Shown) -> None:
    write_ids(shown.lake.folder(), f"{_DAYS[0]}.csv", 1)
    discover(shown.ingestion)
    shown.load(rows=10, bad_rows=3)
    write_ids(shown.lake.folder(), f"{_DAYS[1]}.csv", 1)
    discover(shown.ingestion)
    shown.load(rows=1)
    shown.run()

    red = shown.check("no_bad_rows")
    assert red is not None
    assert not red.passed
    assert red.description == (
        f"3 rows in 1 file with something in _rescued: {_DAYS[0]}.csv (3 of 10)"
    )
    (record,) = red.metadata["autoloader/bad_files"].value.records  # pyright: ignore
    assert (record.data["partition"], record.data["bad_rows"]) == (_DAYS[0], 3)
    query = red.metadata["autoloader/query"].value
    assert query == (
        'autoloader query "select _source_file, _rescued from '
        f'{shown.ingestion.spec.table.name} where _rescued is not null limit 100"'
    )
    # The spec permits as many now, and then fewer; no run tells that.
    for permitted in (3, 2):
        errors = {"max_bad_rows": permitted}
        shown.ingestion = shown.lake.ingestion(
            "shown",
            source=_source(shown.lake),
            partition=_BY_DAY,
            trigger=_EVERY_5_S,
            errors=errors,
        )
        shown.tick()
        answer = shown.check("no_bad_rows")
        assert answer is not None
        assert answer.passed is (permitted == 3)
        assert shown.tick().asset_events == [], "the same answer is not told again"


def test_a_tick_puts_right_partitions_that_a_failed_run_left(shown: Shown) -> None:
    shown.fail(*_DAYS[:3])
    # The first is loaded, of the second a file waits, of the third there is none.
    write_ids(shown.lake.folder(), f"{_DAYS[0]}.csv", 1)
    discover(shown.ingestion)
    shown.load(rows=10)
    write_ids(shown.lake.folder(), f"{_DAYS[1]}.csv", 2)
    discover(shown.ingestion)
    at_work = shown.claim()
    shown.tick()
    assert shown.events() == {}, "a run at work tells by itself"
    shown.ingestion.store.claims.release(at_work.batch_id, "w")

    shown.tick()
    assert _rows(shown.events()) == {_DAYS[0]: (10, 10), _DAYS[2]: (0, 10)}
    assert shown.untrue() == []
    events = len(shown.instance.fetch_materializations(shown.key, limit=1000).records)
    shown.tick()
    assert len(shown.instance.fetch_materializations(shown.key, limit=1000).records) == events
    green = shown.check("every_file_loaded")
    assert green is not None
    assert green.passed


def test_a_backfill_fills_no_partition_whose_files_are_quarantined(shown: Shown) -> None:
    folder = shown.lake.folder()
    write_ids(folder, f"{_DAYS[0]}.csv", 1)
    discover(shown.ingestion)
    shown.quarantine()
    write_ids(folder, f"{_DAYS[1]}.csv", 1)
    discover(shown.ingestion)
    shown.load(rows=4)

    shown.run(
        **{
            "dagster/backfill": "b",
            "dagster/asset_partition_range_start": _DAYS[0],
            "dagster/asset_partition_range_end": _DAYS[2],
        }
    )
    events = shown.events()
    assert _rows(events) == {_DAYS[1]: (4, 4), _DAYS[2]: (0, 4)}
    assert events[_DAYS[1]].description == "nothing new"
    assert events[_DAYS[2]].description == "no files"
    assert shown.untrue() == []
    red = shown.check("every_file_loaded")
    assert red is not None
    assert not red.passed
    shown.job("autoloader_retry")
    green = shown.check("every_file_loaded")
    assert green is not None
    assert green.passed


def test_pages_that_lie_are_found(shown: Shown) -> None:
    """The checker that the long scenarios call at their end."""
    folder = shown.lake.folder()
    for day in _DAYS[:2]:
        write_ids(folder, f"{day}.csv", 1)
    discover(shown.ingestion)
    shown.load(rows=10, bad_rows=1)
    shown.fail(_DAYS[2])
    write_ids(folder, f"{_DAYS[3]}.csv", 1)
    discover(shown.ingestion)
    shown.quarantine()
    for day, rows in ((_DAYS[0], 9), (_DAYS[3], 0)):
        metadata = {"dagster/partition_row_count": rows, "dagster/row_count": 8}
        event = dg.AssetMaterialization(shown.key, partition=day, metadata=metadata)
        shown.instance.report_runless_asset_event(event)
    shown.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(shown.key, "every_file_loaded", passed=True)
    )

    assert sorted(shown.untrue()) == [
        f"{_DAYS[0]} is shown with 9 rows, and has {{'state': 10, 'table': 10}}",
        f"{_DAYS[1]} is loaded, and no materialization tells",
        f"{_DAYS[1]} is shown as missing, and is loaded",
        f"{_DAYS[2]} is shown as failed, and nothing of it is open",
        f"{_DAYS[3]} is shown as loaded, and its files are {{'QUARANTINED': 1}}",
        "every_file_loaded says (True, 0), and 1 files are bad",
        "no_bad_rows has no answer, and 2 rows are bad",
        "the table is shown with 8 rows, and has {'state': 20, 'table': 20}",
    ]


@pytest.mark.parametrize("known", [True, False])
def test_one_tick_tells_all_that_runs_have_not_told(shown: Shown, known: bool) -> None:
    """The pages that the scenarios look at whose workers have no Dagster."""
    folder = shown.lake.folder()
    url = f"sqlite:///{shown.lake.root / 'state.db'}"
    rows: dict[str | None, int] = {}
    with LatePages(shown.ingestion.loaded, url, lambda: rows, known=known) as pages:
        assert pages.untrue() == []
        for day in _DAYS[:2]:
            write_ids(folder, f"{day}.csv", 1)
            discover(shown.ingestion)
            shown.load(rows=10)
            rows[day] = 10
        write_ids(folder, f"{_DAYS[2]}.csv", 1)
        discover(shown.ingestion)
        shown.quarantine()
        assert pages.untrue() == []
        rows[_DAYS[1]] = 9
        assert pages.untrue() == [
            f"page: {_DAYS[1]} is shown with 10 rows, and has {{'state': 10, 'table': 9}}",
            "page: the table is shown with 20 rows, and has {'state': 20, 'table': 19}",
        ]


def test_a_batch_is_told_of_however_many_came_after_it(shown: Shown) -> None:
    """Thirty runs died untold, and none of the last twenty is the first."""
    folder = shown.lake.folder()
    url = f"sqlite:///{shown.lake.root / 'state.db'}"
    rows: dict[str | None, int] = {}
    for day in (f"2026-01-{day:02}" for day in range(1, 31)):
        write_ids(folder, f"{day}.csv", 1)
        discover(shown.ingestion)
        shown.load(rows=10)
        rows[day] = 10
    with LatePages(shown.ingestion.loaded, url, lambda: rows) as pages:
        assert pages.untrue() == []


def test_a_tick_tells_of_batches_whose_runs_this_dagster_does_not_know(shown: Shown) -> None:
    """The state serves several Dagster homes, or the home was lost."""
    folder = shown.lake.folder()
    # One partition was loaded, undone and loaded again; one was loaded and undone by others after
    # this Dagster had told of it.
    write_ids(folder, f"{_DAYS[1]}.csv", 1)
    discover(shown.ingestion)
    told = shown.load(rows=3)
    metadata = {"autoloader/batch_id": told.batch_id, "dagster/partition_row_count": 3}
    shown.instance.report_runless_asset_event(
        dg.AssetMaterialization(shown.key, partition=_DAYS[1], metadata=metadata)
    )
    write_ids(folder, f"{_DAYS[0]}.csv", 1)
    discover(shown.ingestion)
    shown.undo(shown.load(rows=3, run=None))
    shown.undo(told, 1)
    retry(shown.ingestion, [f"{_DAYS[0]}.csv"])
    last = shown.load(rows=4, run=None)

    events = [e for e in shown.tick().asset_events if isinstance(e, dg.AssetMaterialization)]
    assert sorted(str(event.partition) for event in events) == _DAYS[:2]
    assert _rows(shown.events()) == {_DAYS[0]: (4, 4), _DAYS[1]: (0, 4)}
    event = shown.events()[_DAYS[0]]
    run_id = _run_of(shown, last.batch_id)
    assert event.description == f"loaded by run {run_id}, which this Dagster does not know"
    assert shown.untrue() == []
    assert shown.tick().asset_events == []
    assert read_told(shown.instance, shown.key).open == {}


def test_a_lost_home_is_told_of_all_batches_some_at_a_time(shown: Shown) -> None:
    folder = shown.lake.folder()
    days = [f"2026-{month:02}-{day:02}" for month in (1, 2, 3) for day in range(1, 21)]
    for day in days:
        write_ids(folder, f"{day}.csv", 1)
        discover(shown.ingestion)
        shown.load(rows=1, run=None)
    first = [e for e in shown.tick().asset_events if isinstance(e, dg.AssetMaterialization)]
    assert [event.partition for event in first] == days[:50]
    shown.tick()
    assert shown.untrue() == []


def test_batches_that_are_told_are_not_looked_at_again(shown: Shown) -> None:
    folder = shown.lake.folder()
    for day in _DAYS[:2]:
        write_ids(folder, f"{day}.csv", 1)
        discover(shown.ingestion)
        shown.load(rows=10, run=dg.DagsterRunStatus.FAILURE)
    told = [event for event in shown.tick().asset_events if event.asset_key == shown.key]
    assert {e.partition for e in told if isinstance(e, dg.AssetMaterialization)} == {*_DAYS[:2]}
    assert list(read_told(shown.instance, shown.key).open.values()) == [1, 1]
    # The events are in the log now, and the second tick finds them there.
    assert shown.tick().asset_events == []
    assert read_told(shown.instance, shown.key).open == {}
    # A batch of a run that goes on is kept in mind until the run has ended.
    write_ids(folder, f"{_DAYS[2]}.csv", 1)
    discover(shown.ingestion)
    shown.load(rows=10, run=dg.DagsterRunStatus.STARTED)
    shown.tick()
    (batch,) = read_told(shown.instance, shown.key).open
    run = shown.instance.get_run_by_id(_run_of(shown, batch))
    assert run is not None
    shown.instance.report_run_failed(run)
    (event,) = shown.tick().asset_events[:1]
    assert event.partition == _DAYS[2]


def test_a_batch_is_told_of_although_the_clock_was_set_back(shown: Shown) -> None:
    """Its run died, and the batches before it seem to be younger."""
    for day in _DAYS[:2]:
        _load_untold(shown, day)
    for _ in range(2):
        shown.tick()
    assert read_told(shown.instance, shown.key).open == {}

    _load_untold(shown, _DAYS[2])
    url = f"sqlite:///{shown.lake.root / 'state.db'}"
    with create_engine(url).begin() as connection:
        yesterday = datetime.now(timezone.utc) - timedelta(days=1)
        last = "(SELECT batch_id FROM processed_files ORDER BY id DESC LIMIT 1)"
        connection.execute(
            text(f"UPDATE batches SET started_at = :t, finished_at = :t WHERE id = {last}"),
            {"t": yesterday.replace(tzinfo=None)},
        )
    shown.tick()
    assert _rows(shown.events())[_DAYS[2]] == (10, 30)


@pytest.mark.parametrize("lost", ["forgotten", "restored"])
def test_batches_of_a_state_that_begins_again_are_told_of(shown: Shown, lost: str) -> None:
    """The position of Dagster is ahead of the batches, or names another one."""
    for day in _DAYS[:2]:
        _load_untold(shown, day)
    for _ in range(2):
        shown.tick()
    if lost == "forgotten":
        shown.lake.store.tables.forget(shown.ingestion.id)
    else:
        url = f"sqlite:///{shown.lake.root / 'state.db'}"
        with create_engine(url).begin() as connection:
            connection.execute(text("DELETE FROM processed_files"))
            connection.execute(text("DELETE FROM batches WHERE record_number = 2"))
    for day in _DAYS:
        (shown.lake.folder() / f"{day}.csv").unlink(missing_ok=True)
    for day in _DAYS[2:]:
        _load_untold(shown, day)
    shown.tick()
    assert {*_rows(shown.events())} == {*_DAYS}


def _load_untold(shown: Shown, day: str) -> None:
    """Load a file of a day in a run that died."""
    write_ids(shown.lake.folder(), f"{day}.csv", 1)
    discover(shown.ingestion)
    shown.load(rows=10, run=dg.DagsterRunStatus.FAILURE)


def _run_of(shown: Shown, batch_id: str) -> str:
    return {b.id: b.run_id for b in shown.ingestion.store.batches.latest(shown.ingestion.id)}[
        batch_id
    ]


def _rows(events: dict[str | None, dg.AssetMaterialization]) -> dict[str | None, tuple[Any, Any]]:
    """The rows of each partition and of the table, as its last event has them."""
    return {
        partition: (
            event.metadata["dagster/partition_row_count"].value,
            event.metadata["dagster/row_count"].value,
        )
        for partition, event in events.items()
    }


def test_a_run_for_partitions_that_the_asset_does_not_have_says_so(shown: Shown) -> None:
    first, last = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    with pytest.raises(dg.Failure, match=r"does not have, 2025-11-20 to 2026-01-02: .* is before"):
        shown.run(**{first: "2025-11-20", last: _DAYS[1]})
    with pytest.raises(dg.Failure, match="2026-01-03 to 2026-01-01: the range is empty"):
        shown.run(**{first: _DAYS[2], last: _DAYS[0]})
    for run in shown.instance.get_runs():
        run_locks.let_go(run.run_id)
