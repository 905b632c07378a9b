"""The jobs that change the status of named files and touch no row, for all ways to start them."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import dagster as dg
from pydantic import Field

from autoloader_dagster.loading.changes.dismiss import DismissOutcome, dismiss, plan_dismiss
from autoloader_dagster.loading.changes.retry import RetryOutcome, plan_retry, retry
from autoloader_dagster.loading.ingestion import Ingestion
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
from autoloader_dagster.specs.dagster_names import mounted
from autoloader_dagster.specs.loader import SpecSet

RETRY_JOB = "autoloader_retry"
DISMISS_JOB = "autoloader_dismiss"

_Outcome = TypeVar("_Outcome", RetryOutcome, DismissOutcome)


class RetryConfig(ChosenFiles):
    """Which files to requeue; without files all that failed or were quarantined."""

    dry_run: bool = Field(default=False, description=DRY_RUN)


class DismissConfig(ChosenFiles):
    """Which files to skip for good; they must be named."""

    dry_run: bool = Field(default=True, description=DRY_RUN)


def retry_job(specs: SpecSet, ingestions: Collection[str], mount: str) -> dg.JobDefinition:
    """The job that requeues files; its Launchpad offers these ingestions."""

    def act(ingestion: Ingestion, files: Sequence[str], dry_run: bool) -> tuple[RetryOutcome, str]:
        if dry_run:
            return plan_retry(ingestion, files), "would wait again; nothing was changed"
        return retry(ingestion, files), "wait again"

    return _job(
        mounted(RETRY_JOB, mount),
        "Lets files that failed, or were set aside, skipped or undone, wait to be loaded again. "
        "The next run of the asset loads them.",
        RetryConfig,
        act,
        job_metadata.of_retry,
        specs,
        ingestions,
    )


def dismiss_job(specs: SpecSet, ingestions: Collection[str], mount: str) -> dg.JobDefinition:
    """The job that skips files for good; its Launchpad offers these ingestions."""

    def act(
        ingestion: Ingestion, files: Sequence[str], dry_run: bool
    ) -> tuple[DismissOutcome, str]:
        if dry_run:
            return plan_dismiss(ingestion, files), "would be dismissed; nothing was changed"
        return dismiss(ingestion, files), "are dismissed"

    return _job(
        mounted(DISMISS_JOB, mount),
        "Skips files for good that failed or are quarantined, so that the checks do not report "
        "them. Each keeps its reason; a new version of it loads as usual.",
        DismissConfig,
        act,
        job_metadata.of_dismissal,
        specs,
        ingestions,
    )


def _job(
    name: str,
    description: str,
    config_class: type[RetryConfig] | type[DismissConfig],
    act: Callable[[Ingestion, Sequence[str], bool], tuple[_Outcome, str]],
    metadata_of: Callable[[_Outcome], job_metadata.Metadata],
    specs: SpecSet,
    ingestions: Collection[str],
) -> dg.JobDefinition:
    """A job of one action.

    Args:
        name: Of the job.
        description: For its page.
        config_class: Its config.
        act: Takes the names of files and whether it is a dry run. Gives the outcome, and what
            happened to its files, for the log.
        metadata_of: The outcome as it is shown on the run.
        specs: All specs.
        ingestions: Names that the Launchpad offers.
    """
    fields = config_fields(config_class, ingestions)

    @dg.op(name=op_name(name), out=RETURNED, config_schema=fields)
    def op(
        context: dg.OpExecutionContext,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ) -> Any:
        config = config_of(context, config_class)
        with opened(specs, config.ingestion, spark_connect, processed_files) as ingestion:
            pages = Pages(context.instance, ingestion, asset_key(ingestion.loaded))
            outcome, happened = act(ingestion, config.files, config.dry_run)
            context.log.info("%d files %s", len(outcome.files), happened)
            if not config.dry_run:
                log_events(context, pages.all_settled())
            context.add_output_metadata(metadata_of(outcome))
            return outcome

    return job_of(name, op, description)
