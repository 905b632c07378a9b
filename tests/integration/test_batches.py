"""Claims, leases and what becomes of a batch's files, on both databases."""

import multiprocessing
import re
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest

from autoloader_dagster.errors import LeaseLost, StateError
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state import (
    LoadedFile,
    PartitionKeys,
    PartitionRange,
    Placement,
    ProcessedFiles,
    RemovedFile,
    TableState,
)
from autoloader_dagster.state.records import Batch, KnownBatch
from tests.integration.state_steps import (
    BASE_TIME,
    INGESTION,
    LEASE,
    RETRIES,
    TABLE,
    claim,
    claimed,
    discover,
    load,
    names,
    ref,
    statuses,
    versions,
)

DAY = 24 * 60


def test_a_claim_takes_files_by_partition_and_age(state: ProcessedFiles) -> None:
    discover(state, ref("c.csv", minutes=2), ref("b.csv", minutes=1), ref("a.csv", minutes=2 * DAY))
    discover(state, ref("none.csv", minutes=9 * DAY), place=lambda _: Placement(None))

    batch = claimed(state)

    assert names(file.path for file in batch.files) == ["none.csv", "b.csv", "c.csv", "a.csv"]
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", batch.batch_id)
    assert (batch.status, batch.attempt, batch.owner, batch.run_id) == (
        "CLAIMED",
        0,
        "worker",
        "run-1",
    )
    first = batch.files[1]
    assert (first.version, first.etag, first.size) == ("v1", "v1", 100)
    assert (first.modified_at, first.partition_key) == (
        BASE_TIME + timedelta(minutes=1),
        "2026-11-01",
    )
    row = versions(state, "b.csv")["v1"]
    assert (row.status, row.batch_id, row.run_id) == ("PROCESSING", batch.batch_id, "run-1")
    assert row.processing_started_at is not None
    assert state.batches.get(batch.batch_id) == batch
    assert claim(state) is None


def test_a_claim_is_bounded_by_files_and_by_bytes_but_takes_one(state: ProcessedFiles) -> None:
    discover(state, *(ref(f"{n}.csv", size=100, minutes=n) for n in range(6)))

    taken = [
        claim(state, max_files=2),
        claim(state, max_bytes=299),
        claim(state, max_bytes=1),
        claim(state),
    ]

    assert [names(f.path for f in batch.files) if batch else None for batch in taken] == [
        ["0.csv", "1.csv"],
        ["2.csv", "3.csv"],
        ["4.csv"],
        ["5.csv"],
    ]


def test_a_claim_takes_only_the_partitions_asked_for(state: ProcessedFiles) -> None:
    def place(file: FileRef) -> Placement:
        return Placement(None if file.relative_path == "none" else file.relative_path)

    discover(state, *(ref(name) for name in ("none", "a", "B", "b", "c", "d-é")), place=place)

    def take(partitions: PartitionRange | PartitionKeys) -> list[str]:
        batch = claim(state, partitions=partitions)
        return names(file.path for file in batch.files) if batch else []

    assert take(PartitionRange("b", "c")) == ["b", "c"]
    assert take(PartitionKeys(("d-é", "x"))) == ["d-é"]
    assert take(PartitionKeys(())) == []
    assert take(PartitionKeys(("a", None))) == ["none", "a"]
    assert take(PartitionRange("A", "Z")) == ["B"]


def take_until_empty(url: str, owner: str, files: Any, all_are_up: Any) -> None:
    state = ProcessedFiles(url)
    try:
        all_are_up.wait(timeout=120)
        while batch := claim(state, owner, max_files=7):
            state.claims.begin_attempt(batch.batch_id, owner, None, "uuid")
            state.claims.renew(batch.batch_id, owner, LEASE)
            files.put([file.id for file in batch.files])
            loaded = [LoadedFile(file.id, 1) for file in batch.files]
            state.batch_files.record(batch.batch_id, 1, loaded, 0.1)
        files.put(None)
    except Exception as error:
        files.put(repr(error))


def test_eight_workers_get_each_file_once(state: ProcessedFiles, state_url: str) -> None:
    discover(state, *(ref(f"{n:04d}.csv") for n in range(1_000)))
    # Not fork: the child would share this process's connections. The one that forks only imports.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    results, all_are_up = context.Queue(), context.Barrier(8)
    workers = [
        context.Process(
            target=take_until_empty, args=(state_url, f"worker-{n}", results, all_are_up)
        )
        for n in range(8)
    ]
    for worker in workers:
        worker.start()

    taken: list[int] = []
    ended = 0
    while ended < len(workers):
        result = results.get(timeout=120)
        assert not isinstance(result, str), result
        taken += result or []
        ended += result is None
    for worker in workers:
        worker.join(timeout=30)
        worker.close()
    results.close()
    results.join_thread()

    assert len(taken) == len(set(taken)) == 1_000
    assert state.totals.counts(INGESTION)[INGESTION] == {"SUCCESS": (1_000, 100_000, 1_000)}
    assert state.batches.open_run_ids() == set()


def test_attempts_are_counted_and_written_down(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    batch_id = claimed(state).batch_id

    assert state.claims.begin_attempt(batch_id, "worker", None, None) == 1
    state.claims.mark_written(batch_id, "worker", 2**62, 10)
    [row] = state.batches.latest(INGESTION)
    assert (row.status, row.snapshot_id, row.rows) == ("WRITTEN", 2**62, 10)

    assert state.claims.begin_attempt(batch_id, "worker", 2**61, "uuid") == 2
    batch = state.batches.get(batch_id)
    assert batch is not None
    assert (batch.status, batch.attempt, batch.base_snapshot_id) == ("CLAIMED", 2, 2**61)
    assert (batch.table_id, batch.snapshot_id) == ("uuid", None)


def test_a_worker_that_lost_its_lease_is_told(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    batch = claimed(state)
    batch_id = batch.batch_id
    assert state.claims.renew(batch_id, "worker", timedelta(hours=1))
    assert not state.claims.renew(batch_id, "somebody else", LEASE)

    assert state.claims.release(batch_id, None, "its lease ran out")

    assert not state.claims.renew(batch_id, "worker", LEASE)
    assert not state.claims.release(batch_id, "worker")
    with pytest.raises(LeaseLost, match="it is RELEASED"):
        state.claims.begin_attempt(batch_id, "worker", None, "uuid")
    with pytest.raises(LeaseLost, match=batch_id):
        state.claims.mark_written(batch_id, "worker", 1, 1)
    outcome = RemovedFile(batch.files[0].id, "QUARANTINED", "BadFile", "why")
    with pytest.raises(LeaseLost, match="not held by worker"):
        state.batch_files.remove(batch_id, "worker", [outcome], RETRIES)
    with pytest.raises(LeaseLost, match="is not known"):
        state.claims.begin_attempt("20260101T000000Z-000000", "worker", None, "uuid")
    assert statuses(state, "a.csv") == {"v1": "DISCOVERED"}


def test_released_files_are_pending_again_and_the_batch_remembers_them(
    state: ProcessedFiles,
) -> None:
    discover(state, *(ref(f"{n}.csv") for n in range(4)))
    batch = claimed(state)
    bad = RemovedFile(batch.files[1].id, "QUARANTINED", "BadFile", "why")
    state.batch_files.remove(batch.batch_id, "worker", [bad], RETRIES)

    assert state.claims.release(batch.batch_id, "worker", "Spark is down")

    row = versions(state, "0.csv")["v1"]
    assert (row.status, row.batch_id, row.run_id, row.retry_count) == ("DISCOVERED", None, None, 0)
    assert statuses(state, "1.csv") == {"v1": "QUARANTINED"}
    [stored] = state.batches.latest(INGESTION)
    assert (stored.status, stored.error) == ("RELEASED", "Spark is down")
    assert len(claimed(state, "next").files) == 3
    released = state.batches.get(batch.batch_id)
    assert released is not None
    assert [file.id for file in released.files] == [
        file.id for file in batch.files if file.id != bad.file_id
    ]


def test_files_that_are_set_aside_leave_the_batch(state: ProcessedFiles) -> None:
    discover(state, *(ref(f"{n}.csv") for n in range(5)))
    batch = claimed(state)
    ids = [file.id for file in batch.files]

    state.batch_files.remove(
        batch.batch_id,
        "worker",
        [
            RemovedFile(ids[0], "FAILED", "ReadError", "cut short"),
            RemovedFile(ids[1], "QUARANTINED", "BadMagic", "not gzip"),
            RemovedFile(ids[2], "DISCOVERED", None, None, count_retry=False),
            RemovedFile(ids[3], "SKIPPED", None, "empty"),
        ],
        RETRIES,
    )

    failed, bad, again, skipped = (versions(state, f"{n}.csv")["v1"] for n in range(4))
    assert (failed.status, failed.retry_count, failed.error_type, failed.reason) == (
        "FAILED",
        1,
        "ReadError",
        "cut short",
    )
    assert (failed.batch_id, failed.run_id) == (batch.batch_id, "run-1")
    assert (bad.status, bad.retry_count, bad.batch_id) == ("QUARANTINED", 0, batch.batch_id)
    assert (again.status, again.retry_count, again.batch_id) == ("DISCOVERED", 0, None)
    assert (skipped.status, skipped.reason) == ("SKIPPED", "empty")
    rest = state.batches.get(batch.batch_id)
    assert rest is not None
    assert [file.id for file in rest.files] == ids[4:]


def test_a_file_is_quarantined_once_its_tries_are_used_up(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    for number in range(RETRIES + 1):
        # A worker does not get a file again that failed with it.
        first, second = f"worker-{number}a", f"worker-{number}b"
        batch = claimed(state, first)
        others_fault = RemovedFile(batch.files[0].id, "FAILED", "Spark", "down", count_retry=False)
        state.batch_files.remove(batch.batch_id, first, [others_fault], RETRIES)
        state.claims.release(batch.batch_id, first)
        assert claim(state, first) is None
        batch = claimed(state, second)
        failure = RemovedFile(batch.files[0].id, "FAILED", "ReadError", "cut short")
        state.batch_files.remove(batch.batch_id, second, [failure], RETRIES)
        assert state.claims.release(batch.batch_id, second), "a batch without files can be released"

    row = versions(state, "a.csv")["v1"]
    assert (row.status, row.error_type) == ("QUARANTINED", "ReadError")
    assert row.reason == "cut short (tried 2 times)"
    assert claim(state) is None
    assert state.files.pending(INGESTION, RETRIES) == []


def test_a_recorded_batch_is_in_the_table(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv", size=3), ref("b.csv", size=4))
    batch = claimed(state)
    state.claims.begin_attempt(batch.batch_id, "worker", None, "uuid")
    first, second = (file.id for file in batch.files)

    state.batch_files.record(
        batch.batch_id, 2**62, [LoadedFile(first, 10, 1), LoadedFile(second, 0)], 1.5
    )

    row = versions(state, "a.csv")["v1"]
    assert (row.status, row.batch_id, row.snapshot_id) == ("SUCCESS", batch.batch_id, 2**62)
    assert (row.rows, row.bad_rows, row.bytes_read) == (10, 1, 3)
    assert row.processing_duration_ms == 1500
    assert row.processed_at is not None
    [stored] = state.batches.latest(INGESTION)
    assert (stored.status, stored.files, stored.rows, stored.bytes) == ("RECORDED", 2, 10, 7)
    assert stored.finished_at is not None
    assert state.tables.get(TABLE, INGESTION) == TableState("uuid", 2**62, None, 1)
    recorded = state.batches.get(batch.batch_id)
    assert recorded is not None
    assert recorded.files == batch.files


def test_recording_again_does_nothing(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    batch = load(state, 7)
    before = versions(state, "a.csv"), state.batches.latest(INGESTION)

    state.batch_files.record(batch.batch_id, 7, [LoadedFile(batch.files[0].id, 99)], 9)
    assert (versions(state, "a.csv"), state.batches.latest(INGESTION)) == before

    with pytest.raises(StateError, match=r"recorded with snapshot 7, and now snapshot 8"):
        state.batch_files.record(batch.batch_id, 8, [LoadedFile(batch.files[0].id, 10)], 1)


def test_a_record_must_account_for_every_file(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    batch = claimed(state)
    first, second = (LoadedFile(file.id, 1) for file in batch.files)

    with pytest.raises(StateError, match="leaves 1 of them out"):
        state.batch_files.record(batch.batch_id, 7, [first], 1)
    with pytest.raises(StateError, match="1 file that the state does not know"):
        state.batch_files.record(batch.batch_id, 7, [first, second, LoadedFile(10**9, 1)], 1)
    assert statuses(state, "a.csv") == {"v1": "PROCESSING"}


def test_a_batch_that_was_thought_dead_takes_its_files_back(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    zombie = claimed(state, "zombie")
    state.claims.release(zombie.batch_id, None, "its lease ran out")
    discover(state, ref("c.csv"))
    successor = claimed(state, "successor")
    assert len(successor.files) == 3

    lost = state.batches.get(zombie.batch_id)
    assert lost is not None
    state.batch_files.record(zombie.batch_id, 7, [LoadedFile(file.id, 1) for file in lost.files], 1)

    assert _recorded_after(state, 0) == [zombie.batch_id]
    rest = state.batches.get(successor.batch_id)
    assert rest is not None
    assert names(file.path for file in rest.files) == ["c.csv"]
    assert state.batches.known([zombie.batch_id, successor.batch_id, "no such"]) == {
        zombie.batch_id: KnownBatch(INGESTION, "RECORDED", 7),
        successor.batch_id: KnownBatch(INGESTION, "CLAIMED", None),
    }
    # What the successor says of a file that is not its own any more does not count.
    late = RemovedFile(lost.files[0].id, "QUARANTINED", "BadFile", "why")
    state.batch_files.remove(successor.batch_id, "successor", [late], RETRIES)
    assert statuses(state, "a.csv") == {"v1": "SUCCESS"}


def test_batches_are_numbered_in_the_order_in_which_they_are_recorded(
    state: ProcessedFiles,
) -> None:
    batches: list[Batch] = []
    for name in ("a.csv", "b.csv", "c.csv"):
        discover(state, ref(name))
        batches.append(claimed(state))
    for batch in batches[::-1]:
        state.batch_files.record(batch.batch_id, 7, [LoadedFile(batch.files[0].id, 1)], 1)
    ids = [batch.batch_id for batch in batches]
    assert _recorded_after(state, 0) == ids[::-1]
    assert _recorded_after(state, 2) == ids[:1]
    assert _recorded_after(state, 2, {ids[1]}) == [ids[1], ids[0]]

    # A batch that was rolled back is left out until it is recorded again.
    state.rollbacks.requeue_batches([ids[2]], "rolled back")
    assert _recorded_after(state, 0) == [ids[1], ids[0]]
    state.batch_files.record(ids[2], 8, [LoadedFile(batches[2].files[0].id, 1)], 1)
    assert _recorded_after(state, 3) == [ids[2]]
    assert state.batches.of_files(INGESTION, [each.files[0].id for each in batches]) == [
        ids[1],
        ids[0],
        ids[2],
    ]


def test_batches_of_an_old_name_are_numbered_after_those_of_the_new_one(
    state: ProcessedFiles,
) -> None:
    for name in ("a.csv", "b.csv"):
        discover(state, ref(name))
        load(state)
    state.tables.hand_over(INGESTION, "acme/after", "acme", really=True)
    discover(state, ref("c.csv"))
    last = load(state)
    state.tables.hand_over(INGESTION, "acme/after", "acme", really=True)
    rows = state.batches.recorded_after("acme/after", 2, (), 10)
    assert [(row.id, row.record_number) for row in rows] == [(last.batch_id, 3)]


def _recorded_after(state: ProcessedFiles, number: int, also: Collection[str] = ()) -> list[str]:
    return [row.id for row in state.batches.recorded_after(INGESTION, number, also, 10)]


def test_a_batch_that_the_state_lost_can_be_recorded(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    [row] = state.files.find(INGESTION)
    batch_id, files = "20260101T000000Z-abcdef", [LoadedFile(row.id, 5)]

    with pytest.raises(StateError, match="the state does not know it"):
        state.batch_files.record(batch_id, 7, files, 0)
    state.batch_files.record(
        batch_id, 7, files, 0, ingestion_id=INGESTION, tenant="acme", table=TABLE
    )

    assert statuses(state, "a.csv") == {"v1": "SUCCESS"}
    assert state.batches.known([batch_id])[batch_id].status == "RECORDED"


def test_a_replaced_version_is_marked_when_its_successor_is_in_the_table(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("a.csv", "v1"), ref("b.csv", "v1"))
    load(state, 7)
    discover(state, ref("a.csv", "v2"), ref("b.csv", "v1"), on_change="replace")
    batch = claimed(state)
    assert [file.replaces for file in batch.files] == [True]

    state.batch_files.record(batch.batch_id, 8, [LoadedFile(batch.files[0].id, 1)], 1, replace=True)

    old = versions(state, "a.csv")["v1"]
    assert (old.status, old.snapshot_id) == ("REPLACED", 7)
    assert batch.batch_id in (old.reason or "")
    assert statuses(state, "b.csv") == {"v1": "SUCCESS"}


def test_an_appended_version_leaves_the_older_one_loaded(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv", "v1"))
    load(state, 7)
    discover(state, ref("a.csv", "v2"), on_change="append")
    load(state, 8, replace=False)

    assert statuses(state, "a.csv") == {"v1": "SUCCESS", "v2": "SUCCESS"}


def test_stale_batches_are_those_without_a_lease_or_a_run(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    first = claimed(state, run_id="run-1")
    discover(state, ref("b.csv"))
    second = claimed(state, run_id="run-2")
    later = second.lease_expires_at + timedelta(seconds=1)
    assert state.batches.open_run_ids() == {"run-1", "run-2"}

    assert state.batches.stale() == []
    assert state.batches.stale(INGESTION, ended_runs={"run-1", "run-9"}) == [first]
    assert state.batches.stale(None, moment=later) == [first, second]
    assert state.batches.stale("acme/other", moment=later) == []

    state.claims.release(first.batch_id, None)
    assert state.batches.stale(moment=later, ended_runs=["run-1"]) == [second]
    assert state.batches.open_run_ids() == {"run-2"}


def test_how_far_a_table_was_followed_is_kept(state: ProcessedFiles) -> None:
    assert state.tables.get(TABLE, INGESTION) == TableState(None, None)

    state.tables.save(TABLE, INGESTION, TableState("uuid", None))
    state.tables.save(TABLE, INGESTION, TableState(None, 2**62))
    assert state.tables.get(TABLE, INGESTION) == TableState("uuid", 2**62)

    state.tables.save(TABLE, INGESTION, TableState("another", None))
    assert state.tables.get(TABLE, INGESTION) == TableState("another", None)
