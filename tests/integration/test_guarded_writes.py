"""What is written because of a reading of the table: Spark is asked, and nobody waits meanwhile."""

from collections.abc import Callable, Iterator

import pytest

from autoloader_dagster.errors import MainMoved
from autoloader_dagster.state import LoadedFile, ProcessedFiles
from autoloader_dagster.state.records import Guard, PartitionKeys
from tests.integration.state_steps import (
    INGESTION,
    by_day,
    claim,
    claimed,
    discover,
    load,
    ref,
    statuses,
)

Write = Callable[[ProcessedFiles, Guard], object]


def _roll_back(state: ProcessedFiles) -> Write:
    discover(state, ref("a.csv"))
    batch = load(state, 7)
    return lambda store, guard: store.rollbacks.roll_back(
        batch.batch_id, 7, "rolled back", guard=guard
    )


def _wait_again(state: ProcessedFiles) -> Write:
    discover(state, ref("a.csv"))
    batch = load(state, 7)
    return lambda store, guard: store.rollbacks.requeue_batches(
        [batch.batch_id], "created again", guard
    )


def _files_wait_again(state: ProcessedFiles) -> Write:
    discover(state, ref("a.csv"))
    batch = load(state, 7)
    loaded_by = {file.id: batch.batch_id for file in batch.files}
    return lambda store, guard: store.rollbacks.requeue_files(INGESTION, loaded_by, "no row", guard)


def _record(state: ProcessedFiles) -> Write:
    discover(state, ref("a.csv"))
    batch = claimed(state)
    files = [LoadedFile(file.id, 10) for file in batch.files]
    return lambda store, guard: store.batch_files.record(batch.batch_id, 7, files, 0.0, guard=guard)


def _reinstate(state: ProcessedFiles) -> Write:
    discover(state, ref("a.csv"))
    batch = load(state, 7)
    state.rollbacks.requeue_files(INGESTION, {f.id: batch.batch_id for f in batch.files}, "no row")
    files = [LoadedFile(file.id, 10) for file in batch.files]
    seen = dict.fromkeys((file.id for file in batch.files), "DISCOVERED")
    return lambda store, guard: store.rebuild.reinstate(
        INGESTION, batch.batch_id, files, seen, guard
    )


_WRITES = {
    "roll back": (_roll_back, "SUCCESS", "UNDONE"),
    "wait_again": (_wait_again, "SUCCESS", "DISCOVERED"),
    "files_wait_again": (_files_wait_again, "SUCCESS", "DISCOVERED"),
    "record": (_record, "PROCESSING", "SUCCESS"),
    "reinstate": (_reinstate, "DISCOVERED", "SUCCESS"),
}
_every_write = pytest.mark.parametrize(
    ("prepare", "before", "after"), _WRITES.values(), ids=list(_WRITES)
)


@pytest.fixture
def other(state: ProcessedFiles, state_url: str) -> Iterator[ProcessedFiles]:
    """Another worker on the same database."""
    store = ProcessedFiles(state_url)
    yield store
    store.close()


@_every_write
def test_others_write_while_the_table_is_asked(
    state: ProcessedFiles, other: ProcessedFiles, prepare: Callable, before: str, after: str
) -> None:
    write = prepare(state)
    asked: list[int] = []

    def slow_table() -> None:
        # A new file is listed, of the same ingestion: it would wait for a transaction.
        asked.append(discover(other, ref(f"new{len(asked)}.csv")).new)

    write(state, slow_table)

    assert asked == [1], "listing is no reason to ask the table once more"
    assert statuses(state, "a.csv") == {"v1": after}


@_every_write
def test_what_others_record_meanwhile_has_the_table_asked_once_more(
    state: ProcessedFiles, other: ProcessedFiles, prepare: Callable, before: str, after: str
) -> None:
    write = prepare(state)
    asked: list[str] = []

    def table() -> None:
        asked.append(statuses(state, "a.csv")["v1"])
        if len(asked) == 1:
            _load_another(other)

    write(state, table)

    assert asked == [before, before]
    assert statuses(state, "a.csv") == {"v1": after}


@_every_write
def test_nothing_is_written_if_main_has_moved_or_others_never_stop(
    state: ProcessedFiles, other: ProcessedFiles, prepare: Callable, before: str, after: str
) -> None:
    write = prepare(state)

    def moved() -> None:
        raise MainMoved("main moved")

    with pytest.raises(MainMoved, match="main moved"):
        write(state, moved)
    with pytest.raises(MainMoved, match="other workers recorded batches of acme/orders"):
        write(state, lambda: _load_another(other))
    assert statuses(state, "a.csv") == {"v1": before}


def _load_another(store: ProcessedFiles) -> None:
    """Another worker lists, loads and records a file, in a batch without the one of the test."""
    number = len(store.batches.latest(INGESTION))
    day = ref(f"other{number}.csv", minutes=60 * 24 * (number + 2))
    discover(store, day)
    key = by_day(day).partition_key
    batch = claim(store, f"other {number}", partitions=PartitionKeys((key,)))
    assert batch is not None
    store.batch_files.record(
        batch.batch_id, 100 + number, [LoadedFile(f.id, 1) for f in batch.files], 0.0
    )
