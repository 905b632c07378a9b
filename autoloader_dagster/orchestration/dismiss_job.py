"""The job that dismisses files that failed or were quarantined, for all ways to start it."""

from collections.abc import Collection

import dagster as dg
from pydantic import Field

from autoloader_dagster.loading.dismiss import DismissOutcome, dismiss, plan_dismiss
from autoloader_dagster.orchestration import job_metadata
from autoloader_dagster.orchestration.assets import asset_key
from autoloader_dagster.orchestration.job import (
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
from autoloader_dagster.specs.loader import SpecSet

DISMISS_JOB = "autoloader_dismiss"


class DismissConfig(ChosenFiles):
    """Which files to skip for good; they must be named."""

    dry_run: bool = Field(default=True, description=DRY_RUN)


def dismiss_job(specs: SpecSet, ingestions: Collection[str]) -> dg.JobDefinition:
    """The job; its Launchpad offers these ingestions."""
    fields = config_fields(DismissConfig, ingestions)

    @dg.op(name=op_name(DISMISS_JOB), out=RETURNED, config_schema=fields)
    def dismiss_op(
        context: dg.OpExecutionContext,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ) -> DismissOutcome:
        config = config_of(context, DismissConfig)
        with opened(specs, config.ingestion, spark_connect, processed_files) as ingestion:
            pages = Pages(context.instance, ingestion, asset_key(ingestion.loaded))
            do = plan_dismiss if config.dry_run else dismiss
            outcome = do(ingestion, config.files)
            context.log.info(
                "%d files %s",
                len(outcome.files),
                "would be dismissed; nothing was changed" if config.dry_run else "are dismissed",
            )
            if not config.dry_run:
                log_events(context, pages.all_settled())
            context.add_output_metadata(job_metadata.of_dismissal(outcome))
            return outcome

    return job_of(
        DISMISS_JOB,
        dismiss_op,
        "Skips files for good that failed or are quarantined, so that the checks do not report "
        "them. Each keeps its reason; a new version of it loads as usual.",
    )
