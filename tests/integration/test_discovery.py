"""What a listing does to the recorded file versions, on both databases."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from autoloader_dagster.errors import SourceError, SourceUnavailable
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state import (
    FILE_CHANGED,
    NO_PARTITION,
    Discovery,
    Placement,
    ProcessedFiles,
    RemovedFile,
)
from autoloader_dagster.state import discovery as discovery_module
from tests.integration.state_steps import (
    BASE_TIME,
    INGESTION,
    RETRIES,
    by_day,
    claimed,
    discover,
    load,
    ref,
    statuses,
    versions,
)


def hold(file: FileRef) -> Placement:
    return Placement("2999-01-01", "HELD", "FuturePartition", "it is dated in the future")


def no_partition(file: FileRef) -> Placement:
    return Placement(None, "QUARANTINED", NO_PARTITION, "its name does not fit the pattern")


def must_not_place(file: FileRef) -> Placement:
    raise AssertionError(f"{file.path} was placed again")


def set_aside(state: ProcessedFiles, status: str, error_type: str = "BadFile") -> None:
    """Claim the one pending file and set it aside."""
    batch = claimed(state)
    outcome = RemovedFile(batch.files[0].id, status, error_type, "why")  # pyright: ignore
    state.batch_files.remove(batch.batch_id, "worker", [outcome], RETRIES)
    state.claims.release(batch.batch_id, "worker")


def test_new_files_are_recorded_with_their_partition(state: ProcessedFiles) -> None:
    found = discover(state, ref("a.csv", size=3), ref("b.csv", size=4, minutes=24 * 60))

    assert found == Discovery(listed=2, bytes_listed=7, new=2, bytes_new=7)
    row = versions(state, "b.csv")["v1"]
    assert (row.status, row.partition_key, row.tenant) == ("DISCOVERED", "2026-11-02", "acme")
    assert (row.file_size_bytes, row.file_etag, row.retry_count) == (4, "v1", 0)
    assert row.file_modified_at == BASE_TIME + timedelta(days=1)
    assert row.discovered_at == row.created_at == row.updated_at


def test_times_keep_their_microseconds_and_come_back_in_utc(state: ProcessedFiles) -> None:
    zone = BASE_TIME.astimezone().tzinfo
    moment = (BASE_TIME + timedelta(microseconds=123456)).astimezone(zone)
    discover(state, FileRef("/data/a.csv", "a.csv", 1, moment, "v1"))

    [row] = state.files.find(INGESTION)
    assert row.file_modified_at == moment
    assert row.file_modified_at.utcoffset() == timedelta(0)


def test_a_second_listing_finds_nothing_to_do(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))

    again = discover(state, ref("a.csv"), ref("b.csv"), place=must_not_place)

    assert again == Discovery(listed=2, bytes_listed=200, unchanged=2)


def test_an_empty_listing_is_fine(state: ProcessedFiles) -> None:
    assert discover(state) == Discovery()
    assert state.discovery.discover(INGESTION, "acme", [], by_day) == Discovery()


def test_ingestions_do_not_see_each_other(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))

    assert discover(state, ref("a.csv"), ingestion_id="acme/other").new == 1
    assert len(list(state.files.find("acme/other"))) == 1


def test_of_two_entries_of_a_path_the_last_wins(state: ProcessedFiles) -> None:
    pages = [[ref("a.csv", "v1"), ref("b.csv")], [ref("a.csv", "v2"), ref("a.csv", "v3", size=5)]]

    found = state.discovery.discover(INGESTION, "acme", pages, by_day)

    assert (found.listed, found.new, found.bytes_listed) == (2, 2, 105)
    assert statuses(state, "a.csv") == {"v3": "DISCOVERED"}


@pytest.mark.parametrize(
    "name",
    ["tab\there.csv", "line\nbreak.csv", r"back\slash\N.csv", "ünï côdé 🙂.csv", "'q\"%_.csv"],
)
def test_odd_names_are_kept_as_they_are(state: ProcessedFiles, name: str) -> None:
    discover(state, ref(name))

    assert [row.file_path for row in state.files.find(INGESTION)] == [ref(name).path]
    assert discover(state, ref(name)).unchanged == 1


def test_a_name_that_is_not_text_is_an_error_that_names_the_file(state: ProcessedFiles) -> None:
    with pytest.raises(SourceError, match=r"bad-\\udcff.csv.*not Unicode") as caught:
        discover(state, ref("good.csv"), ref("bad-\udcff.csv"))

    assert "exclude" in caught.value.hint
    assert list(state.files.find(INGESTION)) == []


def test_a_listing_that_fails_midway_records_nothing(state: ProcessedFiles) -> None:
    def pages() -> Iterator[list[FileRef]]:
        yield [ref("a.csv"), ref("b.csv")]
        raise SourceUnavailable("s3://landing does not answer")

    with pytest.raises(SourceUnavailable, match="does not answer"):
        state.discovery.discover(INGESTION, "acme", pages(), by_day)

    assert list(state.files.find(INGESTION)) == []
    assert discover(state, ref("a.csv"), ref("b.csv")).new == 2


def test_others_can_write_while_the_source_is_listed(state: ProcessedFiles, state_url: str) -> None:
    other = ProcessedFiles(state_url)
    discover(state, ref("old.csv"))

    def pages() -> Iterator[list[FileRef]]:
        yield [ref("a.csv")]
        # With a lock held by the listing this would wait for a minute and fail.
        load(other)
        yield [ref("b.csv")]

    assert state.discovery.discover(INGESTION, "acme", pages(), by_day).new == 2
    assert statuses(other, "old.csv") == {"v1": "SUCCESS"}
    other.close()


def test_a_faster_listing_that_began_later_is_believed(
    state: ProcessedFiles, state_url: str
) -> None:
    other = ProcessedFiles(state_url)

    def pages() -> Iterator[list[FileRef]]:
        yield [ref("a.csv", "v1")]
        discover(other, ref("a.csv", "v2"))

    assert state.discovery.discover(INGESTION, "acme", pages(), by_day).in_flight == 1
    assert statuses(state, "a.csv") == {"v2": "DISCOVERED"}
    other.close()


def test_a_clock_that_was_ahead_keeps_no_version_back(
    state: ProcessedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = discovery_module.now
    with monkeypatch.context() as ahead:
        ahead.setattr(discovery_module, "now", lambda db: real(db) + timedelta(days=1))
        discover(state, ref("a.csv", "v1"))
    load(state)

    assert discover(state, ref("a.csv", "v2"), on_change="replace").changed == 1


@pytest.mark.parametrize("status", ["DISCOVERED", "FAILED", "QUARANTINED", "SKIPPED"])
def test_a_new_version_of_a_file_that_was_never_loaded_takes_its_place(
    state: ProcessedFiles, status: str
) -> None:
    discover(state, ref("a.csv", "v1"))
    if status != "DISCOVERED":
        set_aside(state, status)

    found = discover(state, ref("a.csv", "v2", minutes=3 * 24 * 60), place=must_not_place)

    assert (found.new, found.changed) == (1, 0)
    rows = versions(state, "a.csv")
    assert rows["v2"].status == "DISCOVERED"
    assert rows["v2"].partition_key == "2026-11-01", "a file keeps its first version's partition"
    assert rows["v1"].status == "REPLACED"
    assert "newer version" in (rows["v1"].reason or "")


@pytest.mark.parametrize("place", [hold, no_partition])
def test_a_version_that_had_no_place_binds_no_partition(state: ProcessedFiles, place) -> None:
    discover(state, ref("a.csv", "v1"), place=place)

    assert discover(state, ref("a.csv", "v2")).new == 1
    assert discover(state, ref("a.csv", "v3"), place=must_not_place).new == 1
    rows = versions(state, "a.csv")
    assert [rows[each].status for each in ("v1", "v2", "v3")] == [
        "REPLACED",
        "REPLACED",
        "DISCOVERED",
    ]
    assert rows["v3"].partition_key == "2026-11-01"
    assert rows["v1"].partition_key is None


def test_a_version_is_left_alone_while_another_is_being_loaded(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv", "v1"))
    batch = claimed(state)

    assert discover(state, ref("a.csv", "v2")).in_flight == 1
    assert statuses(state, "a.csv") == {"v1": "PROCESSING"}

    state.claims.release(batch.batch_id, "worker")
    assert discover(state, ref("a.csv", "v2")).new == 1


def test_a_changed_file_is_skipped_with_ignore(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv", "v1"))
    load(state)

    assert discover(state, ref("a.csv", "v2"), on_change="ignore").skipped == 1
    row = versions(state, "a.csv")["v2"]
    assert row.status == "SKIPPED"
    assert "source.on_change is 'ignore'" in (row.reason or "")
    assert discover(state, ref("a.csv", "v2"), on_change="append").unchanged == 1


@pytest.mark.parametrize("on_change", ["append", "replace"])
def test_a_changed_file_is_loaded_again_in_its_first_partition(
    state: ProcessedFiles, on_change
) -> None:
    discover(state, ref("a.csv", "v1"))
    load(state)

    later = ref("a.csv", "v2", size=7, minutes=2 * 24 * 60)
    found = discover(state, later, on_change=on_change)

    assert found == Discovery(listed=1, bytes_listed=7, changed=1, bytes_new=7)
    rows = versions(state, "a.csv")
    assert (rows["v1"].status, rows["v2"].status) == ("SUCCESS", "DISCOVERED")
    assert rows["v2"].partition_key == "2026-11-01"


def test_a_changed_file_is_set_aside_with_fail(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv", "v1"))
    load(state)

    assert discover(state, ref("a.csv", "v2"), on_change="fail").quarantined == 1
    row = versions(state, "a.csv")["v2"]
    assert (row.status, row.error_type) == ("QUARANTINED", FILE_CHANGED)
    assert "source.on_change is 'fail'" in (row.reason or "")


def test_a_change_that_was_never_loaded_gives_way_to_the_next(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv", "v1"))
    load(state)
    discover(state, ref("a.csv", "v2"), on_change="replace")

    assert discover(state, ref("a.csv", "v3"), on_change="replace").changed == 1
    assert statuses(state, "a.csv") == {"v1": "SUCCESS", "v2": "REPLACED", "v3": "DISCOVERED"}


def test_a_change_that_was_taken_back_is_not_loaded(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv", "v1"))
    load(state)
    discover(state, ref("a.csv", "v2"), on_change="append")

    assert discover(state, ref("a.csv", "v1"), on_change="append").unchanged == 1
    assert statuses(state, "a.csv") == {"v1": "SUCCESS", "v2": "REPLACED"}


def test_a_file_that_came_back_to_older_content_is_loaded_from_its_old_row(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("a.csv", "v1"))
    load(state, 7)
    first = versions(state, "a.csv")["v1"]
    discover(state, ref("a.csv", "v2"), on_change="replace")
    load(state, 8, replace=True)

    assert discover(state, ref("a.csv", "v1", size=9), on_change="replace").changed == 1
    row = versions(state, "a.csv")["v1"]
    assert (row.id, row.status, row.file_size_bytes) == (first.id, "DISCOVERED", 9)
    assert (row.batch_id, row.run_id, row.snapshot_id, row.rows) == (None,) * 4
    assert (row.reason, row.processed_at, row.retry_count) == (None, None, 0)
    assert row.created_at == first.created_at
    load(state, 9, replace=True)
    assert statuses(state, "a.csv") == {"v1": "SUCCESS", "v2": "REPLACED"}


def test_held_files_are_placed_again_at_each_listing(state: ProcessedFiles) -> None:
    assert discover(state, ref("a.csv"), place=hold).held == 1
    before = versions(state, "a.csv")["v1"]
    assert (before.status, before.reason) == ("HELD", "it is dated in the future")

    assert discover(state, ref("a.csv"), place=hold).held == 1
    assert versions(state, "a.csv")["v1"] == before, "the same answer writes nothing"

    assert discover(state, ref("a.csv")).new == 1
    after = versions(state, "a.csv")["v1"]
    assert (after.status, after.partition_key) == ("DISCOVERED", "2026-11-01")
    assert (after.error_type, after.reason) == (None, None)
    assert (after.id, after.discovered_at) == (before.id, before.discovered_at)


def test_files_without_a_partition_are_placed_again_but_bad_files_are_not(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("bad.csv"))
    set_aside(state, "QUARANTINED", "BadMagic")
    assert discover(state, ref("a.csv"), place=no_partition).quarantined == 1

    found = discover(state, ref("a.csv"), ref("bad.csv"))

    assert (found.new, found.unchanged) == (1, 1)
    assert statuses(state, "a.csv") == {"v1": "DISCOVERED"}
    assert statuses(state, "bad.csv") == {"v1": "QUARANTINED"}


def test_more_files_than_a_chunk(state: ProcessedFiles) -> None:
    refs = [ref(f"{number:06d}.csv", size=1) for number in range(12_001)]

    found = discover(state, *refs)

    assert found == Discovery(listed=12_001, bytes_listed=12_001, new=12_001, bytes_new=12_001)
    assert discover(state, *refs).unchanged == 12_001


MEMORY_PROGRAM = """
    import resource, sys
    from tests.integration.state_steps import INGESTION, by_day, ref
    from autoloader_dagster.state import ProcessedFiles

    def pages(files):
        for start in range(0, files, 1000):
            yield [ref(f"part-{n:09d}.csv", f"{n:032x}") for n in range(start, start + 1000)]

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    state = ProcessedFiles(sys.argv[1])
    state.discovery.discover(INGESTION, "acme", pages(2_000), by_day)
    before = peak()
    assert state.discovery.discover(INGESTION, "acme", pages(100_000), by_day).new == 98_000
    assert state.discovery.discover(INGESTION, "acme", pages(100_000), by_day).unchanged == 100_000
    print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_memory_does_not_grow_with_the_listing(state: ProcessedFiles, state_url: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEMORY_PROGRAM), state_url],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert float(finished.stdout) < 50, "MB more than for 2,000 files"
