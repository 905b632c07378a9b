"""Settles batches whose worker is gone, whatever their table tells of them."""

import logging
from collections.abc import Callable, Collection

from autoloader_dagster import failpoints
from autoloader_dagster.batch_ids import NO_BATCH, BatchId, branch_name
from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.iceberg.delete import Rows
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.recovery.catch_up import catch_up
from autoloader_dagster.state.records import Batch

_log = logging.getLogger(__name__)


def recover(
    ingestion: Ingestion,
    open_table: Callable[[str], Table],
    ended_runs: Collection[str] = (),
    on_fault: Callable[[Batch, AutoloaderError], None] = lambda batch, error: None,
) -> list[Batch]:
    """Settle batches whose worker is gone: record those that are in main, release the others.

    Args:
        ingestion: Whose batches.
        open_table: Gives the table of a batch by its name; called only if there is one to settle.
        ended_runs: Runs that are known to have ended; their leases need not be waited for.
        on_fault: Called with a batch that cannot be settled now, and why.

    Returns:
        The batches that were settled.

    A table that cannot be read leaves its batches as they are, for the next look.
    """
    settled: list[Batch] = []
    for batch in ingestion.store.batches.stale(ingestion.id, ended_runs=ended_runs):
        try:
            table = open_table(batch.table)
            if table.exists():
                catch_up(ingestion, table)
                _record_undo_without_snapshot(ingestion, table, batch)
                for attempt in range(1, batch.attempt + 1):
                    table.drop_branch(branch_name(batch.batch_id, attempt))
            failpoints.reach("settling")
            ingestion.store.claims.release(
                batch.batch_id, None, "its worker stopped before the batch was published"
            )
        except AutoloaderError as error:
            _log.warning("batch %s cannot be settled now: %s", batch.batch_id, error)
            on_fault(batch, error)
            continue
        settled.append(batch)
    return settled


def _record_undo_without_snapshot(ingestion: Ingestion, table: Table, batch: Batch) -> None:
    """Record an undo whose snapshot has expired, by the rows of its files, which are gone.

    The snapshot of an attempt that was not published is held by its branch.
    """
    if batch.kind != "undo" or batch.snapshot_id is None:
        return
    if batch.snapshot_id in table.history().snapshots:
        return
    ids = [file.id for file in batch.files]
    members = list(ingestion.store.files.find(batch.ingestion_id, ids=ids))
    loaded = [row for row in members if row.status == "SUCCESS" and row.rows]
    paths: dict[BatchId, list[str]] = {}
    for row in loaded:
        paths.setdefault(row.batch_id or NO_BATCH, []).append(row.file_path)
    if loaded and not table.count("main", Rows(paths)):
        ingestion.store.batch_files.record_undo(
            batch.batch_id,
            None,
            {row.id: row.batch_id for row in members},
            sum(row.rows or 0 for row in loaded),
            ingestion_id=batch.ingestion_id,
            tenant=ingestion.loaded.tenant,
            table=table.name,
        )
