"""Runs one of the ``jobs`` now, in this process, as one run of the Dagster instance."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from autoloader_dagster.loading.progress import Progress
from autoloader_dagster.orchestration.instance import open_instance
from autoloader_dagster.orchestration.jobs.all import build_jobs
from autoloader_dagster.orchestration.jobs.base import op_name
from autoloader_dagster.orchestration.resources import default_resources
from autoloader_dagster.orchestration.runs.failures import RunFailure
from autoloader_dagster.orchestration.runs.in_process import (
    execute_here,
    failure_of,
    progress_logger,
)
from autoloader_dagster.orchestration.runs.tags import tags_of
from autoloader_dagster.specs.spec_set import SpecSet


@dataclass(frozen=True, slots=True)
class JobReport:
    """What a job came to.

    Attributes:
        run_id: Dagster's run.
        value: What the job's op returned; None if it failed.
        failure: Why it failed.
    """

    run_id: str
    value: Any
    failure: RunFailure | None = None


def run_job_now(specs: SpecSet, name: str, config: dict[str, Any], progress: Progress) -> JobReport:
    """Run a job; ``DAGSTER_HOME`` must be set, see ``orchestration.home``.

    Args:
        specs: All specs.
        name: The job's name.
        config: Of its op; it names the ingestion.
        progress: Told what is being done.
    """
    definitions = dg.Definitions(
        jobs=build_jobs(specs), resources=default_resources(), loggers=progress_logger(progress)
    )
    with open_instance() as instance:
        result = execute_here(
            definitions.resolve_job_def(name),
            instance,
            tags_of(specs.get(config["ingestion"]).ingestion_id),
            ops={op_name(name): {"config": config}},
        )
        if not result.success:
            return JobReport(result.run_id, None, failure_of(result))
        return JobReport(result.run_id, result.output_for_node(op_name(name)))
