"""What the sensor and the command line ask of the state, on both databases."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import event

from autoloader_dagster.state import LoadedFile, Placement, ProcessedFiles, RemovedFile
from tests.integration.state_steps import (
    BASE_TIME,
    INGESTION,
    RETRIES,
    claim,
    claimed,
    discover,
    load,
    names,
    ref,
)

DAY = 24 * 60


def test_pending_files_are_summed_up_by_partition(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv", size=1, minutes=5), ref("b.csv", size=2, minutes=3))
    discover(state, ref("c.csv", size=4, minutes=DAY))
    discover(state, ref("none.csv", size=8), place=lambda _: Placement(None))
    discover(state, ref("held.csv"), place=lambda _: Placement("2026-11-01", "HELD"))

    pending = state.files.pending(INGESTION, RETRIES)

    assert [(each.partition_key, each.files, each.bytes) for each in pending] == [
        (None, 1, 8),
        ("2026-11-01", 2, 3),
        ("2026-11-02", 1, 4),
    ]
    assert pending[1].oldest_modified_at == ref("b.csv", minutes=3).modified_at
    assert state.files.pending("acme/other", RETRIES) == []


def test_the_digest_changes_with_the_files_and_their_tries_only(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    [first] = state.files.pending(INGESTION, RETRIES)
    discover(state, ref("a.csv"), ref("b.csv"))
    assert state.files.pending(INGESTION, RETRIES) == [first]

    batch = claimed(state)
    state.claims.release(batch.batch_id, "worker")
    [released] = state.files.pending(INGESTION, RETRIES)
    assert released.digest == first.digest
    assert released.changed_at > first.changed_at

    batch = claimed(state)
    failure = RemovedFile(batch.files[0].id, "FAILED", "ReadError", "cut short")
    state.batch_files.remove(batch.batch_id, "worker", [failure], RETRIES)
    state.claims.release(batch.batch_id, "worker")
    [failed] = state.files.pending(INGESTION, RETRIES)
    assert (failed.files, failed.digest != first.digest) == (2, True)

    discover(state, ref("c.csv"))
    [more] = state.files.pending(INGESTION, RETRIES)
    assert len({first.digest, failed.digest, more.digest}) == 3


def test_files_can_be_chosen(state: ProcessedFiles) -> None:
    discover(state, ref("2026/A_1%.csv"), ref("2026/a_2[x].csv"), ref("b.csv"))
    batch = claim(state, max_files=1)
    assert batch is not None

    def found(**choice) -> list[str]:
        return names(row.file_path for row in state.files.find(INGESTION, **choice))

    assert found() == ["A_1%.csv", "a_2[x].csv", "b.csv"]
    assert found(limit=2) == ["A_1%.csv", "a_2[x].csv"]
    assert found(limit=0) == []
    assert found(statuses=["PROCESSING", "FAILED"]) == ["A_1%.csv"]
    assert found(statuses=[]) == []
    assert found(batch_id=batch.batch_id) == found(run_id="run-1") == ["A_1%.csv"]
    assert found(paths=[ref("b.csv").path, "s3://landing/none"]) == ["b.csv"]
    assert found(path_like="2026/a") == ["a_2[x].csv"], "capitals count"
    assert found(path_like="*_?%.csv") == ["A_1%.csv"]
    assert found(path_like="[x]") == ["a_2[x].csv"]
    assert found(path_like="*/2026/*") == ["A_1%.csv", "a_2[x].csv"]


def test_files_are_streamed_while_others_write(state: ProcessedFiles) -> None:
    discover(state, *(ref(f"{number:05d}.csv") for number in range(2_500)))

    rows = state.files.find(INGESTION)
    first = next(rows)
    load(state)

    assert len([first, *rows]) == 2_500


def test_no_transaction_is_open_between_two_files(state: ProcessedFiles) -> None:
    discover(state, *(ref(f"{number}.csv") for number in range(2_500)))

    files = state.files.find(INGESTION, ("DISCOVERED",), limit=2_400)
    read = [next(files).id]
    assert state._database.engine.pool.checkedout() == 0  # pyright: ignore[reportAttributeAccessIssue]
    for _ in range(3):
        load(state)
    read += [row.id for row in files]

    # The first page was read while they waited; what is loaded by now is not shown as waiting.
    assert len(read) == 1_000
    read = [row.id for row in state.files.find(INGESTION, limit=2_400)]
    assert (len(set(read)), read) == (2_400, sorted(read))


def test_counts_are_by_ingestion_and_status(state: ProcessedFiles) -> None:
    assert state.totals.counts() == {}
    discover(state, ref("a.csv", size=1), ref("b.csv", size=2))
    load(state)
    discover(state, ref("c.csv", size=4))
    discover(state, ref("d.csv", size=8), ingestion_id="acme/other")

    orders = {"SUCCESS": (2, 3, 20), "DISCOVERED": (1, 4, 0)}
    assert state.totals.counts() == {INGESTION: orders, "acme/other": {"DISCOVERED": (1, 8, 0)}}
    assert state.totals.counts(INGESTION) == {INGESTION: orders}


def test_bad_rows_are_those_of_loaded_files(state: ProcessedFiles) -> None:
    assert state.totals.bad_rows(INGESTION) == (0, 0, 0)
    discover(state, ref("a.csv"), ref("b.csv"), ref("c.csv"))
    batch = claimed(state)
    loaded = [
        LoadedFile(file.id, 10, bad) for file, bad in zip(batch.files, (0, 3, 4), strict=True)
    ]
    state.batch_files.record(batch.batch_id, 7, loaded, 1)

    assert state.totals.bad_rows(INGESTION) == (7, 2, 4)


def test_bad_rows_are_found_without_a_look_at_the_other_files(tmp_path: Path) -> None:
    """Each tick asks for them, also of a million files."""
    state = ProcessedFiles(f"sqlite:///{tmp_path / 'state.db'}")
    state.set_up()
    asked: list[tuple[str, tuple[object, ...]]] = []

    @event.listens_for(state._database.engine, "before_cursor_execute")
    def keep(_connection: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        if "bad_rows" in statement:
            asked.append((statement, tuple(values)))

    state.totals.bad_rows(INGESTION)
    state.files.with_bad_rows(INGESTION, 10)
    state.close()
    assert len(asked) == 2
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        for statement, values in asked:
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall())
            assert "ix_processed_files_bad_rows" in plan


def test_content_that_is_loaded_under_another_name_is_found(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv", "same"), ref("other.csv", "other"), ref("none.csv", "none", 0))
    discover(state, ref("elsewhere.csv", "new"), ingestion_id="acme/else")
    load(state)
    assert state.files.same_content(run_id="run-1") == {}

    again = [ref(f"again_{number}.csv", "same") for number in range(3)]
    others = [
        ref("longer.csv", "same", size=101),
        ref("new.csv", "new"),
        ref("empty.csv", "none", 0),
        ref("waits.csv", "other", minutes=DAY),
    ]
    discover(state, *again, *others)
    discover(state, ref("a.csv", "changed"), on_change="append")
    batch = claimed(state, run_id="run-2")
    assert state.files.same_content(batch_id=batch.batch_id) == {}, "nothing of it is loaded yet"
    waits = [file for file in batch.files if file.path.endswith("waits.csv")]
    state.batch_files.remove(
        batch.batch_id, batch.owner, [RemovedFile(waits[0].id, "FAILED", "No", "no")], retries=0
    )
    rest = [LoadedFile(file.id, 1, 0) for file in batch.files if file not in waits]
    state.batch_files.record(batch.batch_id, 7, rest, 1)

    path = ref("").path
    expected = {f"{path}again_{number}.csv": f"{path}a.csv" for number in range(3)}
    assert state.files.same_content(batch_id=batch.batch_id) == expected
    assert state.files.same_content(run_id="run-2") == expected
    assert state.files.same_content(run_id="run-1") == {}


def test_batches_come_newest_first(state: ProcessedFiles) -> None:
    discover(state, *(ref(f"{number}.csv") for number in range(3)))
    taken = [
        claim(state, max_files=1, run_id=f"run-{number}", now=BASE_TIME.replace(hour=number))
        for number in range(3)
    ]
    ids = [batch.batch_id for batch in taken if batch]

    assert [row.id for row in state.batches.latest(INGESTION)] == ids[::-1]
    assert [row.id for row in state.batches.latest(limit=2)] == [ids[2], ids[1]]
    assert [row.id for row in state.batches.latest(run_id="run-0")] == [ids[0]]
    assert state.batches.latest("acme/other") == []


def test_partition_totals_count_what_is_loaded(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    discover(state, ref("none.csv"), place=lambda _: Placement(None))
    load(state)
    discover(state, ref("c.csv", minutes=DAY))

    assert state.totals.partition_totals(INGESTION, ["2026-11-01", "2026-11-02", None]) == {
        "2026-11-01": (2, 20),
        "2026-11-02": (0, 0),
        None: (1, 10),
    }
    assert state.totals.partition_totals(INGESTION, ["2026-11-02"]) == {"2026-11-02": (0, 0)}
    assert state.totals.partition_totals(INGESTION, []) == {}
