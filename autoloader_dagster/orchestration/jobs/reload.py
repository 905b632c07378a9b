"""The job that loads partitions again, their rows replaced, for all ways to start it."""

from collections.abc import Collection
from typing import Any

import dagster as dg
from pydantic import Field

from autoloader_dagster.loading.changes.reload import plan_reload, reload
from autoloader_dagster.loading.ingestion import BatchOutcome
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
from autoloader_dagster.orchestration.runs.tags import ended_runs
from autoloader_dagster.specs.dagster_names import mounted
from autoloader_dagster.specs.loader import SpecSet
from autoloader_dagster.state.records import PartitionKeys

RELOAD_JOB = "autoloader_reload"
_LOADED_AGAIN = "loaded again; these rows took the place of the old ones"


class ReloadConfig(ChosenFiles):
    """What to load again: files, or partitions, or without either all that is loaded."""

    partitions: list[str] = Field(
        default=[], description="Keys of the partitions, if no files are named."
    )
    dry_run: bool = Field(default=True, description=DRY_RUN)


def reload_job(specs: SpecSet, ingestions: Collection[str], mount: str) -> dg.JobDefinition:
    """The job; its Launchpad offers these ingestions."""
    name = mounted(RELOAD_JOB, mount)
    fields = config_fields(ReloadConfig, ingestions)

    @dg.op(name=op_name(name), out=RETURNED, config_schema=fields)
    def reload_op(
        context: dg.OpExecutionContext,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ) -> Any:
        config = config_of(context, ReloadConfig)
        with opened(specs, config.ingestion, spark_connect, processed_files) as ingestion:
            partitions = PartitionKeys(tuple(config.partitions)) if config.partitions else None
            if config.dry_run:
                plan = plan_reload(ingestion, partitions, config.files)
                context.log.info(
                    "%d rows of %d files would be loaded again; nothing was changed",
                    plan.rows, len(plan.files),
                )  # fmt: skip
                context.add_output_metadata(job_metadata.of_reload_plan(plan))
                return plan
            pages = Pages(context.instance, ingestion, asset_key(ingestion.loaded))
            outcomes: list[BatchOutcome] = []
            for outcome in reload(
                ingestion,
                partitions,
                config.files,
                run_id=context.run_id,
                ended_runs=ended_runs(context.instance, ingestion.store.batches.open_run_ids()),
                step=context.log.debug,
            ):
                outcomes.append(outcome)
                context.log.info(
                    "batch %s: %d files loaded again, %d rows, snapshot %s",
                    outcome.batch_id, len(outcome.loaded), outcome.rows, outcome.snapshot_id,
                )  # fmt: skip
                log_events(context, pages.loaded(outcome, _LOADED_AGAIN))
            log_events(context, pages.all_settled())
            context.add_output_metadata(job_metadata.of_reload(outcomes))
            return outcomes

    return job_of(
        name,
        reload_op,
        "Loads files or partitions again that are loaded; the new rows take the place of the old.",
    )
