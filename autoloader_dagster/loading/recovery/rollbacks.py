"""Takes back the batches that the state holds as recorded and main does not hold any more.

Somebody rolled main back by hand, or dropped the table. What a person took out of main is not
loaded again by itself; what went with its table is.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence

from autoloader_dagster.iceberg.history import History, Snapshot
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.recovery.main_read import MainRead
from autoloader_dagster.state.records import (
    Batch,
    DisplacedFile,
    FileStatus,
    LoadedFile,
    RolledBack,
)
from autoloader_dagster.state.store import ProcessedFiles

_log = logging.getLogger(__name__)


def take_back_rolled_back(store: ProcessedFiles, table: Table, history: History) -> frozenset[str]:
    """Take back the batches whose snapshot is there, but is not among main's ancestors.

    Returns:
        The batches that were taken back.
    """
    if not _recorded_off_main(store, history):
        return frozenset()
    # One of them may have been published and recorded after main was read. The state was asked
    # after that, so main as it is now tells.
    history = table.history()
    read = MainRead(table, history.heads["main"])
    taken: set[str] = set()
    for snapshot, batch_id in _recorded_off_main(store, history):
        past = snapshot.snapshot_id
        reason = f"main was rolled back past snapshot {past}, which held batch {batch_id}"
        back_again = _with_rows(read, store.rollbacks.displaced_by(batch_id))
        batch = store.batches.get(batch_id)
        rolled_back = store.rollbacks.roll_back(batch_id, past, reason, back_again, read.unchanged)
        if rolled_back is None:
            continue
        taken.add(batch_id)
        _say(table, reason, rolled_back)
        if batch is not None and batch.kind == "reload":
            _reinstate_as_before(store, read, batch)
    return frozenset(taken)


def _say(table: Table, reason: str, rolled_back: RolledBack) -> None:
    _log.warning(
        "%s: %s; its %d files are not loaded any more, and are not loaded again by themselves. "
        "'autoloader retry %s FILE' lets a file wait again",
        table.name,
        reason,
        rolled_back.files,
        rolled_back.ingestion_id.rpartition("/")[2],
    )


def _reinstate_as_before(store: ProcessedFiles, read: MainRead, reload: Batch) -> None:
    """Note the files of a reload that is gone as loaded by the batches whose rows are back."""
    members = {(file.path, file.modified_at): file.id for file in reload.files}
    by_batch: dict[str, list[LoadedFile]] = defaultdict(list)
    for each in read.table.rows_of_files(read.head):
        file_id = members.get((each.path, each.modified_at))
        if file_id is not None:
            by_batch[each.batch_id].append(LoadedFile(file_id, each.rows, each.bad_rows))
    recorded = store.batches.known(by_batch)
    for batch_id, files in by_batch.items():
        if batch_id in recorded and recorded[batch_id].status == "RECORDED":
            seen: dict[int, FileStatus | None] = {each.file_id: "UNDONE" for each in files}
            store.rebuild.reinstate(reload.ingestion_id, batch_id, files, seen, read.unchanged)


def _recorded_off_main(store: ProcessedFiles, history: History) -> list[tuple[Snapshot, str]]:
    """Snapshots off main that a batch is recorded with, the newest first."""
    on_main = {snapshot.snapshot_id for snapshot in history.main()[0]}
    off_main = [
        (snapshot, snapshot.batch_id)
        for snapshot in history.snapshots.values()
        if snapshot.snapshot_id not in on_main and snapshot.batch_id
    ]
    if not off_main:
        return []
    known = store.batches.known({batch_id for _, batch_id in off_main})
    recorded = [
        (snapshot, batch_id)
        for snapshot, batch_id in off_main
        if batch_id in known
        and known[batch_id].status == "RECORDED"
        and known[batch_id].snapshot_id == snapshot.snapshot_id
    ]
    return sorted(recorded, key=lambda each: history.generation(each[0]), reverse=True)


def _with_rows(read: MainRead, displaced: Sequence[DisplacedFile]) -> list[int]:
    """Of the versions whose rows a batch took out, those whose rows are in main now.

    Not all of them need be: a rollback may end between the delete and the append of one batch.
    """
    there = {
        (batch_id, file.path)
        for batch_id in {each.batch_id for each in displaced}
        for file in read.table.files_of_batch(batch_id, read.head)
    }
    return [each.id for each in displaced if (each.batch_id, each.path) in there]


def take_back_of_old_table(store: ProcessedFiles, table: Table, table_id: str) -> None:
    """Let the files wait again that went with another table of this name.

    Those whose batch is in this table too stay as they are: it may be a copy.
    """
    of_old = store.rollbacks.loaded_batches(table.name, but_table_uuid=table_id)
    if not of_old:
        return
    # Read after the state, so that nothing that was recorded meanwhile is missed.
    read = MainRead(table, table.head())
    there = set(table.batch_ids(read.head))
    lost = [batch_id for batch_id in of_old if batch_id not in there]
    if not lost:
        return
    reason = f"table {table.name} was made anew, and the file's rows went with the old one"
    files = store.rollbacks.requeue_batches(lost, reason, read.unchanged)
    _log.warning(
        "%s was made anew: the %d files whose rows went with the old table are loaded again",
        table.name,
        files,
    )


def take_back_vanished(store: ProcessedFiles, table: Table, head: int) -> None:
    """Take back the batches without a row in main, when its history cannot tell what happened.

    Main may have been rolled back, and the snapshots that it left may have expired since.
    """
    loaded = store.rollbacks.loaded_batches(table.name)
    there = set(table.batch_ids(head)) if loaded else set()
    for batch_id in (b for b, rows in loaded.items() if rows and b not in there):
        reason = f"batch {batch_id} has no row in snapshot {head}, and its own snapshot has expired"
        rolled_back = store.rollbacks.roll_back(
            batch_id, None, reason, (), MainRead(table, head).unchanged
        )
        if rolled_back is not None:
            _say(table, reason, rolled_back)
