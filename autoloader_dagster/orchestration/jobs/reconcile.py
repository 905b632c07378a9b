"""The job that compares source, state and table, and updates the state."""

from typing import Any

import dagster as dg
from pydantic import Field

from autoloader_dagster.counts import counted
from autoloader_dagster.loading.recovery.reconcile import reconcile
from autoloader_dagster.orchestration.jobs import metadata as job_metadata
from autoloader_dagster.orchestration.jobs.base import Job, JobRun

RECONCILE_JOB = "autoloader_reconcile"


class ReconcileConfig(dg.Config):
    """Which ingestion to compare."""

    ingestion: str = Field(description="Name of the spec, or tenant/name.")
    dry_run: bool = Field(
        default=True,
        description="Only compare. Otherwise the state is updated by what the table holds: files "
        "that have rows in it are recorded, and those that have none are requeued. No row is "
        "removed.",
    )


def _reconcile(run: JobRun, config: ReconcileConfig) -> Any:
    found = reconcile(run.ingestion, not config.dry_run, run.ended_runs())
    run.log(
        "%s: %s listed, %d in the table; %s",
        run.ingestion.id,
        counted(found.listed, "file"),
        found.files_in_table,
        "they agree" if found.agrees else "they do not agree, see the metadata",
    )
    # A dry run settles batches of runs that died as well.
    run.write(run.pages.all_settled())
    run.show(job_metadata.of_reconciliation(found, run.ingestion.spec.name))
    return found


RECONCILE = Job(
    RECONCILE_JOB,
    "Compares source, state and table. Without dry_run it updates the state by the table.",
    ReconcileConfig,
    _reconcile,
)
