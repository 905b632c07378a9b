"""What a tick asks for, by what became of the runs that were asked for before."""

import itertools
import re
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest

from autoloader_dagster.cli import project
from autoloader_dagster.errors import SourceUnavailable, SparkUnavailable, TableError
from autoloader_dagster.loading.changes.retry import retry
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.plan import plan_runs
from autoloader_dagster.orchestration.failed_partitions import settled_partitions
from autoloader_dagster.orchestration.jobs.base import opened
from autoloader_dagster.orchestration.listing import list_to_its_end, why_not_to_list
from autoloader_dagster.orchestration.named_partitions import add_named_partitions
from autoloader_dagster.orchestration.outages import look_now, note_outage
from autoloader_dagster.orchestration.partitions import partitions_definition
from autoloader_dagster.orchestration.planning import (
    look_and_plan,
    run_requests,
    run_tags,
)
from autoloader_dagster.orchestration.resources import resources_of_environment
from autoloader_dagster.orchestration.runs.tags import LISTS_TAG
from autoloader_dagster.orchestration.runs.under_way import RANGE_END, RANGE_START
from autoloader_dagster.orchestration.triggers import Tick, plan_tick
from autoloader_dagster.settings import load_settings
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.sources.steady import SteadySource
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.state.records import Batch, Claim, LoadedFile
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.failed_runs import add_failed_run
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.project import wait_for


@pytest.fixture
def lake(sqlite_template: Path, tmp_path: Path) -> Iterator[Lake]:
    """A lake without a Spark server, which no test here needs."""
    shutil.copy(sqlite_template, tmp_path / "state.db")
    settings = load_settings({"AUTOLOADER_HOME": str(tmp_path / "home")})
    store = ProcessedFiles(f"sqlite:///{tmp_path / 'state.db'}")
    yield Lake(settings, store, tmp_path, "t")
    store.close()


def test_a_pending_set_is_asked_for_again_however_many_runs_have_failed(lake: Lake) -> None:
    ingestion = lake.ingestion("outage")
    write_ids(lake.folder(), "1.csv", 1)
    discover(ingestion)
    keys: set[str | None] = set()
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(30):
            (request,), waiting = run_requests(ingestion, instance, plan_runs(ingestion))
            assert not waiting
            assert request.run_key not in keys
            # The same tick twice asks for one run.
            ((again,), _) = run_requests(ingestion, instance, plan_runs(ingestion))
            assert again.run_key == request.run_key
            keys.add(request.run_key)
            instance.add_run(
                dg.DagsterRun(
                    job_name="outage",
                    run_id=str(uuid.uuid4()),
                    status=dg.DagsterRunStatus.FAILURE,
                    tags=request.tags,
                )
            )


@dataclass
class SlowSource:
    """A source whose listing has no end, or stands still until it is let go, or fails."""

    page: list[FileRef]
    still: threading.Event | None = None
    error: Exception | None = None
    listings: int = 0
    left_out: int = field(default=0)

    def list_pages(self) -> Iterator[list[FileRef]]:
        self.listings += 1
        if self.error is not None:
            raise self.error
        if self.still is not None:
            yield self.page
            assert self.still.wait(60)
            return
        for _ in itertools.count():
            yield self.page


def _add_run(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.DagsterRun:
    return instance.add_run(
        dg.DagsterRun(
            job_name="orders",
            run_id=str(uuid.uuid4()),
            status=dg.DagsterRunStatus.STARTED,
            tags=request.tags,
        )
    )


def test_a_listing_that_is_too_long_for_a_tick_is_left_to_one_run(lake: Lake) -> None:
    ingestion = lake.ingestion("long")
    write_ids(lake.folder(), "1.csv", 1)
    discover(ingestion)
    source = SlowSource(next(iter(ingestion.source.list_pages())))
    ingestion = replace(ingestion, source=source)  # pyright: ignore[reportArgumentType]

    with dg.DagsterInstance.ephemeral() as instance:
        tick = plan_tick(ingestion, instance, sensor=True, seconds=0.2, look=False)
        # What waits comes before the run that lists.
        waiting, lists = tick.requests
        assert LISTS_TAG not in waiting.tags
        assert lists.tags[LISTS_TAG] == ingestion.loaded.names.unique
        asked = _add_run(instance, waiting)
        run = _add_run(instance, lists)

        for sensor in (True, False):
            tick = plan_tick(ingestion, instance, sensor=sensor, seconds=0.2, look=False)
            assert not tick.requests
            assert f"run {run.run_id[:8]} lists the source (started)" in tick.reason
        assert source.listings == 1

        instance.report_run_failed(run)
        listed = f"run {run.run_id[:8]}, which lists the source and loads its files, failed after 0"
        tick = plan_tick(ingestion, instance, sensor=True, seconds=0.2, look=False)
        # The run of what waits has not ended, so there is nothing else to ask for.
        assert listed in tick.reason
        assert "the source is listed again in" in tick.reason
        assert source.listings == 1
        instance.report_run_failed(asked)
        tick = plan_tick(ingestion, instance, sensor=True, seconds=0.2, look=False)
        assert listed in tick.reason, "also beside what the tick asks for or waits with"
        # A schedule does not come again soon.
        *_, again = plan_tick(ingestion, instance, sensor=False, seconds=0.2, look=False).requests
        assert again.tags == lists.tags
        assert again.run_key != lists.run_key


def test_a_source_that_stands_still_is_listed_once_at_a_time(lake: Lake) -> None:
    ingestion = lake.ingestion("still")
    write_ids(lake.folder(), "1.csv", 1)
    still = threading.Event()
    source = SlowSource(next(iter(ingestion.source.list_pages())), still)
    ingestion = replace(ingestion, source=source)  # pyright: ignore[reportArgumentType]

    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            tick = plan_tick(ingestion, instance, sensor=True, seconds=0.1)
            assert not tick.requests
            assert "1 file is listed so far, and the listing goes on" in tick.reason
        assert source.listings == 1
        still.set()
        wait_for(
            lambda: bool(plan_tick(ingestion, instance, sensor=True).requests), 60, "the listing"
        )


@dataclass
class LateSource:
    """A source whose only page, or whose error, comes when it is let go."""

    page: list[FileRef]
    error: Exception | None = None
    let_go: threading.Event = field(default_factory=threading.Event)
    listings: int = 0
    ended: int = 0
    left_out: int = 0

    def list_pages(self) -> Iterator[list[FileRef]]:
        self.listings += 1
        try:
            assert self.let_go.wait(60)
            if self.error is not None:
                raise self.error
            yield self.page
        finally:
            self.ended += 1


def _add_ended_run(instance: dg.DagsterInstance, began: datetime, ended: datetime) -> dg.DagsterRun:
    """A run that was to list ``default/paused``, with times of its machine's clock."""
    run = _add_run(instance, dg.RunRequest(tags={LISTS_TAG: "default/paused"}))
    for kind, moment in (
        (dg.DagsterEventType.RUN_START, began),
        (dg.DagsterEventType.RUN_SUCCESS, ended),
    ):
        event = dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name)
        instance.handle_run_event(run.run_id, event, moment)
    return run


def test_a_sensor_lists_again_ten_minutes_after_a_run_at_the_latest() -> None:
    """A run that lists loads all that is pending too, and that may take hours."""
    now = datetime.now(timezone.utc)
    with dg.DagsterInstance.ephemeral() as instance:
        run = _add_ended_run(instance, now - timedelta(hours=5), now)

        def why(minutes: float) -> str | None:
            moment = now + timedelta(minutes=minutes)
            return why_not_to_list(instance, "default/paused", moment, pause=True)

        assert why(1) == (
            f"run {run.run_id[:8]}, which lists the source and loads its files, ended after "
            "18000 s; the source is listed again in 540 s"
        )
        assert why(10) is None


def test_a_clock_of_a_run_that_is_ahead_makes_nothing_wait_longer(lake: Lake) -> None:
    ingestion = lake.ingestion("ahead")
    write_ids(lake.folder(), "1.csv", 1)
    discover(ingestion)
    now = datetime.now(timezone.utc)
    ahead = now + timedelta(days=1)
    with dg.DagsterInstance.ephemeral() as instance:
        _add_ended_run(instance, ahead, ahead)

        def why(seconds: float) -> str | None:
            moment = now + timedelta(seconds=seconds)
            return why_not_to_list(instance, "default/paused", moment, pause=True)

        assert str(why(0)).endswith("the source is listed again in 30 s")
        assert str(why(20)).endswith("the source is listed again in 10 s")
        day = timedelta(days=1).total_seconds()
        assert [why(seconds) for seconds in (30, day + 1, day + 2)] == [None, None, None]

        plans = plan_runs(ingestion)
        ((request,), _) = run_requests(ingestion, instance, plans, now)
        instance.report_run_failed(_add_run(instance, request))
        # To the sensor's clock that is a day ahead.
        late = now - timedelta(days=1)
        for seconds, left in ((0, 30), (20, 10)):
            moment = late + timedelta(seconds=seconds)
            requests, (waiting,) = run_requests(ingestion, instance, plans, moment)
            assert not requests
            assert f"1 file is tried again in {left} s" in waiting
        requests, _ = run_requests(ingestion, instance, plans, late + timedelta(seconds=30))
        assert len(requests) == 1


@dataclass
class LateLook(LateSource):
    """The same for looks at files."""

    def stat(self, paths: Sequence[str]) -> dict[str, FileRef | None]:
        assert self.let_go.wait(60)
        return dict.fromkeys(paths)


def test_a_command_gives_a_source_up_that_does_not_answer(lake: Lake) -> None:
    write_ids(lake.folder(), "1.csv", 1)
    ingestion = lake.ingestion("commands")
    source = LateLook(next(iter(ingestion.source.list_pages())))
    steady = SteadySource(source, "/mnt/in", patience=0.1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SourceUnavailable) as error:
        discover(replace(ingestion, source=steady))
    assert "A listing of /mnt/in was given up after 0 files, because no page came for" in str(
        error.value
    )
    assert not ingestion.store.files.pending(ingestion.id, 1)
    with pytest.raises(SourceUnavailable, match="A look at 1 file below /mnt/in was given up"):
        steady.stat(["/mnt/in/1.csv"])
    source.let_go.set()
    assert wait_for(lambda: source.ended, 20, "the end of the listing") == 1
    assert discover(replace(ingestion, source=replace(steady, patience=60))).new == 1
    assert steady.stat(["/mnt/in/1.csv"]) == {"/mnt/in/1.csv": None}
    source.error = SourceUnavailable("the source is down")
    with pytest.raises(SourceUnavailable, match="the source is down"):
        list(steady.list_pages())


def test_a_command_does_not_give_up_a_listing_that_chooses_nothing_for_long() -> None:
    class Choosy:
        """Meets many files and chooses none of them; then it hangs."""

        left_out = 0
        let_go = threading.Event()

        def list_pages(self) -> Iterator[list[FileRef]]:
            for _ in range(8):
                self.let_go.wait(0.1)
                self.left_out += 1_000
            self.let_go.wait(60)
            yield []

        def stat(self, paths: Sequence[str]) -> dict[str, FileRef | None]:
            self.let_go.wait(0.1)
            return dict.fromkeys(paths)

    source = Choosy()
    steady = SteadySource(source, "/mnt/in", patience=0.3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SourceUnavailable, match="was given up"):
        list(steady.list_pages())
    assert source.left_out == 8_000
    # A look at many files takes longer than one at a few.
    paths = [f"/mnt/in/{number}" for number in range(3_000)]
    assert steady.stat(paths) == dict.fromkeys(paths)
    source.let_go.set()


def test_commands_and_jobs_wait_for_a_source_as_long_as_a_tick_does(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOLOADER_HOME", str(lake.settings.home))
    folder = lake.settings.home / "specs"
    folder.mkdir(parents=True)
    (folder / "orders.yaml").write_text(
        f"source: {{type: local, url: {lake.folder()}}}\nformat: {{type: csv}}\n"
        "table: {name: lake.shop.orders}\n"
    )
    specs, url = load_specs(folder), f"sqlite:///{lake.settings.home / 'state.db'}"
    (loaded,) = specs.specs
    settings = replace(lake.settings, database_url=url)
    command = project.open_ingestion(loaded, specs, settings)
    command.store.close()
    with opened(specs, "orders", resources_of_environment()) as job:
        pass
    for source in (command.source, job.source):
        assert isinstance(source, SteadySource)
        assert (source.url, source.patience) == (str(lake.folder()), 600)


def test_a_page_that_comes_after_the_tick_is_recorded_and_loaded(lake: Lake) -> None:
    ingestion = lake.ingestion("late")
    write_ids(lake.folder(), "1.csv", 1)
    source = LateSource(next(iter(ingestion.source.list_pages())))
    ingestion = replace(ingestion, source=source)  # pyright: ignore[reportArgumentType]

    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> Tick:
            tick = plan_tick(ingestion, instance, sensor=True, seconds=0.1)
            # The sensor closes the state after each tick.
            ingestion.store.close()
            return tick

        for _ in range(2):
            assert "0 files are listed so far, and the listing goes on" in tick().reason
        source.let_go.set()
        (request,) = wait_for(lambda: tick().requests, 20, "the files of the late page")
        _add_run(instance, request)
        listed = "the source was listed, and is listed again in"
        # The tick that is given the last page may come before the listing knows its end.
        wait_for(lambda: listed in tick().reason, 20, "the end of the listing")
        assert source.listings == 1


def test_an_error_that_comes_after_the_tick_fails_a_later_one(lake: Lake) -> None:
    ingestion = lake.ingestion("late_error")
    source = LateSource([], SourceUnavailable("the source is down"))
    ingestion = replace(ingestion, source=source)  # pyright: ignore[reportArgumentType]

    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> Exception | None:
            try:
                plan_tick(ingestion, instance, sensor=True, seconds=0.1)
            except SourceUnavailable as error:
                return error
            return None

        assert tick() is None
        source.let_go.set()
        assert wait_for(lambda: source.ended, 20, "the end of the listing") == 1
        assert "is down" in str(wait_for(tick, 20, "the error of the listing"))
        assert source.listings == 1


def test_a_page_that_comes_after_the_tick_of_a_schedule_is_left_to_a_run(lake: Lake) -> None:
    ingestion = lake.ingestion("late_schedule")
    write_ids(lake.folder(), "1.csv", 1)
    source = LateSource(next(iter(ingestion.source.list_pages())))
    ingestion = replace(ingestion, source=source)  # pyright: ignore[reportArgumentType]

    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = plan_tick(ingestion, instance, sensor=False, seconds=0.1).requests
        assert request.tags[LISTS_TAG] == ingestion.loaded.names.unique
        source.let_go.set()
        assert wait_for(lambda: source.ended, 20, "the end of the listing") == 1
        assert not ingestion.store.files.partition_keys(ingestion.id)
        assert not ingestion.store.files.pending(ingestion.id, 1)


def test_a_listing_that_makes_no_progress_is_given_up_and_another_one_begins(lake: Lake) -> None:
    ingestion = lake.ingestion("stuck")
    write_ids(lake.folder(), "1.csv", 1)
    # Its only page comes at last, with a file that is gone by then.
    ((ref,),) = ingestion.source.list_pages()
    stuck = [LateSource([replace(ref, path=f"{lake.folder()}/gone.csv")]) for _ in range(2)]

    def tick(source: LateSource | None, patience: float = 600) -> Tick:
        at = replace(ingestion, source=source) if source else ingestion  # pyright: ignore
        return plan_tick(at, instance, sensor=True, seconds=0.1, patience=patience, look=False)

    with dg.DagsterInstance.ephemeral() as instance:
        assert "the listing goes on" in tick(stuck[0]).reason
        assert "the listing goes on" in tick(stuck[1]).reason
        assert stuck[1].listings == 0, "one at a time"
        # The source does not answer the next listing either, until it is well again.
        for patience in (0, 600):
            with pytest.raises(SourceUnavailable, match="no page came for") as error:
                tick(stuck[1], patience)
        assert f"A listing of {lake.folder()} was given up after 0 files" in str(error.value)
        (request,) = tick(None, patience=0).requests
        assert LISTS_TAG not in request.tags

        for each in stuck:
            each.let_go.set()
        for each in stuck[:2]:
            wait_for(lambda each=each: each.ended, 20, "the end of a listing that was given up")
        wait_for(lambda: not _threads_of(ingestion.id), 20, "the end of their threads")
        assert lake.statuses(ingestion) == {"1.csv": "DISCOVERED"}, "a late page is not recorded"
        assert "1 unchanged" in tick(None).reason or tick(None).requests


def test_listings_that_were_given_up_do_not_grow_without_end(lake: Lake) -> None:
    ingestion = lake.ingestion("many_stuck")
    source = LateSource([])
    hung = replace(ingestion, source=source)  # pyright: ignore[reportArgumentType]
    with dg.DagsterInstance.ephemeral() as instance:

        def tick(*, sensor: bool) -> list[dg.RunRequest]:
            with suppress(SourceUnavailable):
                return plan_tick(
                    hung, instance, sensor=sensor, seconds=0.01, patience=0, look=False
                ).requests
            return []

        requests = [tick(sensor=True) for _ in range(5)]
        assert source.listings == 3
        # A run lists instead, in a process of its own.
        assert [len(each) for each in requests] == [0, 0, 0, 1, 1]
        assert requests[-1][0].tags[LISTS_TAG] == ingestion.loaded.names.unique
        assert [each.tags for each in tick(sensor=False)] == [requests[-1][0].tags]
        with pytest.raises(SourceUnavailable, match="no page came"):
            list_to_its_end(hung, lambda _listed: None, patience=0.01)
        source.let_go.set()
        wait_for(lambda: not _threads_of(ingestion.id), 20, "the end of the threads")
        assert "there are no files" in plan_tick(ingestion, instance, sensor=True).reason


def _threads_of(ingestion_id: str) -> list[str]:
    return [each.name for each in threading.enumerate() if ingestion_id in each.name]


def test_a_source_that_fails_keeps_nothing_from_being_loaded_that_is_known(lake: Lake) -> None:
    ingestion = lake.ingestion("fails")
    write_ids(lake.folder(), "1.csv", 1)
    source = SlowSource([], error=SourceUnavailable("the source is down"))
    failing = replace(ingestion, source=source)  # pyright: ignore[reportArgumentType]

    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(SourceUnavailable, match="is down"):
            plan_tick(failing, instance, sensor=True)
        discover(ingestion)
        tick = plan_tick(failing, instance, sensor=True)
        assert len(tick.requests) == 1
        assert isinstance(tick.error, SourceUnavailable)


class _Lakehouse:
    """A lakehouse of which only one thing is known: whether it answers."""

    def __init__(self) -> None:
        self.down = False

    @contextmanager
    def connect(self) -> Iterator["_Lakehouse"]:
        if self.down:
            raise SparkUnavailable("the server is away", "Start it.")
        yield self

    def table(self, _session: object, _name: str) -> "_Lakehouse":
        return self

    def exists(self) -> bool:
        return True


def test_files_that_failed_in_an_outage_are_asked_for_as_soon_as_it_is_over(lake: Lake) -> None:
    server = _Lakehouse()
    ingestion = lake.ingestion("outage")
    write_ids(lake.folder(), "1.csv", 1)
    ingestion = replace(ingestion, connect=server.connect, lakehouse=server)  # pyright: ignore

    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = plan_tick(ingestion, instance, sensor=True).requests
        runs = [_add_run(instance, request) for _ in range(8)]
        for run in runs:
            instance.report_run_failed(run)

        def tick() -> tuple[int, str]:
            planned = plan_tick(ingestion, instance, sensor=True)
            return len(planned.requests), planned.reason

        number, reason = tick()
        assert number == 0
        assert "1 file is tried again in 35" in reason
        assert f"because run {runs[-1].run_id[:8]} did not load them" in reason
        server.down = True
        for _ in range(2):
            number, reason = tick()
            assert number == 0
            assert "1 file waits until this is over: the server is away" in reason
            assert "Start it." in reason
        server.down = False
        assert tick() == (1, "")
        # A run that fails although all is well waits as before.
        instance.report_run_failed(_add_run(instance, request))
        assert tick()[0] == 0
        note_outage(ingestion.loaded)
        assert tick() == (1, "")


def test_a_look_that_nobody_answers_is_given_up_and_another_one_begins(lake: Lake) -> None:
    let_go = threading.Event()
    looks: list[None] = []

    @contextmanager
    def hangs() -> Iterator[None]:
        looks.append(None)
        assert let_go.wait(60)
        raise SparkUnavailable("the server is away", "Start it.")
        yield

    server = _Lakehouse()
    ingestion = replace(lake.ingestion("look"), connect=server.connect, lakehouse=server)  # pyright: ignore
    hung = replace(ingestion, connect=hangs)  # pyright: ignore
    for patience in (600, 600, 0):
        error = look_now(hung, 0.01, patience)
        assert "does not answer within" in str(error)
    assert len(looks) == 2
    assert look_now(ingestion, 20, patience=0) is None
    for _ in range(5):
        assert look_now(hung, 0.01, patience=0) is not None
    assert len(looks) == 3
    let_go.set()
    wait_for(lambda: not _threads_of(ingestion.loaded.names.unique), 20, "the end of the looks")
    assert look_now(ingestion, 20) is None


def test_a_run_that_loaded_the_files_is_not_blamed_when_they_wait_again(lake: Lake) -> None:
    ingestion = lake.ingestion("again")
    write_ids(lake.folder(), "1.csv", 1)
    store = ingestion.store
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> tuple[list[dg.RunRequest], str]:
            planned = plan_tick(ingestion, instance, sensor=True, look=False)
            return planned.requests, planned.reason

        def run(request: dg.RunRequest) -> dg.DagsterRun:
            run = _add_run(instance, request)
            event = dg.DagsterEvent(
                event_type_value=dg.DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name
            )
            instance.handle_run_event(run.run_id, event)
            return run

        keys: set[str | None] = set()
        for number in range(4):
            ((request,), _) = tick()
            keys.add(request.run_key)
            batch = store.claims.claim(
                Claim(
                    ingestion.id,
                    "default",
                    ingestion.spec.table.name,
                    None,
                    9,
                    10**9,
                    1,
                    "w",
                    run(request).run_id,
                    timedelta(minutes=5),
                )
            )
            assert batch is not None
            (file,) = batch.files
            store.batch_files.record(batch.batch_id, number, [LoadedFile(file.id, 1)], 1.0)
            # An undo, or main was rolled back.
            if number % 2:
                store.rollbacks.roll_back(batch.batch_id, number, "main lost it")
            else:
                store.batch_files.record_undo(
                    f"20260101T00000{number}Z-aaaaaa",
                    number,
                    {file.id: batch.batch_id},
                    1,
                    ingestion_id=ingestion.id,
                    tenant="default",
                    table=ingestion.spec.table.name,
                )
            assert len(retry(ingestion, ["1.csv"]).files) == 1
        assert len(keys) == 4

        # A run that ends well without loading them is tried again later, and later each time.
        ((request,), _) = tick()
        for seconds in (29, 59):
            run(request)
            requests, reason = tick()
            assert not requests
            assert f"1 file is tried again in {seconds} s" in reason


def test_files_whose_run_met_an_outage_that_is_over_are_asked_for_at_once(lake: Lake) -> None:
    server = _Lakehouse()
    ingestion = lake.ingestion("met")
    write_ids(lake.folder(), "1.csv", 1)
    ingestion = replace(ingestion, connect=server.connect, lakehouse=server)  # pyright: ignore

    with dg.DagsterInstance.ephemeral() as instance:
        (first,) = plan_tick(ingestion, instance, sensor=True).requests
        away = SparkUnavailable("the server is away", "Start it.")
        for _ in range(8):
            add_failed_run(instance, first.tags, away)
        # A worker that dies tells nothing of it.
        add_failed_run(instance, first.tags)
        # No tick has seen the outage, for each of them asked for a run.
        (again,) = plan_tick(ingestion, instance, sensor=True).requests
        assert again.run_key != first.run_key
        # Whatever it meets, a tick comes for it soon, and none comes for it at once for ever.
        for seconds in (30, 60, 120):
            add_failed_run(instance, again.tags, away)
            tick = plan_tick(ingestion, instance, sensor=True)
            assert not tick.requests
            found = re.search(r"tried again in (\d+) s.*the server is away", tick.reason)
            assert found, tick.reason
            assert seconds - 10 < int(found[1]) <= seconds
            again = first


def test_a_tick_that_asks_for_runs_tells_why_other_files_wait(lake: Lake) -> None:
    by_day = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv", "start": "2026-01-01"}
    ingestion = lake.ingestion("both", partition=by_day)
    write_ids(lake.folder(), "2026-01-01.csv", 1)
    with dg.DagsterInstance.ephemeral() as instance:
        (first,) = plan_tick(ingestion, instance, sensor=True, look=False).requests
        add_failed_run(instance, first.tags, TableError("the table is odd"))
        write_ids(lake.folder(), "2026-03-01.csv", 2)
        tick = plan_tick(ingestion, instance, sensor=True, look=False)
    (other,) = tick.requests
    assert other.tags[RANGE_START] == "2026-03-01"
    assert "1 file is tried again in" in tick.reason
    assert "the table is odd" in tick.reason


def test_a_range_holds_only_partitions_whose_files_wait(lake: Lake) -> None:
    partition = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv", "start": "2026-01-01"}
    ingestion = lake.ingestion("ranges", partition=partition)
    for day in (1, 2, 4):
        write_ids(lake.folder(), f"2026-01-{day:02}.csv", day)
    discover(ingestion)
    assert [(plan.first, plan.last) for plan in plan_runs(ingestion)] == [
        ("2026-01-01", "2026-01-02"),
        ("2026-01-04", "2026-01-04"),
    ]

    # More of them than is worth a run each: one run without a range loads what waits.
    for day in range(6, 20, 2):
        write_ids(lake.folder(), f"2026-01-{day:02}.csv", day)
    discover(ingestion)
    (plan,) = plan_runs(ingestion)
    assert (plan.first, plan.last, plan.files, len(plan.keys)) == (None, None, 10, 10)
    assert not {RANGE_START, RANGE_END} & set(run_tags(ingestion, plan))


def test_named_partitions_are_those_of_the_files_in_the_order_that_dagster_has(lake: Lake) -> None:
    ingestion = lake.ingestion("named", partition={"by": "path", "pattern": "{region}.csv"})
    for region in ("a", "b"):
        write_ids(lake.folder(), f"{region}.csv", 1)
    write_ids(lake.folder(), "c.csv", 1)
    with dg.DagsterInstance.ephemeral() as instance:
        add = instance.add_dynamic_partitions

        def another_tick_is_faster(partitions_def_name: str, partition_keys: Sequence[str]) -> None:
            add(partitions_def_name, ["c"])
            add(partitions_def_name, partition_keys)

        instance.add_dynamic_partitions = another_tick_is_faster
        (plan,) = look_and_plan(ingestion, instance).plans
        name = ingestion.loaded.names.unique
        assert instance.get_dynamic_partitions(name) == ["c", "a", "b"]
        assert (plan.first, plan.keys, plan.last) == ("c", ("c", "a", "b"), "b")

        # A key of an earlier pattern, of which no file is recorded.
        add(name, ["region-a"])
        look_and_plan(ingestion, instance)
        assert instance.get_dynamic_partitions(name) == ["c", "a", "b"]


def test_many_named_partitions_are_added_and_removed_in_parts(lake: Lake) -> None:
    ingestion = lake.ingestion("keys", partition={"by": "path", "pattern": "{region}.csv"})
    for region in "abcde":
        write_ids(lake.folder(), f"{region}.csv", 1)
    discover(ingestion)
    with dg.DagsterInstance.ephemeral() as instance:
        add = instance.add_dynamic_partitions
        added: list[Sequence[str]] = []

        def noted(partitions_def_name: str, partition_keys: Sequence[str]) -> None:
            added.append(partition_keys)
            add(partitions_def_name, partition_keys)

        instance.add_dynamic_partitions = noted
        # SQLite takes a limited number of values in one statement.
        named = add_named_partitions(ingestion, instance, at_once=2)
        assert added == [["a", "b"], ["c", "d"], ["e"]]
        assert named is not None
        assert (named.keys, named.unused) == (tuple("abcde"), ())

        for region in "abcd":
            (lake.folder() / f"{region}.csv").unlink()
        discover(ingestion)
        # Dagster removes one at a time; a tick removes as many as it has time for.
        for left in ("bcde", "cde"):
            named = add_named_partitions(ingestion, instance)
            assert named is not None
            named.remove_unused(instance, seconds=0)
            assert "".join(instance.get_dynamic_partitions(named.definition)) == left
        (plan,) = look_and_plan(ingestion, instance).plans
        assert plan.keys == ("e",)
        assert instance.get_dynamic_partitions(named.definition) == ["e"]


def test_a_good_run_puts_right_partitions_that_a_failed_one_left(lake: Lake) -> None:
    partition = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv", "start": "2026-01-01"}
    ingestion = lake.ingestion("red", partition=partition)
    days = [f"2026-01-0{day}" for day in (1, 2, 3, 4)]
    definition = partitions_definition(ingestion.loaded)

    @dg.asset(name="red", partitions_def=definition)
    def fails() -> None:
        raise ValueError("down")

    with dg.DagsterInstance.ephemeral() as instance:
        for day in days[:3]:
            dg.materialize([fails], partition_key=day, instance=instance, raise_on_error=False)
        # The first is loaded, of the second a file waits, of the third there is none.
        write_ids(lake.folder(), f"{days[0]}.csv", 1)
        discover(ingestion)
        batch = ingestion.store.claims.claim(
            Claim(ingestion.id, "default", "t", None, 9, 10**9, 1, "w", "r", timedelta(minutes=5))
        )
        assert batch is not None
        ingestion.store.batch_files.record(
            batch.batch_id, 7, [LoadedFile(batch.files[0].id, 10)], 1.0
        )
        write_ids(lake.folder(), f"{days[1]}.csv", 2)
        discover(ingestion)

        settled = list(settled_partitions(instance, ingestion, fails.key, ()))
        assert [
            (event.partition, event.metadata["dagster/partition_row_count"].value)
            for event in settled
        ] == [(days[0], 10), (days[2], 0)]
        assert list(settled_partitions(instance, ingestion, fails.key, (days[0], days[2]))) == []


def _claim_one(ingestion: Ingestion, run_id: str) -> Batch:
    claim = Claim(
        ingestion.id, "default", ingestion.spec.table.name, None, 1, 10**9, 1, "w", run_id,
        timedelta(minutes=5),
    )  # fmt: skip
    batch = ingestion.store.claims.claim(claim)
    assert batch is not None
    return batch


def _load_one(ingestion: Ingestion, run_id: str) -> None:
    batch = _claim_one(ingestion, run_id)
    (file,) = batch.files
    ingestion.store.batch_files.record(batch.batch_id, file.id, [LoadedFile(file.id, 1)], 1.0)


@pytest.mark.parametrize(
    ("partition", "names"),
    [
        ({"by": "none"}, ("1.csv", "2.csv", "3.csv")),
        ({"by": "path", "pattern": "{shop}.csv"}, ("b.csv", "c.csv", "a.csv")),
        (
            {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv", "start": "2026-01-01"},
            ("2026-01-01.csv", "2026-01-02.csv", "2026-01-03.csv"),
        ),
    ],
)
def test_what_a_run_under_way_has_not_loaded_yet_is_asked_for_by_no_other(
    lake: Lake, partition: dict[str, str], names: tuple[str, ...]
) -> None:
    ingestion = lake.ingestion("batches", partition=partition, batch={"max_files": 1})
    with dg.DagsterInstance.ephemeral() as instance:
        for name in names:
            # One after another, as Dagster keeps named partitions in the order of their coming.
            write_ids(lake.folder(), name, 1)
            look_and_plan(ingestion, instance)
        (request,) = plan_tick(ingestion, instance, sensor=True).requests
        run = instance.add_run(
            dg.DagsterRun(
                job_name="orders",
                run_id=str(uuid.uuid4()),
                status=dg.DagsterRunStatus.STARTING,
                tags=request.tags,
            )
        )
        _load_one(ingestion, run.run_id)
        assert not plan_tick(ingestion, instance, sensor=True).requests
        instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "orders"), run.run_id
        )
        _load_one(ingestion, run.run_id)
        tick = plan_tick(ingestion, instance, sensor=True)
        assert not tick.requests
        assert f"1 file is in run {run.run_id[:8]} (started)" in tick.reason

        # It may have looked before that became pending again.
        batch = _claim_one(ingestion, run.run_id)
        ingestion.store.claims.release(batch.batch_id, None)
        (other,) = plan_tick(ingestion, instance, sensor=True).requests
        assert other.run_key != request.run_key
