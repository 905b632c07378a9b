"""Jobs on what is loaded already, for the Launchpad, GraphQL and the command line.

Each takes its choice as typed config. What removes rows only says what it would do, unless it is
told otherwise. What was done is shown on the run as tables, and in the history of the asset.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from autoloader_dagster.loading.retry import RetryOutcome, plan_retry, retry
from autoloader_dagster.loading.undo import undo
from autoloader_dagster.loading.undo_plan import plan_undo
from autoloader_dagster.orchestration import job_metadata
from autoloader_dagster.orchestration.assets import asset_key
from autoloader_dagster.orchestration.job import (
    DRY_RUN,
    RETURNED,
    ChosenFiles,
    job_of,
    op_name,
    opened,
)
from autoloader_dagster.orchestration.reconcile_job import reconcile_job
from autoloader_dagster.orchestration.reload_job import reload_job
from autoloader_dagster.orchestration.resources import ProcessedFilesResource, SparkConnectResource
from autoloader_dagster.orchestration.runs import ended_runs
from autoloader_dagster.specs.loader import SpecSet

UNDO_JOB = "autoloader_undo"
RETRY_JOB = "autoloader_retry"


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
        "that were loaded, for some were changed or removed since.",
    )
    dry_run: bool = Field(default=True, description=DRY_RUN)


class RetryConfig(ChosenFiles):
    """Which files to let wait again; without files all that failed or were quarantined."""

    dry_run: bool = Field(default=False, description=DRY_RUN)


def build_jobs(specs: SpecSet) -> list[dg.JobDefinition]:
    """The jobs; one of each serves every spec."""
    return [_undo_job(specs), _retry_job(specs), reload_job(specs), reconcile_job(specs)]


def _undo_job(specs: SpecSet) -> dg.JobDefinition:
    @dg.op(name=op_name(UNDO_JOB), out=RETURNED)
    def undo_op(
        context: dg.OpExecutionContext,
        config: UndoConfig,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ) -> Any:
        with opened(specs, config.ingestion, spark_connect, processed_files) as ingestion:
            if config.dry_run:
                plan = plan_undo(ingestion, config.files, config.batch_id)
                context.log.info(
                    "%d rows of %d files would go from %s; nothing was changed",
                    plan.rows, len(plan.files), plan.table,
                )  # fmt: skip
                context.add_output_metadata(job_metadata.of_undo_plan(plan))
                return plan
            outcome = undo(
                ingestion,
                config.files,
                config.batch_id,
                run_id=context.run_id,
                accept_differences=config.accept_differences,
                over_runs=ended_runs(context.instance, ingestion.store.open_run_ids()),
                step=context.log.debug,
            )
            context.log.info(
                "%d rows of %d files went from %s by batch %s, snapshot %s",
                outcome.rows, len(outcome.files), outcome.table, outcome.batch_id,
                outcome.snapshot_id,
            )  # fmt: skip
            for event in job_metadata.undone(asset_key(ingestion.loaded), outcome):
                context.log_event(event)
            context.add_output_metadata(job_metadata.of_undo(outcome))
            return outcome

    return job_of(
        UNDO_JOB, undo_op, "Takes the rows of loaded files out of the table, in one snapshot."
    )


def _retry_job(specs: SpecSet) -> dg.JobDefinition:
    @dg.op(name=op_name(RETRY_JOB), out=RETURNED)
    def retry_op(
        context: dg.OpExecutionContext,
        config: RetryConfig,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ) -> RetryOutcome:
        with opened(specs, config.ingestion, spark_connect, processed_files) as ingestion:
            do = plan_retry if config.dry_run else retry
            outcome = do(ingestion, config.files)
            context.log.info(
                "%d files %s",
                len(outcome.files),
                "would wait again; nothing was changed" if config.dry_run else "wait again",
            )
            context.add_output_metadata(job_metadata.of_retry(outcome))
            return outcome

    return job_of(
        RETRY_JOB,
        retry_op,
        "Lets files that failed, or were set aside, skipped or undone, wait to be loaded again. "
        "The next run of the asset loads them.",
    )
