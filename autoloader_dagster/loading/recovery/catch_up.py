"""Steps six and recovery: what main holds is the truth, and the state is brought up to it.

A batch whose commit went through without anybody hearing of it (a lost answer, a killed run, a
paused worker that woke up) is found by the batch id in main's snapshots, and recorded.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from autoloader_dagster import failpoints
from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.errors import MainMoved
from autoloader_dagster.iceberg.history import Snapshot
from autoloader_dagster.loading.batch.branches import drop_left_behind
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.recovery.ownership import refuse_other_owner
from autoloader_dagster.loading.recovery.rollbacks import (
    requeue_of_old_table,
    roll_back_off_main,
    roll_back_vanished,
)
from autoloader_dagster.loading.recovery.whose_batches import (
    Owners,
    of_others,
    owners_in,
    without_rows_of_others,
)
from autoloader_dagster.state.records import (
    Batch,
    LoadedFile,
    TableState,
)

_log = logging.getLogger(__name__)

# How often main is read again because it moved while something was rolled back.
_READINGS = 5


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Main as it was when the state had caught up with it.

    Attributes:
        head: Main's snapshot.
        table_id: Which table this is, whatever its name.
    """

    head: int
    table_id: str


def catch_up(
    ingestion: Ingestion,
    table: Table,
    look_into_unknown: bool = True,
    trust_agreement: bool = False,
) -> CaughtUp:
    """Bring the state up to main: record what is there, roll back what is there no longer.

    The batches are found in main's snapshots since the last look. If that look's snapshot has
    expired, or is not in main and others have put rows there, the rows tell.

    Args:
        ingestion: Whose files are about to be loaded. A batch that the state does not know at all,
            for it was lost or restored, is recorded for those of its files that the rows name.
        table: Its table.
        look_into_unknown: Whether to do that; if not, those batches are left for the next time.
        trust_agreement: Whether to read only main's head if it is where state and main agreed.

    Raises:
        TableError: The table or its catalog cannot be read. Then nothing is known, and nothing is
            released.
        LoadError: Nothing tells whose rows a shared table has, because the state was lost.
        MainMoved: Other writers moved main again and again while batches were rolled back.
    """
    if trust_agreement and (agreed := _agreement(ingestion, table)) is not None:
        return agreed
    for _ in range(_READINGS - 1):
        try:
            return _catch_up(ingestion, table, look_into_unknown)
        except MainMoved as moved:
            _log.info("%s is read again: %s", table.name, moved)
    return _catch_up(ingestion, table, look_into_unknown)


def _agreement(ingestion: Ingestion, table: Table) -> CaughtUp | None:
    """Main, if it is where the state was seen to agree with it; None if it must be read."""
    state = ingestion.store.tables.get(table.name, ingestion.id)
    if state.table_id is None:
        return None
    head, table_id = table.head_and_id(just_read=True)
    if head is None or table_id is None or not state.agrees(table_id, head):
        return None
    refuse_other_owner(ingestion, table, table_id)
    failpoints.reach("followed")
    return CaughtUp(head, table_id)


def _catch_up(ingestion: Ingestion, table: Table, look_into_unknown: bool) -> CaughtUp:
    store = ingestion.store
    # Before main is read: of a batch that is recorded later, main tells nothing.
    state = store.tables.get(table.name, ingestion.id)
    history = table.history()
    head = history.heads["main"]
    table_id = table.table_id()
    refuse_other_owner(ingestion, table, table_id)
    until = state.last_snapshot_id
    if state.table_id not in (None, table_id):
        requeue_of_old_table(store, table, table_id)
        until = None
    rolled_back = roll_back_off_main(store, table, history)
    main, complete = history.main()
    seen = next((i for i, s in enumerate(main) if s.snapshot_id == until), None)
    found = {s.batch_id: s.snapshot_id for s in reversed(main[:seen]) if s.batch_id}
    in_rows: list[BatchId] = []
    known_place = until is None or until in history.snapshots
    if seen is None and not (complete and known_place and _all_by_batches(main)):
        in_rows = table.batch_ids(head)
        if until is not None and until not in history.snapshots:
            roll_back_vanished(store, table, head)
    known = store.batches.known([*found, *in_rows])
    owners = owners_in(history)
    others = of_others(ingestion, owners)
    left_out = False
    for batch_id in [*(b for b in in_rows if b not in found), *found]:
        batch = known.get(batch_id)
        of_another = batch.ingestion_id != ingestion.id if batch else batch_id in others
        if of_another:
            # In a table that several share; that one follows main as well, by its own policy.
            continue
        if batch is not None and batch.status == "RECORDED" and batch_id not in rolled_back:
            continue
        if batch is None and not look_into_unknown:
            left_out = True
            continue
        _record_from_table(ingestion, table, batch_id, found.get(batch_id), head, owners)
    # Not past a batch that is to be found the next time.
    agreed = TableState(table_id, head, state.record_number)
    store.tables.save(table.name, ingestion.id, TableState(table_id, until) if left_out else agreed)
    failpoints.reach("followed")
    drop_left_behind(store, table)
    return CaughtUp(head, table_id)


def _all_by_batches(main: Sequence[Snapshot]) -> bool:
    """Whether batches have put all rows there; what others have put there may be copies of them.

    A table that is replaced by a select from itself, or from its backup, begins with such a one.
    """
    return all(snapshot.batch_id or not snapshot.added_records for snapshot in main)


def _record_from_table(
    ingestion: Ingestion,
    table: Table,
    batch_id: BatchId,
    own_snapshot: int | None,
    head: int,
    owners: Owners,
) -> None:
    """Record a batch that main has: by its own snapshot, or only by its rows.

    This needs no look at main again: whatever takes the rows out later is recorded later.
    """
    store = ingestion.store
    snapshot_id = head if own_snapshot is None else own_snapshot
    batch = store.batches.get(batch_id)
    kind = batch.kind if batch is not None else table.kind_of(batch_id, snapshot_id)
    if kind == "undo":
        _record_undo(ingestion, table, batch_id, snapshot_id, batch)
        return
    on_change = ingestion.spec.source.on_change
    there = table.files_of_batch(batch_id, head)
    if batch is not None:
        rows = {file.path: (file.rows, file.bad_rows) for file in there}
        files = [LoadedFile(file.id, *rows.get(file.path, (0, 0))) for file in batch.files]
    else:
        rows_of = {(file.path, file.modified_at): (file.rows, file.bad_rows) for file in there}
        if not ingestion.spec.table.shared:
            # Listed later, they would be new. In a shared table they may be another one's.
            store.rebuild.add_versions(
                ingestion.id,
                ingestion.loaded.tenant,
                [(file.path, file.modified_at, file.partition_key) for file in there],
            )
        known = [
            row
            for row in store.files.find(ingestion.id, paths=[file.path for file in there])
            if (row.file_path, row.file_modified_at) in rows_of
        ]
        if ingestion.spec.table.shared:
            known = without_rows_of_others(ingestion, table, batch_id, known, owners)
        files = [LoadedFile(row.id, *rows_of[row.file_path, row.file_modified_at]) for row in known]
        if not files:
            return
    store.batch_files.record(
        batch_id,
        snapshot_id,
        files,
        seconds=0.0,
        replace=on_change != "append" if kind == "reload" else on_change == "replace",
        kind=kind,
        ingestion_id=ingestion.id,
        tenant=ingestion.loaded.tenant,
        table=table.name,
        own_snapshot=own_snapshot is not None,
    )
    _log.info(
        "batch %s was in %s already, in snapshot %s; it is recorded now",
        batch_id,
        table.name,
        snapshot_id,
    )


def _record_undo(
    ingestion: Ingestion, table: Table, batch_id: BatchId, snapshot_id: int, batch: Batch | None
) -> None:
    store = ingestion.store
    whose = batch.ingestion_id if batch is not None else ingestion.id
    undone = table.undone_by(batch_id, snapshot_id)
    if undone is not None:
        loaded_by = {(file.path, file.modified_at): file.batch_id for file in undone}
        if not ingestion.spec.table.shared:
            # Listed later, they would be new.
            store.rebuild.add_versions(
                whose, ingestion.loaded.tenant, [(path, at, None) for path, at in loaded_by]
            )
        known = store.files.find(whose, paths={file.path for file in undone})
        files = {
            row.id: loaded_by[row.file_path, row.file_modified_at]
            for row in known
            if (row.file_path, row.file_modified_at) in loaded_by
        }
    elif batch is not None:
        files = dict[int, BatchId | None].fromkeys(file.id for file in batch.files)
    else:
        _log.warning(
            "batch %s has taken rows out of %s, and nothing tells any more which files they were "
            "of; if the state does not hold them as undone, they are loaded again",
            batch_id,
            table.name,
        )
        return
    if not files and batch is None:
        # Another ingestion's, in a table that they share.
        return
    store.batch_files.record_undo(
        batch_id,
        snapshot_id,
        files,
        table.history().snapshots[snapshot_id].removed_records,
        ingestion_id=whose,
        tenant=ingestion.loaded.tenant,
        table=table.name,
    )
    _log.info("the undo %s was in %s already; it is recorded now", batch_id, table.name)
