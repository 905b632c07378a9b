"""Undo: take exactly the rows of some loaded file versions out of the table, in one snapshot.

An undo is a batch like a load: claimed under a lease, written to a branch, audited, published by
compare-and-set and recorded. Its files stay loaded until it is recorded, and then are UNDONE.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from autoloader_dagster import failpoints
from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.iceberg.delete import Undone
from autoloader_dagster.loading.batch.attempts import Attempts
from autoloader_dagster.loading.batch.audit import own_chain
from autoloader_dagster.loading.batch.lease import LEASE, Lease, new_owner
from autoloader_dagster.loading.batch.write import write
from autoloader_dagster.loading.changes.select_files import LeftAsItIs, what_it_is
from autoloader_dagster.loading.changes.undo_plan import (
    LoadedVersion,
    UndoPlan,
    check_asked,
    make_plan,
    refuse_differences,
    rows_of,
    with_counts,
)
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.progress import Progress, no_progress
from autoloader_dagster.loading.recovery.catch_up import catch_up
from autoloader_dagster.loading.recovery.recover import recover
from autoloader_dagster.loading.write_plan import plan_undo
from autoloader_dagster.state.records import Amendment, Batch


@dataclass(frozen=True, slots=True)
class UndoOutcome:
    """What an undo came to.

    Attributes:
        batch_id: The undo's own batch.
        snapshot_id: Its snapshot in main; None if all files had left it.
        table: The table's full name.
        files: The file versions that are UNDONE now.
        left: Files that were asked for and were left as they are, with the reason.
        rows: Rows that were taken out.
        seconds: From the claim to the record.
        earlier_run: The run that did it, if it was not this one; ``files`` is empty then.
        table_rows: Rows that the table has now; None if its summary does not tell.
    """

    batch_id: BatchId
    snapshot_id: int | None
    table: str
    files: tuple[LoadedVersion, ...]
    left: tuple[LeftAsItIs, ...]
    rows: int
    seconds: float
    earlier_run: str | None = None
    table_rows: int | None = None


def undo(
    ingestion: Ingestion,
    names: Sequence[str] = (),
    batch_id: BatchId | None = None,
    *,
    run_id: str,
    accept_differences: bool = False,
    ended_runs: Collection[str] = (),
    earlier_runs: Collection[str] = (),
    progress: Progress = no_progress,
    lease: timedelta = LEASE,
) -> UndoOutcome:
    """Take the rows of these file versions out of the table.

    Args:
        ingestion: Whose files.
        names: The files: addresses, their last parts, or patterns; see ``versions_named``.
        batch_id: Or the batch, all of whose files are meant.
        run_id: Recorded with the batch.
        accept_differences: Take out what is there, even if it is not what was loaded.
        ended_runs: Runs that have ended; their batches are settled without waiting for the lease.
        earlier_runs: Runs that this one tries again. If one of them died after it had published,
            that was it: names and patterns are not asked for what was loaded since.
        progress: Told what is done now.
        lease: How long the batch belongs to a worker that is not heard of any more.

    Raises:
        NotLoaded: Nothing of this is loaded.
        NotAsLoaded: The table does not hold the rows that were loaded; nothing was changed.
        FilesInUse: Another undo or reload is at work on one of the files.
        UsageError: Neither files nor a batch are named, or both.
        TableError: The table is gone or cannot be read.
    """
    check_asked(ingestion, names, batch_id)
    progress("connecting to Spark")
    with ingestion.connect() as spark:
        table = ingestion.table(spark)
        table.columns()
        recover(ingestion, lambda name: ingestion.table(spark, name), ended_runs)
        catch_up(ingestion, table)
        done = _done_by(ingestion, earlier_runs)
        if done is not None:
            return done
        progress("counting the rows")
        plan = make_plan(ingestion, table, names, batch_id)
        if not accept_differences:
            refuse_differences(plan)
        owner = new_owner()
        wanted = Amendment(
            "undo",
            ingestion.id,
            ingestion.loaded.tenant,
            table.name,
            tuple(f.file_id for f in plan.files),
        )
        batch = ingestion.store.claims.claim_amendment(wanted, owner, run_id, lease)
        failpoints.reach("claimed")
        whole = [batch_id] if batch_id is not None else []
        with Lease(ingestion.store, batch.batch_id, owner, lease).kept() as kept:
            return _Undoing(
                ingestion, table, batch, plan, whole, kept, progress, accept_differences
            ).run()


def _done_by(ingestion: Ingestion, run_ids: Collection[str]) -> UndoOutcome | None:
    """What one of these runs has taken out, if it has."""
    for run_id in run_ids:
        for batch in ingestion.store.batches.latest(ingestion.id, run_id=run_id):
            if batch.kind == "undo" and batch.status == "RECORDED":
                ended = batch.finished_at or batch.started_at
                return UndoOutcome(
                    batch.id,
                    batch.snapshot_id,
                    batch.table,
                    (),
                    (),
                    batch.rows or 0,
                    (ended - batch.started_at).total_seconds(),
                    run_id,
                )
    return None


class _Undoing:
    """One claimed undo, to its end."""

    def __init__(
        self,
        ingestion: Ingestion,
        table: Table,
        batch: Batch,
        plan: UndoPlan,
        whole: Sequence[BatchId],
        lease: Lease,
        progress: Progress,
        accept_differences: bool,
    ) -> None:
        self._ingestion = ingestion
        self._store = ingestion.store
        self._table = table
        self._batch = batch
        self._whole = whole
        self._accept = accept_differences
        self._lease = lease
        self._progress = progress
        self._attempts = Attempts(ingestion, table, batch, lease)
        self._files = {f.file_id: f for f in plan.files}
        self._left = list(plan.left)
        self._started = time.monotonic()

    def run(self) -> UndoOutcome:
        with self._attempts.or_release():
            return self._attempts.until_published(self._attempt)

    def _attempt(self) -> UndoOutcome:
        self._progress("preparing the table")
        self._lease.check()
        base = self._attempts.catch_up()
        self._leave_out_what_changed()
        rows = rows_of(self._files.values(), self._whole)
        # In main: if that moves, the attempt cannot be published.
        found = self._table.count("main", rows)
        if not self._files and not found:
            self._store.claims.release(
                self._batch.batch_id, self._batch.owner, "all of its files had changed meanwhile"
            )
            return self._outcome(None, 0)
        attempt = self._attempts.begin(base)
        plan = with_counts(self._ingestion, self._table, base.head, self._files.values(), found)
        if not self._accept:
            refuse_differences(plan)
        self._progress("removing the rows")
        self._lease.check()
        deletes = rows if found else None
        planned = plan_undo(self._batch, deletes, _undone(self._files.values()), plan.rows)
        write(self._table, attempt, planned)
        failpoints.reach("written")
        self._progress("counting the rows")
        (snapshot,) = own_chain(self._table, attempt, planned)
        snapshot_id = snapshot.snapshot_id
        self._progress("publishing")
        self._attempts.publish(attempt, snapshot_id, plan.rows)
        self._progress("recording")
        self._files = {f.file_id: f for f in plan.files}
        self._store.batch_files.record_undo(
            self._batch.batch_id,
            snapshot_id,
            {f.file_id: f.batch_id for f in plan.files},
            plan.rows,
            ingestion_id=self._ingestion.id,
            tenant=self._ingestion.loaded.tenant,
            table=self._table.name,
            base=attempt.base,
        )
        self._attempts.recorded()
        return self._outcome(snapshot_id, plan.rows, snapshot.table_rows)

    def _leave_out_what_changed(self) -> None:
        """Leave out the files that are not any more what they were when the undo began."""
        paths = {file.path for file in self._files.values()}
        now = {row.id: row for row in self._store.files.find(self._ingestion.id, paths=paths)}
        gone: list[int] = []
        for file in self._files.values():
            row = now.get(file.file_id)
            if row is None:
                gone.append(file.file_id)
                self._left.append(LeftAsItIs(file.path, "", "is not known any more"))
            elif row.status != "SUCCESS":
                gone.append(row.id)
                self._left.append(LeftAsItIs(row.file_path, row.status, what_it_is(row)))
            elif row.batch_id != file.batch_id:
                gone.append(row.id)
                again = f"was loaded again meanwhile, by batch {row.batch_id}"
                self._left.append(LeftAsItIs(row.file_path, row.status, again))
        if gone:
            self._store.claims.leave_out(self._batch.batch_id, self._batch.owner, gone)
            for file_id in gone:
                del self._files[file_id]

    def _outcome(
        self, snapshot_id: int | None, rows: int, table_rows: int | None = None
    ) -> UndoOutcome:
        return UndoOutcome(
            self._batch.batch_id,
            snapshot_id,
            self._table.name,
            tuple(self._files.values()),
            tuple(self._left),
            rows,
            time.monotonic() - self._started,
            table_rows=table_rows,
        )


def _undone(files: Collection[LoadedVersion]) -> list[Undone]:
    return [Undone(file.path, file.modified_at, file.batch_id) for file in files]
