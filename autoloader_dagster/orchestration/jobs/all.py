"""Jobs on what is loaded already, for the Launchpad, GraphQL and the command line.

Each takes its choice as typed config. What removes rows only says what it would do, unless it is
told otherwise. What was done is shown on the run as tables, and in the history of the asset.
"""

from collections.abc import Iterable

import dagster as dg

from autoloader_dagster.orchestration.jobs.base import build_job, names_to_choose
from autoloader_dagster.orchestration.jobs.reconcile import RECONCILE
from autoloader_dagster.orchestration.jobs.reload import RELOAD
from autoloader_dagster.orchestration.jobs.status import DISMISS, RETRY
from autoloader_dagster.orchestration.jobs.undo import UNDO
from autoloader_dagster.specs.spec_set import SpecSet

JOBS = (UNDO, RETRY, DISMISS, RELOAD, RECONCILE)


def build_jobs(specs: SpecSet, removed: Iterable[str] = ()) -> list[dg.JobDefinition]:
    """The jobs; one of each serves every spec.

    Args:
        specs: All specs.
        removed: Ingestions that were there when the run of this process was requested.
    """
    names = names_to_choose(specs, removed)
    return [build_job(job, specs, names) for job in JOBS]
