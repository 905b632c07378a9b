"""Names the branches of attempts, and drops those that were left behind.

A worker that is killed leaves its branch, and Iceberg never drops one by itself: it would hold its
data files for ever.
"""

import logging

from autoloader_dagster.batch_ids import batch_of_branch
from autoloader_dagster.errors import TableError
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.state.store import ProcessedFiles

_log = logging.getLogger(__name__)


def left_behind(store: ProcessedFiles, branches: list[str]) -> list[str]:
    """Those of a table's branches whose batch is settled.

    A branch of a batch that the state does not know is not among them: another state's worker may
    be at it.
    """
    batch_of = {branch: batch for branch in branches if (batch := batch_of_branch(branch))}
    if not batch_of:
        return []
    known = store.batches.known(set(batch_of.values()))
    return [
        branch
        for branch, batch in batch_of.items()
        if batch in known and known[batch].status in ("RECORDED", "RELEASED")
    ]


def drop_branches(table: Table, branches: list[str]) -> list[str]:
    """Drop them; returns those that are gone. One that cannot be dropped costs disk space only."""
    dropped: list[str] = []
    for branch in branches:
        try:
            table.drop_branch(branch)
        except TableError as error:
            _log.info("branch %s of %s is left behind: %s", branch, table.name, error)
        else:
            dropped.append(branch)
    return dropped


def drop_left_behind(store: ProcessedFiles, table: Table) -> None:
    """Drop those that were left behind when the table's branches were seen last."""
    drop_branches(table, left_behind(store, list(table.branches_seen)))
