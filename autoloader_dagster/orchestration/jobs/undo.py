"""The job that takes rows of loaded files out of the table, for all ways to start it."""

from collections.abc import Collection
from typing import Any

import dagster as dg
from pydantic import Field

from autoloader_dagster.loading.changes.undo import undo
from autoloader_dagster.loading.changes.undo_plan import plan_undo
from autoloader_dagster.orchestration.assets import asset_key
from autoloader_dagster.orchestration.jobs import metadata as job_metadata
from autoloader_dagster.orchestration.jobs.base import (
    DRY_RUN,
    RETURNED,
    ChosenFiles,
    config_fields,
    config_of,
    job_of,
    log_events,
    op_name,
    opened,
)
from autoloader_dagster.orchestration.pages import Pages
from autoloader_dagster.orchestration.resources import ProcessedFilesResource, SparkConnectResource
from autoloader_dagster.orchestration.runs.tags import ended_runs, failed_tries
from autoloader_dagster.specs.dagster_names import mounted
from autoloader_dagster.specs.loader import SpecSet

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
        "that were loaded, for some were changed or removed since.",
    )
    dry_run: bool = Field(default=True, description=DRY_RUN)


def undo_job(specs: SpecSet, ingestions: Collection[str], mount: str) -> dg.JobDefinition:
    """The job; its Launchpad offers these ingestions."""
    name = mounted(UNDO_JOB, mount)
    fields = config_fields(UndoConfig, ingestions)

    @dg.op(name=op_name(name), out=RETURNED, config_schema=fields)
    def undo_op(
        context: dg.OpExecutionContext,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ) -> Any:
        config = config_of(context, UndoConfig)
        with opened(specs, config.ingestion, spark_connect, processed_files) as ingestion:
            if config.dry_run:
                plan = plan_undo(ingestion, config.files, config.batch_id)
                context.log.info(
                    "%d rows of %d files would go from %s; nothing was changed",
                    plan.rows, len(plan.files), plan.table,
                )  # fmt: skip
                context.add_output_metadata(job_metadata.of_undo_plan(plan))
                return plan
            pages = Pages(context.instance, ingestion, asset_key(ingestion.loaded))
            outcome = undo(
                ingestion,
                config.files,
                config.batch_id,
                run_id=context.run_id,
                accept_differences=config.accept_differences,
                ended_runs=ended_runs(context.instance, ingestion.store.batches.open_run_ids()),
                earlier_runs=failed_tries(context.instance, context.run),
                step=context.log.debug,
            )
            if outcome.earlier_run is not None:
                context.log.info(
                    "run %s, which this one tries again, had done it: %d rows went from %s by "
                    "batch %s, snapshot %s",
                    outcome.earlier_run, outcome.rows, outcome.table, outcome.batch_id,
                    outcome.snapshot_id,
                )  # fmt: skip
            else:
                context.log.info(
                    "%d rows of %d files went from %s by batch %s, snapshot %s",
                    outcome.rows, len(outcome.files), outcome.table, outcome.batch_id,
                    outcome.snapshot_id,
                )  # fmt: skip
            log_events(context, pages.undone(outcome))
            log_events(context, pages.all_settled())
            context.add_output_metadata(job_metadata.of_undo(outcome))
            return outcome

    return job_of(
        name, undo_op, "Takes the rows of loaded files out of the table, in one snapshot."
    )
