"""What the state holds of undos and of files that are tried again, on both databases."""

import pytest

from autoloader_dagster.errors import FilesInUse, LeaseLost
from autoloader_dagster.state import Batch, ProcessedFiles
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


def _begin(state: ProcessedFiles, *file_ids: int, owner: str = "worker") -> Batch:
    wanted = Amendment("undo", INGESTION, "acme", TABLE, file_ids)
    return state.claims.claim_amendment(wanted, owner, "undo-run", LEASE)


def _record(
    state: ProcessedFiles, batch_id: str, files: dict[int, str | None], rows: int = 10
) -> None:
    state.batch_files.record_undo(
        batch_id, 8, files, rows, ingestion_id=INGESTION, tenant="acme", table=TABLE
    )


def test_files_stay_loaded_until_their_undo_is_recorded(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    loaded = load(state)
    first, second = loaded.files
    undo = _begin(state, first.id, second.id)
    assert (undo.kind, undo.status, len(undo.files)) == ("undo", "CLAIMED", 2)
    assert statuses(state, "a.csv") == {"v1": "SUCCESS"}

    state.claims.leave_out(undo.batch_id, "worker", [second.id])
    _record(state, undo.batch_id, {first.id: loaded.batch_id})
    _record(state, undo.batch_id, {second.id: loaded.batch_id})

    assert statuses(state, "a.csv") == {"v1": "UNDONE"}
    assert statuses(state, "b.csv") == {"v1": "SUCCESS"}, "recording again does nothing"
    row = versions(state, "a.csv")["v1"]
    assert (row.batch_id, row.snapshot_id) == (loaded.batch_id, loaded.snapshot_id or 7)
    again = state.batches.get(undo.batch_id)
    assert again is not None
    assert [file.id for file in again.files] == [first.id]
    assert state.tables.get(TABLE, INGESTION).last_snapshot_id == 8


def test_a_released_undo_leaves_its_files_loaded_and_free(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    (file,) = load(state).files
    undo = _begin(state, file.id)
    with pytest.raises(FilesInUse, match=f"undo {undo.batch_id} is at work on the same file"):
        _begin(state, file.id, owner="other")

    assert [b.batch_id for b in state.batches.stale(ended_runs={"undo-run"})] == [undo.batch_id]
    assert state.claims.release(undo.batch_id, None, "died")

    assert statuses(state, "a.csv") == {"v1": "SUCCESS"}
    with pytest.raises(LeaseLost):
        state.claims.leave_out(undo.batch_id, "worker", [file.id])
    assert _begin(state, file.id, owner="other").batch_id != undo.batch_id


def test_another_version_of_a_file_in_an_undo_is_refused_too(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    (first,) = load(state).files
    discover(state, ref("a.csv", "v2"), on_change="append")
    (second,) = load(state, 9).files
    _begin(state, first.id)

    with pytest.raises(FilesInUse, match=r"orders/a\.csv of acme/orders"):
        _begin(state, second.id)


def test_an_undo_that_a_lost_state_learns_of_takes_its_files_from_a_batch(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    batch = claimed(state)
    undone = next(file for file in batch.files if file.path.endswith("a.csv"))

    _record(state, "20261101T000000Z-undone", {undone.id: "20261101T000000Z-lost"})

    assert statuses(state, "a.csv") == {"v1": "UNDONE"}
    still = state.batches.get(batch.batch_id)
    assert still is not None
    assert [file.path for file in still.files] == [ref("b.csv").path]
    found = state.batches.get("20261101T000000Z-undone")
    assert found is not None
    assert (found.kind, found.status) == ("undo", "RECORDED")


def test_an_undo_leaves_what_another_batch_has_loaded_since(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    (file,) = load(state).files

    _record(state, "20261101T000000Z-undone", {file.id: "20261101T000000Z-earlier"})

    assert statuses(state, "a.csv") == {"v1": "SUCCESS"}


def test_an_undone_file_waits_anew_when_it_is_retried(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    loaded = load(state)
    a, b = loaded.files
    _record(state, _begin(state, a.id).batch_id, {a.id: loaded.batch_id})

    assert state.files.retry(INGESTION, {a.id: "2026-11-02", b.id: None}) == {a.id}

    row = versions(state, "a.csv")["v1"]
    assert (row.status, row.partition_key) == ("DISCOVERED", "2026-11-02")
    assert (row.batch_id, row.rows, row.reason) == (None, None, None)
    assert versions(state, "b.csv")["v1"].status == "SUCCESS"
    assert state.files.retry(INGESTION, {}) == set()
