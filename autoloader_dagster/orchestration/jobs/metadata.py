"""What a job did, as metadata of its run and as events of the asset."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from autoloader_dagster.loading.changes.dismiss import DismissOutcome
from autoloader_dagster.loading.changes.reload import ReloadPlan
from autoloader_dagster.loading.changes.retry import RetryOutcome
from autoloader_dagster.loading.changes.select_files import LeftAsItIs
from autoloader_dagster.loading.changes.undo import UndoOutcome
from autoloader_dagster.loading.changes.undo_plan import LoadedVersion, UndoPlan
from autoloader_dagster.loading.ingestion import BatchOutcome
from autoloader_dagster.loading.recovery.advice import advice
from autoloader_dagster.loading.recovery.reconcile import Reconciliation
from autoloader_dagster.orchestration import metadata as keys

ROWS_TAKEN_OUT = "autoloader/rows_taken_out"
ROWS_REPLACED = "autoloader/rows_replaced"
BATCHES = "autoloader/batches"
DONE_BY_RUN = "autoloader/done_by_run"
LEFT = "autoloader/left_as_they_are"
DIFFERENCES = "autoloader/differences"

# More rows than this make an event slow to store and to show; the counts are of all.
_SHOWN = 200

Metadata = Mapping[str, dg.MetadataValue]


def of_undo_plan(plan: UndoPlan) -> Metadata:
    """What an undo would take out."""
    return {
        ROWS_TAKEN_OUT: dg.MetadataValue.int(plan.rows),
        keys.FILES: dg.MetadataValue.int(len(plan.files)),
        keys.SNAPSHOT_ID: dg.MetadataValue.text(str(plan.snapshot_id)),
        keys.FILE_TABLE: _versions(plan.files),
        DIFFERENCES: _table({"difference": each} for each in plan.differences),
        LEFT: _left(plan.left),
    }


def of_undo(outcome: UndoOutcome) -> Metadata:
    """What an undo took out."""
    taken_out = {
        ROWS_TAKEN_OUT: dg.MetadataValue.int(outcome.rows),
        keys.BATCH_ID: dg.MetadataValue.text(outcome.batch_id),
        keys.SNAPSHOT_ID: dg.MetadataValue.text(str(outcome.snapshot_id or "")),
    }
    if outcome.earlier_run is not None:
        return {**taken_out, DONE_BY_RUN: dg.MetadataValue.dagster_run(outcome.earlier_run)}
    return {
        **taken_out,
        keys.FILES: dg.MetadataValue.int(len(outcome.files)),
        keys.FILE_TABLE: _versions(outcome.files),
        LEFT: _left(outcome.left),
    }


def undone_by_partition(
    outcome: UndoOutcome,
) -> dict[str | None, dict[str, dg.MetadataValue]]:
    """Metadata of each partition that lost rows; none if an earlier run did it."""
    groups: dict[str | None, list[LoadedVersion]] = defaultdict(list)
    for file in outcome.files:
        groups[file.partition_key].append(file)
    return {
        partition: {
            ROWS_TAKEN_OUT: dg.MetadataValue.int(sum(file.rows_in_table for file in files)),
            keys.FILES: dg.MetadataValue.int(len(files)),
            keys.BATCH_ID: dg.MetadataValue.text(outcome.batch_id),
            keys.SNAPSHOT_ID: dg.MetadataValue.text(str(outcome.snapshot_id or "")),
            keys.FILE_TABLE: _versions(files),
        }
        for partition, files in groups.items()
    }


def of_retry(outcome: RetryOutcome) -> Metadata:
    """Which files wait again."""
    return {
        keys.FILES: dg.MetadataValue.int(len(outcome.files)),
        keys.FILE_TABLE: _table(
            {"file": file.path, "partition": file.partition_key or "", "was": file.was}
            for file in outcome.files[:_SHOWN]
        ),
        LEFT: _left(outcome.left),
    }


def of_dismissal(outcome: DismissOutcome) -> Metadata:
    """Which files are skipped for good."""
    return {
        keys.FILES: dg.MetadataValue.int(len(outcome.files)),
        keys.FILE_TABLE: _table(
            {
                "file": file.path,
                "partition": file.partition_key or "",
                "was": file.was,
                "reason": file.reason,
            }
            for file in outcome.files[:_SHOWN]
        ),
        LEFT: _left(outcome.left),
    }


def of_reload_plan(plan: ReloadPlan) -> Metadata:
    """What a reload would load again."""
    return {
        keys.FILES: dg.MetadataValue.int(len(plan.files)),
        ROWS_REPLACED: dg.MetadataValue.int(plan.rows),
        keys.BYTES: dg.MetadataValue.int(plan.bytes),
        keys.FILE_TABLE: _table(
            {
                "file": file.path,
                "partition": file.partition_key or "",
                "batch": file.batch_id or "",
                "rows": file.rows,
                "changed": "yes" if file.changed else "no",
            }
            for file in plan.files[:_SHOWN]
        ),
        LEFT: _left(plan.left),
    }


def of_reload(outcomes: Sequence[BatchOutcome]) -> Metadata:
    """What a reload loaded again."""
    files = [file for outcome in outcomes for file in outcome.files]
    return {
        keys.FILES: dg.MetadataValue.int(sum(len(outcome.loaded) for outcome in outcomes)),
        keys.ROWS: dg.MetadataValue.int(sum(outcome.rows for outcome in outcomes)),
        BATCHES: _table(
            {
                "batch": outcome.batch_id,
                "snapshot": str(outcome.snapshot_id or ""),
                "files": len(outcome.loaded),
                "rows": outcome.rows,
            }
            for outcome in outcomes
            if outcome.batch_id
        ),
        LEFT: _table(
            {"file": file.path, "status": file.status, "reason": file.reason or ""}
            for file in files
            if file.status != "SUCCESS"
        ),
    }


def of_reconciliation(found: Reconciliation, name: str) -> Metadata:
    """What differs, with how to correct it."""
    return {
        "autoloader/agrees": dg.MetadataValue.bool(found.agrees),
        "autoloader/files_listed": dg.MetadataValue.int(found.listed),
        "autoloader/files_in_table": dg.MetadataValue.int(found.files_in_table),
        "autoloader/rows_in_table": dg.MetadataValue.int(found.rows_in_table),
        DIFFERENCES: _table(
            {
                "kind": kind,
                "found": count,
                "left": found.left.get(kind, 0),
            }
            for kind, count in found.found.items()
            if count
        ),
        "autoloader/findings": _table(
            {
                "kind": each.kind,
                "file": each.path,
                "batch": each.batch_id,
                "rows": each.rows,
                "what": advice(each, name),
            }
            for each in found.findings[:_SHOWN]
        ),
        "autoloader/stale_batches": dg.MetadataValue.int(len(found.stale_batches)),
        "autoloader/leftover_branches": dg.MetadataValue.int(len(found.leftover_branches)),
    }


def _versions(files: Sequence[LoadedVersion]) -> dg.MetadataValue:
    return _table(
        {
            "file": file.path,
            "partition": file.partition_key or "",
            "batch": file.batch_id,
            "rows": file.rows,
            "rows_in_table": file.rows_in_table,
        }
        for file in files[:_SHOWN]
    )


def _left(left: Sequence[LeftAsItIs]) -> dg.MetadataValue:
    return _table(
        {"file": each.path, "status": each.status, "reason": each.reason} for each in left[:_SHOWN]
    )


def _table(records: Iterable[Mapping[str, str | int]]) -> dg.MetadataValue:
    rows = [dg.TableRecord(dict(record)) for record in records][:_SHOWN]
    # Dagster takes the columns from the rows, and refuses a table without either.
    return dg.MetadataValue.table(rows) if rows else dg.MetadataValue.text("none")
