"""The job that loads partitions again, their rows replaced, for all ways to start it."""

from typing import Any

from pydantic import Field

from autoloader_dagster.counts import counted
from autoloader_dagster.loading.changes.reload import plan_reload, reload
from autoloader_dagster.loading.ingestion import BatchOutcome
from autoloader_dagster.orchestration.jobs import metadata as job_metadata
from autoloader_dagster.orchestration.jobs.base import DRY_RUN, ChosenFiles, Job, JobRun
from autoloader_dagster.state.records import PartitionKeys

RELOAD_JOB = "autoloader_reload"
_LOADED_AGAIN = "loaded again; these rows took the place of the old ones"


class ReloadConfig(ChosenFiles):
    """What to load again: files, or partitions, or without either all that is loaded."""

    partitions: list[str] = Field(
        default=[], description="Keys of the partitions, if no files are named."
    )
    dry_run: bool = Field(default=True, description=DRY_RUN)


def _reload(run: JobRun, config: ReloadConfig) -> Any:
    partitions = PartitionKeys(tuple(config.partitions)) if config.partitions else None
    if config.dry_run:
        plan = plan_reload(run.ingestion, partitions, config.files)
        run.log(
            "%s of %s would be loaded again; nothing was changed",
            counted(plan.rows, "row"), counted(len(plan.files), "file"),
        )  # fmt: skip
        run.show(job_metadata.of_reload_plan(plan))
        return plan
    outcomes: list[BatchOutcome] = []
    for outcome in reload(
        run.ingestion,
        partitions,
        config.files,
        run_id=run.context.run_id,
        ended_runs=run.ended_runs(),
        progress=run.context.log.debug,
    ):
        outcomes.append(outcome)
        run.log(
            "batch %s: %s loaded again, %s, snapshot %s",
            outcome.batch_id, counted(len(outcome.loaded), "file"), counted(outcome.rows, "row"),
            outcome.snapshot_id,
        )  # fmt: skip
        run.write(run.pages.loaded(outcome, _LOADED_AGAIN))
    run.write(run.pages.all_settled())
    run.show(job_metadata.of_reload(outcomes))
    return outcomes


RELOAD = Job(
    RELOAD_JOB,
    "Loads files or partitions again that are loaded; the new rows take the place of the old.",
    ReloadConfig,
    _reload,
)
