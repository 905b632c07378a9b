"""Carry out a write plan on an attempt's branch."""

from collections.abc import Callable
from typing import Any

from autoloader_dagster import failpoints
from autoloader_dagster.iceberg.append import Written
from autoloader_dagster.loading.batch.attempts import Attempt
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.write_plan import WritePlan


def write(
    table: Table,
    attempt: Attempt,
    plan: WritePlan,
    frame: Callable[[], Any] = lambda: None,
    *,
    by_key: bool = False,
) -> Written:
    """Delete and append on the branch as the plan says.

    Args:
        table: The table.
        attempt: The attempt, whose branch exists.
        plan: The plan.
        frame: Called for the rows of ``plan.appends``, if there are any.
        by_key: The table is partitioned by ``_partition_key`` and nothing else.

    Returns:
        What the append counted; nothing for a plan without one.

    Raises:
        CommitUnknown: The catalog's answer to a write was lost.
        TableError: The catalog or the table refuses.
    """
    # An append sets the batch's id by itself, and a delete before it must not carry it.
    batch_id = None if plan.appends else plan.batch_id
    with table.tagged(attempt.tag, batch_id, plan.properties):
        if plan.deletes is not None:
            table.delete(attempt.branch, plan.deletes)
            failpoints.reach("deleted")
        failpoints.reach("writing")
        if plan.note:
            table.note(attempt.branch)
        if not plan.appends:
            return Written({}, {}, 0)
        files = [item.file for item in plan.appends]
        return table.append_counted(frame(), attempt.branch, plan.batch_id, files, by_key=by_key)
