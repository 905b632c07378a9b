"""The resource that watches over a run: it shows that its worker lives, and gets it its turn."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import dagster as dg

from autoloader_dagster.loading.progress import Progress, no_progress
from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.orchestration.runs.tags import UNWATCHED_TAG, has_step_processes
from autoloader_dagster.orchestration.runs.turns import turns_passed_on
from autoloader_dagster.settings import load_settings


@contextmanager
def watched(
    instance: dg.DagsterInstance, run: dg.DagsterRun, say: Progress = no_progress
) -> Iterator[None]:
    """Watch over a run from before its first step waits for its turn until its end.

    Args:
        instance: Where the run is recorded.
        run: The run of this process.
        say: Told which other run it waits for.
    """
    _show_that_it_lives(instance, run.run_id)
    concurrency = run.run_op_concurrency
    pools = concurrency.all_pools if concurrency else None
    with turns_passed_on(instance, run.run_id, pools, say) if pools else nullcontext():
        yield


@dg.resource(
    description="Shows that the run's worker lives, and that the run gets its turn at a table.",
    config_schema={},
)
def run_watch(context: dg.InitResourceContext) -> Iterator[None]:
    """Each run of the loader requires it; outside a run it does nothing."""
    if context.run is None or context.instance is None:
        yield
        return
    say = context.log.info if context.log is not None else no_progress
    with watched(context.instance, context.run, say):
        yield


def _show_that_it_lives(instance: dg.DagsterInstance, run_id: str) -> None:
    # The process of a step ends before its run does, whose other steps go on.
    if has_step_processes(instance, run_id) or not run_locks.hold(load_settings(), run_id):
        # Without a lock it looks like a run that died in its first second.
        instance.add_run_tags(run_id, {UNWATCHED_TAG: run_id})
