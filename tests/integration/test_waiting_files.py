"""What waits is looked at again whenever the source, the spec or a clock is not what it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autoloader_dagster.errors import SourceUnavailable, SparkUnavailable
from autoloader_dagster.loading.batch import attempts
from autoloader_dagster.loading.batch.attempts import pause_after
from autoloader_dagster.loading.discover import discover as list_source
from autoloader_dagster.loading.plan import plan_runs
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state import Placement, ProcessedFiles, RemovedFile
from autoloader_dagster.state.records import FILE_GONE, NO_PARTITION, Claim
from tests.fixtures.lake import Lake, write_ids
from tests.integration.state_steps import (
    BASE_TIME,
    INGESTION,
    RETRIES,
    by_day,
    claim,
    claimed,
    discover,
    load,
    ref,
    statuses,
    versions,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def _vanish(state: ProcessedFiles) -> None:
    """Skip all that is pending as a load does that does not find it in the source."""
    batch = claimed(state)
    gone = [RemovedFile(file.id, "SKIPPED", FILE_GONE, "it was deleted") for file in batch.files]
    state.batch_files.remove(batch.batch_id, batch.owner, gone, RETRIES)
    state.claims.release(batch.batch_id, batch.owner)


def test_a_file_that_vanished_and_came_back_in_the_same_version_waits_again(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("loaded.csv", "v1"))
    load(state)
    discover(state, ref("a.csv"), ref("loaded.csv", "v2"), on_change="replace")
    _vanish(state)
    discover(state)
    assert statuses(state, "a.csv") == {"v1": "SKIPPED"}

    back = discover(state, ref("a.csv"), ref("loaded.csv", "v2"), on_change="replace")

    assert (back.new, back.changed) == (1, 1)
    assert statuses(state, "a.csv") == {"v1": "DISCOVERED"}
    assert statuses(state, "loaded.csv") == {"v1": "SUCCESS", "v2": "DISCOVERED"}
    row = versions(state, "a.csv")["v1"]
    assert (row.error_type, row.reason, row.batch_id) == (None, None, None)
    _vanish(state)
    discover(state, ref("loaded.csv", "v2"), on_change="ignore")
    assert statuses(state, "loaded.csv") == {"v1": "SUCCESS", "v2": "SKIPPED"}
    assert versions(state, "loaded.csv")["v2"].error_type is None, "the policy holds for it too"


def test_waiting_files_are_placed_again_when_the_spec_has_other_partitions(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("loaded.csv"))
    load(state)
    waiting = [ref("a.csv"), ref("gone.csv"), ref("loaded.csv", "v2")]
    discover(state, *waiting, on_change="append")

    def by_hour(file: FileRef) -> Placement:
        return Placement(f"{file.modified_at:%Y-%m-%d-%H:00}")

    hourly = "2026-11-01-00:00"
    state.discovery.discover(
        INGESTION,
        "acme",
        [[ref("a.csv"), ref("new.csv"), ref("loaded.csv", "v2"), ref("loaded.csv", "v3")]],
        by_hour,
        "append",
        lambda key: key == hourly,
        complete=True,
    )

    key = {name: list(versions(state, name).values())[-1].partition_key for name in ("a.csv",)}
    assert key == {"a.csv": hourly}
    assert [v.partition_key for v in versions(state, "loaded.csv").values()] == [
        "2026-11-01",
        "2026-11-01",
        hourly,
    ]
    assert statuses(state, "loaded.csv") == {
        "v1": "SUCCESS",
        "v2": "REPLACED",
        "v3": "DISCOVERED",
    }
    gone = versions(state, "gone.csv")["v1"]
    assert (gone.status, gone.error_type) == ("SKIPPED", FILE_GONE)
    assert {p.partition_key: p.files for p in state.files.pending(INGESTION, RETRIES)} == {
        hourly: 3
    }


def test_what_a_complete_listing_does_not_show_is_skipped_until_it_is_listed_again(
    state: ProcessedFiles,
) -> None:
    """The spec's filters or url were corrected while files of the old ones waited."""

    def place(file: FileRef) -> Placement:
        if file.relative_path == "placeless.csv":
            return Placement(None, "QUARANTINED", NO_PARTITION, "no partition")
        if file.relative_path == "held.csv":
            return Placement("2999-01-01", "HELD", "FuturePartition", "in the future")
        return by_day(file)

    discover(state, ref("bad.csv"), ref("failed.csv"), place=place)
    batch = claimed(state)
    bad, failed = sorted(batch.files, key=lambda file: file.path)
    outcomes = [
        RemovedFile(bad.id, "QUARANTINED", "BadFile", "by a test"),
        RemovedFile(failed.id, "FAILED", "Unreadable", "by a test"),
    ]
    state.batch_files.remove(batch.batch_id, batch.owner, outcomes, RETRIES)
    old = [ref(name) for name in ("failed.csv", "held.csv", "placeless.csv", "waits.csv")]
    discover(state, *old, ref("kept.csv"), place=place)
    other = discover(state, ref("waits.csv"), ingestion_id="acme/other")
    before = [(file.file_path, file.status) for file in state.files.find(INGESTION)]

    discover(state, ref("kept.csv"), place=place)
    assert [(file.file_path, file.status) for file in state.files.find(INGESTION)] == before, (
        "partial"
    )

    def breaks() -> Iterator[list[FileRef]]:
        yield [ref("kept.csv")]
        raise SourceUnavailable("by a test")

    with pytest.raises(SourceUnavailable):
        state.discovery.discover(INGESTION, "acme", breaks(), place, complete=True)
    assert [(file.file_path, file.status) for file in state.files.find(INGESTION)] == before, (
        "broken"
    )

    def overtaken() -> Iterator[list[FileRef]]:
        # Another listing begins and ends meanwhile; it sees a file that this one does not.
        discover(state, *old, ref("kept.csv"), ref("later.csv"), place=place)
        yield [ref("kept.csv")]

    state.discovery.discover(INGESTION, "acme", overtaken(), place, complete=True)

    for file in old:
        (row,) = versions(state, file.relative_path).values()
        assert (row.status, row.error_type) == ("SKIPPED", FILE_GONE), file.relative_path
    assert statuses(state, "bad.csv") == {"v1": "QUARANTINED"}, "a person decides"
    assert statuses(state, "kept.csv") == statuses(state, "later.csv") == {"v1": "DISCOVERED"}
    assert other.new == sum(p.files for p in state.files.pending("acme/other", RETRIES)) == 1

    again = discover(state, *old, ref("kept.csv"), ref("later.csv"), complete=True)
    assert again.new == 4
    (held,) = versions(state, "held.csv").values()
    assert (held.status, held.partition_key) == ("DISCOVERED", "2026-11-01"), "placed as new"
    assert sum(p.files for p in state.files.pending(INGESTION, RETRIES)) == 6


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_worker_whose_clock_is_wrong_gets_no_file_twice_that_failed_with_it(
    state: ProcessedFiles, hours: int
) -> None:
    discover(state, ref("a.csv"))
    moment = datetime.now(timezone.utc) + timedelta(hours=hours)
    batch = claim(state, "mine", now=moment)
    assert batch is not None
    failed = [RemovedFile(file.id, "FAILED", "Unreadable", "by a test") for file in batch.files]
    state.batch_files.remove(batch.batch_id, "mine", failed, RETRIES)

    assert claim(state, "mine", now=moment) is None
    assert claim(state, "another", now=moment) is not None


def test_files_of_the_first_and_the_last_year_are_recorded_and_read(
    state: ProcessedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [
        FileRef(f"s3://landing/{i}.csv", f"{i}.csv", 1, moment, str(i))
        for i, moment in enumerate(
            (
                datetime.min.replace(tzinfo=timezone.utc),
                datetime.max.replace(tzinfo=timezone.utc),
                datetime.max.replace(tzinfo=timezone(timedelta(hours=-9))),
                BASE_TIME,
            )
        )
    ]
    place = Placement("2026-11-01")
    for zone in ("America/Anchorage", "Asia/Tokyo"):
        # The zone in which PostgreSQL gives times out.
        monkeypatch.setenv("PGTZ", zone)
        state.close()
        discover(state, *refs, place=lambda _: place)
        years = [file.file_modified_at.year for file in state.files.find(INGESTION)]
        assert years == [1, 9999, 9999, 2026]
    batch = claimed(state)
    assert sorted(file.modified_at.year for file in batch.files) == [1, 2026, 9999, 9999]


def test_a_plan_survives_files_whose_partition_the_spec_does_not_have(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "2026-01-05.csv", 1)
    write_ids(folder, "2026-02-10.csv", 2)

    def ingestion(every: str, start: str):
        pattern = "{yyyy}-{MM}-{dd}.csv"
        partition = {"by": "path", "pattern": pattern, "every": every, "start": start}
        return lake.ingestion("moved", partition=partition)

    daily = ingestion("day", "2026-01-01")
    list_source(daily)
    assert [key for plan in plan_runs(daily) for key in plan.keys] == ["2026-01-05", "2026-02-10"]
    later = ingestion("day", "2026-02-01")
    assert [key for plan in plan_runs(later) for key in plan.keys] == ["2026-02-10"]
    list_source(later)
    assert lake.statuses(later) == {"2026-01-05.csv": "HELD", "2026-02-10.csv": "DISCOVERED"}

    monthly = ingestion("month", "2026-01-01")
    assert plan_runs(monthly) == []
    list_source(monthly)
    assert [key for plan in plan_runs(monthly) for key in plan.keys] == ["2026-01-01", "2026-02-01"]

    none = lake.ingestion("moved", partition={"by": "none"})
    list_source(none)
    (plan,) = plan_runs(none)
    assert (plan.files, plan.first) == (2, None)
    (folder / "2026-01-05.csv").unlink()
    list_source(daily)
    assert lake.statuses(daily)[Path("2026-01-05.csv").name] == "SKIPPED"
    assert [key for plan in plan_runs(daily) for key in plan.keys] == ["2026-02-10"]

    # The person leaves the file out, and then gives the spec another folder.
    source = {"type": "local", "url": str(folder)}
    narrower = lake.ingestion("moved", source={**source, "exclude": ["2026-02-*"]})
    list_source(narrower)
    assert plan_runs(narrower) == []
    list_source(lake.ingestion("moved", source=source))
    assert sum(plan.files for plan in plan_runs(narrower)) == 1
    elsewhere = lake.ingestion("moved", source={**source, "url": str(lake.folder("elsewhere"))})
    write_ids(lake.folder("elsewhere"), "new.csv", 3)
    list_source(elsewhere)
    assert sum(plan.files for plan in plan_runs(elsewhere)) == 1
    assert lake.statuses(elsewhere)["new.csv"] == "DISCOVERED"


def test_a_run_that_cannot_settle_what_a_dead_one_left_fails_and_leaves_it(lake: Lake) -> None:
    ingestion = lake.ingestion("left")
    write_ids(lake.folder(), "a.csv", 1)
    list_source(ingestion)
    name, lease = ingestion.spec.table.name, timedelta(minutes=5)
    claimed_by = Claim(ingestion.id, "default", name, None, 9, 10**9, 1, "w", "r", lease)
    assert ingestion.store.claims.claim(claimed_by) is not None

    @contextmanager
    def away() -> "Iterator[SparkSession]":
        raise SparkUnavailable("the server is away", "Start it.")
        yield

    with pytest.raises(SparkUnavailable, match="the server is away"):
        lake.load(replace(ingestion, connect=away), ended_runs={"r"})
    assert lake.statuses(ingestion) == {"a.csv": "PROCESSING"}


def test_attempts_that_meet_other_writers_pause_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "LONGEST_PAUSE_SECONDS", 5.0)
    pauses = [pause_after(conflicts) for conflicts in range(12)]
    assert pauses[:2] == [0.0, 0.0]
    assert all(0.2 <= pause <= 5.0 for pause in pauses[2:])
    assert sum(pauses) < 40
