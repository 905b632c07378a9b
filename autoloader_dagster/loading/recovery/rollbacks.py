"""Rolls back the batches that the state holds as recorded and main does not hold any more.

Somebody rolled main back by hand, or dropped the table. What a person took out of main is not
loaded again by itself; what went with its table is.
"""

import logging
from collections import defaultdict

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.counts import counted
from autoloader_dagster.iceberg.history import History, Snapshot
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.recovery.main_read import MainRead
from autoloader_dagster.state.records import (
    LoadedFile,
    RolledBack,
)
from autoloader_dagster.state.store import ProcessedFiles

_log = logging.getLogger(__name__)


def roll_back_off_main(store: ProcessedFiles, table: Table, history: History) -> frozenset[str]:
    """Roll back the batches whose snapshot is there, but is not among main's ancestors.

    Not those whose rows main has nevertheless, as a copy, nor those of which nothing was left to be
    lost. They are noted with main as it is.

    Returns:
        The batches that were rolled back.
    """
    if not _recorded_off_main(store, history):
        return frozenset()
    # One of them may have been published and recorded after main was read. The state was asked
    # after that, so main as it is now tells.
    history = table.history()
    read = MainRead(table, history.heads["main"])
    there = frozenset(table.batch_ids(read.head))
    loaded = store.rollbacks.loaded_batches(table.name)
    taken: set[str] = set()
    kept: defaultdict[str, list[BatchId]] = defaultdict(list)
    for snapshot, batch_id, whose in _recorded_off_main(store, history):
        if batch_id in there:
            kept[whose].append(batch_id)
            continue
        past = snapshot.snapshot_id
        reason = f"main was rolled back past snapshot {past}, which held batch {batch_id}"
        back_again = _back_again(store, read, batch_id)
        if not loaded.get(batch_id) and not any(back_again.values()):
            kept[whose].append(batch_id)
            continue
        rolled_back = store.rollbacks.roll_back(batch_id, past, reason, back_again, read.unchanged)
        if rolled_back is None:
            continue
        taken.add(batch_id)
        _say(table, reason, rolled_back)
    for whose, batch_ids in kept.items():
        store.tables.move_batches(
            whose, batch_ids, table.name, table.table_id(), read.head, read.unchanged
        )
    return frozenset(taken)


def _say(table: Table, reason: str, rolled_back: RolledBack) -> None:
    if not rolled_back.files:
        # An undo, whose files are loaded again.
        _log.info("%s: %s", table.name, reason)
        return
    _log.warning(
        "%s: %s; what went with it (%s) is not loaded any more, and not loaded again by itself. "
        "'autoloader retry %s FILE' loads a file again",
        table.name,
        reason,
        counted(rolled_back.files, "file"),
        rolled_back.ingestion_id.rpartition("/")[2],
    )


def _back_again(
    store: ProcessedFiles, read: MainRead, batch_id: BatchId
) -> dict[str, list[LoadedFile]]:
    """The files of a batch whose rows are in main from an earlier one, by that one.

    They are those that the batch loaded again, or took out: by an undo, or because a newer version
    came. Not all of them need be there: a rollback may end between the delete and the append.
    """
    batch = store.batches.get(batch_id)
    if batch is None:
        return {}
    displaced = store.rollbacks.displaced_by(batch_id)
    ids = {*(file.id for file in batch.files), *(each.id for each in displaced)}
    earlier = {
        *store.batches.of_files(batch.ingestion_id, ids),
        *(each.batch_id for each in displaced),
    } - {batch_id}
    if not earlier:
        return {}
    versions = {
        (row.file_path, row.file_modified_at): row.id
        for row in store.files.find(batch.ingestion_id, ids=ids)
    }
    found: dict[str, list[LoadedFile]] = {}
    for each in sorted(earlier):
        found[each] = [
            LoadedFile(versions[file.path, file.modified_at], file.rows, file.bad_rows)
            for file in read.table.files_of_batch(each, read.head)
            if (file.path, file.modified_at) in versions
        ]
    return found


def _recorded_off_main(
    store: ProcessedFiles, history: History
) -> list[tuple[Snapshot, BatchId, str]]:
    """Snapshots off main, each with the batch that is recorded with it, and whose; newest first."""
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
        (snapshot, batch_id, known[batch_id].ingestion_id)
        for snapshot, batch_id in off_main
        if batch_id in known
        and known[batch_id].status == "RECORDED"
        and known[batch_id].snapshot_id == snapshot.snapshot_id
    ]
    return sorted(recorded, key=lambda each: history.generation(each[0]), reverse=True)


def requeue_of_old_table(store: ProcessedFiles, table: Table, table_id: str) -> None:
    """Requeue the files that went with another table of this name.

    Those whose batch is in this table too stay as they are: it may be a copy.
    """
    of_old = store.rollbacks.loaded_batches(table.name, but_table_id=table_id)
    if not of_old:
        return
    # Read after the state, so that nothing that was recorded meanwhile is missed.
    read = MainRead(table, table.head())
    there = set(table.batch_ids(read.head))
    lost = [batch_id for batch_id in of_old if batch_id not in there]
    if not lost:
        return
    reason = f"table {table.name} was dropped or renamed, and created again; its rows went with it"
    files = store.rollbacks.requeue_batches(lost, reason, read.unchanged)
    _log.warning(
        "%s was dropped or renamed, and created again: its rows went with it, and %s again",
        table.name,
        counted(files, "file is loaded", "files are loaded"),
    )


def roll_back_vanished(store: ProcessedFiles, table: Table, head: int) -> None:
    """Roll back the batches without a row in main, when its history cannot tell what happened.

    Main may have been rolled back, and the snapshots that it left may have expired since.
    """
    loaded = store.rollbacks.loaded_batches(table.name)
    if not loaded:
        return
    there = set(table.batch_ids(head))
    read = MainRead(table, head)
    lost = [batch_id for batch_id, rows in loaded.items() if rows and batch_id not in there]
    for batch_id in lost:
        displaced = store.rollbacks.displaced_by(batch_id)
        reason = f"batch {batch_id} has no row in snapshot {head}, and its own snapshot has expired"
        back_again = _back_again(store, read, batch_id)
        rolled_back = store.rollbacks.roll_back(batch_id, None, reason, back_again, read.unchanged)
        if rolled_back is None:
            continue
        _say(table, reason, rolled_back)
        # A batch whose files were all replaced is not among those that have loaded files.
        before = {each.batch_id for each in displaced if each.rows} - there
        lost += sorted(before.difference(lost))
