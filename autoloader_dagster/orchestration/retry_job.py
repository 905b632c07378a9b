"""The job that lets files wait again that failed or were set aside, for all ways to start it."""

from collections.abc import Collection

import dagster as dg
from pydantic import Field

from autoloader_dagster.loading.retry import RetryOutcome, plan_retry, retry
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

RETRY_JOB = "autoloader_retry"


class RetryConfig(ChosenFiles):
    """Which files to let wait again; without files all that failed or were quarantined."""

    dry_run: bool = Field(default=False, description=DRY_RUN)


def retry_job(specs: SpecSet, ingestions: Collection[str]) -> dg.JobDefinition:
    """The job; its Launchpad offers these ingestions."""
    fields = config_fields(RetryConfig, ingestions)

    @dg.op(name=op_name(RETRY_JOB), out=RETURNED, config_schema=fields)
    def retry_op(
        context: dg.OpExecutionContext,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ) -> RetryOutcome:
        config = config_of(context, RetryConfig)
        with opened(specs, config.ingestion, spark_connect, processed_files) as ingestion:
            pages = Pages(context.instance, ingestion, asset_key(ingestion.loaded))
            do = plan_retry if config.dry_run else retry
            outcome = do(ingestion, config.files)
            context.log.info(
                "%d files %s",
                len(outcome.files),
                "would wait again; nothing was changed" if config.dry_run else "wait again",
            )
            if not config.dry_run:
                log_events(context, pages.all_settled())
            context.add_output_metadata(job_metadata.of_retry(outcome))
            return outcome

    return job_of(
        RETRY_JOB,
        retry_op,
        "Lets files that failed, or were set aside, skipped or undone, wait to be loaded again. "
        "The next run of the asset loads them.",
    )
