"""The jobs that change the status of named files and touch no row, for all ways to start them."""

from typing import Any

from pydantic import Field

from autoloader_dagster.counts import counted
from autoloader_dagster.loading.changes.dismiss import dismiss, plan_dismiss
from autoloader_dagster.loading.changes.retry import plan_retry, retry
from autoloader_dagster.orchestration.jobs import metadata as job_metadata
from autoloader_dagster.orchestration.jobs.base import DRY_RUN, ChosenFiles, Job, JobRun

RETRY_JOB = "autoloader_retry"
DISMISS_JOB = "autoloader_dismiss"


class RetryConfig(ChosenFiles):
    """Which files to requeue; without files all that failed or were quarantined."""

    dry_run: bool = Field(default=False, description=DRY_RUN)


class DismissConfig(ChosenFiles):
    """Which files to skip for good; they must be named."""

    dry_run: bool = Field(default=True, description=DRY_RUN)


def _retry(run: JobRun, config: RetryConfig) -> Any:
    if config.dry_run:
        outcome = plan_retry(run.ingestion, config.files)
        run.log("%s would be requeued; nothing was changed", counted(len(outcome.files), "file"))
    else:
        outcome = retry(run.ingestion, config.files)
        run.log("%s requeued", counted(len(outcome.files), "file is", "files are"))
        run.write(run.pages.all_settled())
    run.show(job_metadata.of_retry(outcome))
    return outcome


def _dismiss(run: JobRun, config: DismissConfig) -> Any:
    if config.dry_run:
        outcome = plan_dismiss(run.ingestion, config.files)
        run.log("%s would be dismissed; nothing was changed", counted(len(outcome.files), "file"))
    else:
        outcome = dismiss(run.ingestion, config.files)
        run.log("%s dismissed", counted(len(outcome.files), "file is", "files are"))
        run.write(run.pages.all_settled())
    run.show(job_metadata.of_dismissal(outcome))
    return outcome


RETRY = Job(
    RETRY_JOB,
    "Requeues files that failed, or were quarantined, skipped or undone. The next run of the asset "
    "loads them.",
    RetryConfig,
    _retry,
)
DISMISS = Job(
    DISMISS_JOB,
    "Skips files for good that failed or are quarantined, so that the checks do not report them. "
    "Each keeps its reason; a new version of it loads as usual.",
    DismissConfig,
    _dismiss,
)
