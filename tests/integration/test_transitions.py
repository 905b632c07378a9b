"""Each transition of the table is made by a call of the state, on both databases."""

from collections.abc import Callable

from autoloader_dagster.state import LoadedFile, Placement, ProcessedFiles, RemovedFile
from autoloader_dagster.state.records import NO_PARTITION, Amendment, FileStatus
from autoloader_dagster.state.transitions import ALL, TRANSITIONS
from tests.integration.state_steps import (
    INGESTION,
    LEASE,
    RETRIES,
    TABLE,
    claimed,
    discover,
    load,
    ref,
    versions,
)

FOREIGN = "20260101T000000Z-abcdef"
PLACEMENTS: dict[FileStatus, Placement] = {
    "DISCOVERED": Placement("2026-12-01"),
    "HELD": Placement("2026-12-01", "HELD", "InTheFuture", "too early"),
    "QUARANTINED": Placement(None, "QUARANTINED", NO_PARTITION, "no date in its name"),
}
Step = Callable[[ProcessedFiles], object]
FILE = "a.csv"


def _listed(*listed: str, to: FileStatus = "DISCOVERED", complete: bool = False) -> Step:
    return lambda state: discover(
        state,
        *(ref(FILE, version) for version in listed),
        place=lambda _: PLACEMENTS[to],
        complete=complete,
    )


def _placed(to: FileStatus) -> Step:
    """List it when its partition is not one of the spec's any more."""

    def step(state: ProcessedFiles) -> None:
        pages = [[ref(FILE)]]
        state.discovery.discover(
            INGESTION, "acme", pages, lambda _: PLACEMENTS[to], "ignore", lambda _: False
        )

    return step


def _leaves_batch(to: FileStatus) -> Step:
    def step(state: ProcessedFiles) -> None:
        (open_id,) = (
            each.id for each in state.batches.latest(INGESTION) if each.status == "CLAIMED"
        )
        outcome = RemovedFile(_id(state), to, "Bad", "it is bad")  # pyright: ignore[reportArgumentType]
        state.batch_files.remove(open_id, "worker", [outcome], RETRIES)

    return step


def _release(state: ProcessedFiles) -> None:
    assert state.claims.release(state.batches.latest(INGESTION)[0].id, "worker")


def _found(state: ProcessedFiles) -> None:
    files = [LoadedFile(_id(state), 10)]
    state.batch_files.record(
        FOREIGN, 9, files, 0.0, ingestion_id=INGESTION, tenant="acme", table=TABLE
    )


def _undo(state: ProcessedFiles) -> None:
    wanted = Amendment("undo", INGESTION, "acme", TABLE, (_id(state),))
    undo = state.claims.claim_amendment(wanted, "worker", "run-1", LEASE)
    gone = {_id(state): None}
    state.batch_files.record_undo(
        undo.batch_id, 9, gone, 10, ingestion_id=INGESTION, tenant="acme", table=TABLE
    )


def _replaced_by_load(state: ProcessedFiles) -> None:
    discover(state, ref(FILE, "v2"), on_change="replace")
    load(state, 8, replace=True)


def _of_another_version(*after: Step) -> tuple[Step, ...]:
    """Have v0 loaded, and v1 listed beside it."""
    return (
        _listed("v0"),
        load,
        lambda state: discover(state, ref(FILE), on_change="append"),
        *after,
    )


def _id(state: ProcessedFiles) -> int:
    return versions(state, FILE)["v1"].id


_gone = _listed(complete=True)
BEGIN: dict[FileStatus, tuple[Step, ...]] = {
    "DISCOVERED": (_listed("v1"),),
    "HELD": (_listed("v1", to="HELD"),),
    "PROCESSING": (_listed("v1"), claimed),
    "SUCCESS": (_listed("v1"), load),
    "FAILED": (_listed("v1"), claimed, _leaves_batch("FAILED")),
    "QUARANTINED": (_listed("v1", to="QUARANTINED"),),
    "SKIPPED": (_listed("v1", to="HELD"), _gone),
    "REPLACED": (_listed("v1", to="HELD"), _listed("v2", to="HELD")),
    "UNDONE": (_listed("v1"), load, _undo),
}
# Where it does not begin as its status does above.
OTHERWISE: dict[tuple[FileStatus, FileStatus], tuple[Step, ...]] = {
    ("SKIPPED", "SKIPPED"): _of_another_version(_gone),
    ("REPLACED", "SKIPPED"): _of_another_version(
        lambda state: discover(state, ref(FILE, "v2"), on_change="append")
    ),
}
TO: dict[FileStatus, dict[FileStatus, Step]] = {
    "DISCOVERED": {
        **{each: _placed("DISCOVERED") for each in ALL},
        "PROCESSING": _release,
        "SUCCESS": lambda state: state.rollbacks.requeue_batches(
            [each.id for each in state.batches.latest(INGESTION)], "made anew"
        ),
        "UNDONE": lambda state: state.files.retry(INGESTION, {_id(state): None}),
    },
    "HELD": {each: _placed("HELD") for each in ALL},
    "PROCESSING": {each: lambda state: claimed(state, "another") for each in ALL},
    "SUCCESS": dict.fromkeys(ALL, _found),
    "FAILED": {"PROCESSING": _leaves_batch("FAILED")},
    "QUARANTINED": {
        **{each: _placed("QUARANTINED") for each in ALL},
        "PROCESSING": _leaves_batch("QUARANTINED"),
    },
    "SKIPPED": {
        **dict.fromkeys(ALL, _gone),
        "PROCESSING": _leaves_batch("SKIPPED"),
        "SKIPPED": _listed("v1"),
        "REPLACED": _listed("v1"),
    },
    "REPLACED": {**{each: _listed("v2") for each in ALL}, "SUCCESS": _replaced_by_load},
    "UNDONE": dict.fromkeys(ALL, _undo),
}


def test_each_transition_happens_and_leaves_what_its_status_promises(
    state: ProcessedFiles,
) -> None:
    for pair in TRANSITIONS:
        came_from, to = pair
        for step in OTHERWISE.get(pair, BEGIN[came_from]):
            step(state)
        assert versions(state, FILE)["v1"].status == came_from, pair

        TO[to][came_from](state)

        row = versions(state, FILE)["v1"]
        assert row.status == to, pair
        reason = (row.error_type, row.reason)
        batch = (row.batch_id, row.run_id, row.processing_started_at)
        if to in ("DISCOVERED", "HELD"):
            assert (*batch, row.snapshot_id, row.processed_at) == (None,) * 5, pair
        if to == "PROCESSING":
            assert None not in batch, pair
        if to == "SUCCESS":
            assert (row.batch_id, row.snapshot_id) == (FOREIGN, 9), pair
            assert (row.rows, *reason) == (10, None, None), pair
        if to in ("FAILED", "QUARANTINED", "SKIPPED"):
            assert row.reason, pair
        if to in ("REPLACED", "UNDONE"):
            assert (row.error_type, bool(row.reason)) == (None, True), pair
        displaced = to == "UNDONE" or pair == ("SUCCESS", "REPLACED")
        assert bool(row.displaced_by_batch) is displaced, pair
        state.tables.forget(INGESTION)


def test_a_file_that_leaves_its_batch_to_be_tried_again_has_nothing_of_it(
    state: ProcessedFiles,
) -> None:
    for step in (*BEGIN["PROCESSING"], _leaves_batch("DISCOVERED")):
        step(state)

    row = versions(state, FILE)["v1"]
    assert (row.status, row.batch_id, row.run_id) == ("DISCOVERED", None, None)
    assert row.processing_started_at is None
