"""Jobs on what is loaded already, for the Launchpad, GraphQL and the command line.

Each takes its choice as typed config. What removes rows only says what it would do, unless it is
told otherwise. What was done is shown on the run as tables, and in the history of the asset.
"""

from collections.abc import Iterable

import dagster as dg

from autoloader_dagster.orchestration.jobs.base import names_to_choose
from autoloader_dagster.orchestration.jobs.reconcile import reconcile_job
from autoloader_dagster.orchestration.jobs.reload import reload_job
from autoloader_dagster.orchestration.jobs.status import dismiss_job, retry_job
from autoloader_dagster.orchestration.jobs.undo import undo_job
from autoloader_dagster.specs.loader import SpecSet


def build_jobs(
    specs: SpecSet, removed: Iterable[str] = (), mount: str = ""
) -> list[dg.JobDefinition]:
    """The jobs; one of each serves every spec.

    Args:
        specs: All specs.
        removed: Ingestions that were there when the run of this process was requested.
        mount: Name of the mount; empty for the only one of a code location.
    """
    names = names_to_choose(specs, removed)
    makers = (undo_job, retry_job, dismiss_job, reload_job, reconcile_job)
    return [make(specs, names, mount) for make in makers]
