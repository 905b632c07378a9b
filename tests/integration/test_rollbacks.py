"""Batches that are rolled back, because main does not hold them any more; on both databases."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from autoloader_dagster.state import LoadedFile, ProcessedFiles
from autoloader_dagster.state.records import Amendment
from tests.integration.state_steps import (
    INGESTION,
    LEASE,
    TABLE,
    claimed,
    discover,
    load,
    ref,
    statuses,
    versions,
)


def test_a_batch_rolled_back_gives_up_its_files_and_can_be_recorded_again(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    batch = load(state, snapshot_id=7)
    assert state.rollbacks.loaded_batches(TABLE) == {batch.batch_id: 20}

    assert state.rollbacks.roll_back(batch.batch_id, 8, "another snapshot") is None
    rolled_back = state.rollbacks.roll_back(batch.batch_id, 7, "rolled back")

    assert rolled_back is not None
    assert rolled_back.files == 2
    row = versions(state, "a.csv")["v1"]
    assert (row.status, row.reason, row.rows) == ("UNDONE", "rolled back", None)
    assert state.rollbacks.loaded_batches(TABLE) == {}
    assert state.rollbacks.roll_back(batch.batch_id, None, "again") is None
    again = state.batches.get(batch.batch_id)
    assert again is not None
    assert (again.status, again.snapshot_id) == ("RELEASED", None)
    state.batch_files.record(
        batch.batch_id, 9, [LoadedFile(file.id, 10) for file in again.files], 0.0
    )
    assert statuses(state, "a.csv") == {"v1": "SUCCESS"}


def test_versions_that_a_rolled_back_batch_had_replaced_are_loaded_again(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("a.csv"))
    first = load(state, 7)
    discover(state, ref("a.csv", "v2"), on_change="replace")
    second = load(state, 8, replace=True)
    (replaced,) = state.rollbacks.displaced_by(second.batch_id)
    assert replaced.batch_id == first.batch_id

    state.rollbacks.roll_back(
        second.batch_id, 8, "rolled back", {first.batch_id: [LoadedFile(replaced.id, 10)]}
    )

    assert statuses(state, "a.csv") == {"v1": "SUCCESS", "v2": "UNDONE"}


def test_what_a_batch_displaced_is_known_whatever_the_reason_says(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    first = load(state, 7)
    discover(state, ref("a.csv", "v2"), on_change="replace")
    second = load(state, 8, replace=True)
    (undone,) = (each for each in first.files if each.path == ref("b.csv").path)
    wanted = Amendment("undo", INGESTION, "acme", TABLE, (undone.id,))
    undo = state.claims.claim_amendment(wanted, "worker", "run-1", LEASE)
    gone = {undone.id: first.batch_id}
    state.batch_files.record_undo(
        undo.batch_id, 9, gone, 10, ingestion_id=INGESTION, tenant="acme", table=TABLE
    )
    with state._database.writing() as connection:
        connection.execute(text("UPDATE processed_files SET reason = 'in other words'"))

    displaced = {
        each.batch_id: [
            (file.path, file.batch_id) for file in state.rollbacks.displaced_by(each.batch_id)
        ]
        for each in (first, second, undo)
    }

    assert displaced == {
        first.batch_id: [],
        second.batch_id: [(ref("a.csv").path, first.batch_id)],
        undo.batch_id: [(ref("b.csv").path, first.batch_id)],
    }
    state.files.retry(INGESTION, {undone.id: None})
    assert versions(state, "b.csv")["v1"].displaced_by_batch is None
    assert state.rollbacks.displaced_by(undo.batch_id) == []


def test_files_of_a_table_that_is_gone_wait_in_their_newest_version(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("same.csv"), ref("ignored.csv"), ref("failed.csv"), ref("back.csv"))
    old = load(state, 7)
    discover(state, ref("ignored.csv", "v2"))
    discover(state, ref("ignored.csv", "v3"))
    discover(state, ref("failed.csv", "v2"), on_change="fail")
    discover(state, ref("back.csv", "v2"), on_change="append")
    discover(state, ref("back.csv"))

    assert state.rollbacks.requeue_batches([old.batch_id], "created again") == 4

    assert statuses(state, "same.csv") == {"v1": "DISCOVERED"}
    ignored = {"v1": "REPLACED", "v2": "REPLACED", "v3": "DISCOVERED"}
    assert statuses(state, "ignored.csv") == ignored
    assert statuses(state, "failed.csv") == {"v1": "REPLACED", "v2": "DISCOVERED"}
    assert statuses(state, "back.csv") == {"v1": "DISCOVERED", "v2": "REPLACED"}
    assert versions(state, "same.csv")["v1"].reason == "created again"
    assert state.rollbacks.requeue_batches([old.batch_id], "created again") == 0


def test_batches_that_went_to_the_table_that_is_there_are_no_loss(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    batch = load(state, 7)
    assert state.rollbacks.loaded_batches(TABLE, but_table_id="new") == {batch.batch_id: 10}
    discover(state, ref("b.csv"))
    new = claimed(state)
    state.claims.begin_attempt(new.batch_id, "worker", 7, "new")
    state.batch_files.record(new.batch_id, 8, [LoadedFile(new.files[0].id, 3)], 0.0)

    assert state.rollbacks.loaded_batches(TABLE, but_table_id="new") == {batch.batch_id: 10}
    assert len(state.rollbacks.loaded_batches(TABLE)) == 2


def test_two_workers_that_take_the_same_batch_back_do_it_once(state: ProcessedFiles) -> None:
    discover(state, *(ref(f"{i}.csv") for i in range(50)))
    batch = load(state, 7)

    with ThreadPoolExecutor(4) as pool:
        done = list(
            pool.map(
                lambda _: state.rollbacks.roll_back(batch.batch_id, 7, "rolled back"),
                range(4),
                timeout=60,
            )
        )

    assert sorted(each is not None for each in done) == [False, False, False, True]


def test_two_workers_that_find_the_same_batch_in_main_record_it_once(
    state: ProcessedFiles,
) -> None:
    discover(state, *(ref(f"{i}.csv") for i in range(50)))
    batch = load(state, 7)
    state.rollbacks.roll_back(batch.batch_id, 7, "rolled back")
    files = [LoadedFile(file.id, 10) for file in batch.files]

    def found(by_its_snapshot: bool) -> None:
        state.batch_files.record(
            batch.batch_id, 7 if by_its_snapshot else 12, files, 0.0, own_snapshot=by_its_snapshot
        )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(found, [True, True], timeout=60))
    # Another one knew it by its rows only, and not which snapshot it made.
    found(False)

    again = state.batches.get(batch.batch_id)
    assert again is not None
    assert (again.status, again.snapshot_id, len(again.files)) == ("RECORDED", 7, 50)
