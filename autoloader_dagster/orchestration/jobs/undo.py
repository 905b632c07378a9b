"""The job that takes rows of loaded files out of the table, for all ways to start it."""

from typing import Any

from pydantic import Field

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.counts import counted
from autoloader_dagster.loading.changes.undo import undo
from autoloader_dagster.loading.changes.undo_plan import plan_undo
from autoloader_dagster.orchestration.jobs import metadata as job_metadata
from autoloader_dagster.orchestration.jobs.base import DRY_RUN, ChosenFiles, Job, JobRun
from autoloader_dagster.orchestration.runs.tags import failed_tries

UNDO_JOB = "autoloader_undo"


class UndoConfig(ChosenFiles):
    """Which rows to take out of the table."""

    batch_id: str | None = Field(
        default=None,
        description="Instead of files: the batch whose files are all meant, as in the metadata "
        "autoloader/batch_id of a materialization.",
    )
    accept_differences: bool = Field(
        default=False,
        description="Take out what is there, even if the table does not hold exactly the rows "
        "that were loaded, because some were changed or removed since.",
    )
    dry_run: bool = Field(default=True, description=DRY_RUN)


def _undo(run: JobRun, config: UndoConfig) -> Any:
    ingestion = run.ingestion
    batch_id = BatchId(config.batch_id) if config.batch_id else None
    if config.dry_run:
        plan = plan_undo(ingestion, config.files, batch_id)
        run.log(
            "%s of %s would go from %s; nothing was changed",
            counted(plan.rows, "row"), counted(len(plan.files), "file"), plan.table,
        )  # fmt: skip
        run.show(job_metadata.of_undo_plan(plan))
        return plan
    outcome = undo(
        ingestion,
        config.files,
        batch_id,
        run_id=run.context.run_id,
        accept_differences=config.accept_differences,
        ended_runs=run.ended_runs(),
        earlier_runs=failed_tries(run.context.instance, run.context.run),
        progress=run.context.log.debug,
    )
    if outcome.earlier_run is not None:
        run.log(
            "run %s, which this one tries again, had done it: %s went from %s by "
            "batch %s, snapshot %s",
            outcome.earlier_run, counted(outcome.rows, "row"), outcome.table, outcome.batch_id,
            outcome.snapshot_id,
        )  # fmt: skip
    else:
        run.log(
            "%s of %s went from %s by batch %s, snapshot %s",
            counted(outcome.rows, "row"), counted(len(outcome.files), "file"), outcome.table,
            outcome.batch_id, outcome.snapshot_id,
        )  # fmt: skip
    run.write(run.pages.undone(outcome))
    run.write(run.pages.all_settled())
    run.show(job_metadata.of_undo(outcome))
    return outcome


UNDO = Job(
    UNDO_JOB,
    "Takes the rows of loaded files out of the table, in one snapshot.",
    UndoConfig,
    _undo,
)
