"""Executes a job in this process, as a run of the Dagster instance like any other.

The run is watched from its first moment, shows its progress, and a signal ends it in order.
"""

import logging
import signal
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import dagster as dg

from autoloader_dagster.loading.progress import Progress
from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.orchestration.runs.failures import RunFailure, failure_in, is_interruption
from autoloader_dagster.orchestration.runs.lost import Ours, fail_lost_runs
from autoloader_dagster.settings import load_settings

_PROGRESS = "progress"


def execute_here(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    tags: Mapping[str, str],
    *,
    asset_selection: Sequence[dg.AssetKey] | None = None,
    ops: Mapping[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """Execute a job whose definitions have the ``progress_logger``.

    Args:
        job: What to execute.
        instance: Where the run is recorded.
        tags: Of the run.
        asset_selection: Only these assets; default all of the job.
        ops: Configuration by the op's name.

    Raises:
        KeyboardInterrupt: A signal ended the run. Its batch was given back, or is in the table.
    """
    settings, run_id = load_settings(), str(uuid.uuid4())
    # A run that was killed would keep the table's pool slot, and this one would wait for it.
    fail_lost_runs(instance, settings, Ours())
    # Before Dagster knows of the run, so that it is watched from its first moment.
    run_locks.hold(settings, run_id)
    try:
        with _ctrl_c_for_this_process_alone(instance):
            result = job.execute_in_process(
                instance=instance,
                run_id=run_id,
                asset_selection=asset_selection,
                tags=tags,
                raise_on_error=False,
                # Instead of Dagster's own console log.
                run_config={"loggers": {_PROGRESS: {}}, "ops": dict(ops or {})},
            )
    finally:
        run_locks.let_go(run_id)
    run_locks.clear(settings, [run_id])
    if _was_interrupted(result):
        raise KeyboardInterrupt
    return result


@contextmanager
def _ctrl_c_for_this_process_alone(instance: dg.DagsterInstance) -> Iterator[None]:
    """Keep Ctrl-C from the processes by which Dagster passes on what a run prints.

    A terminal sends it to them as well. They end with the run, and before that with a traceback.
    """
    manager = instance.compute_log_manager
    capture_logs = manager.capture_logs

    @contextmanager
    def started_with_ctrl_c_blocked(log_key: Sequence[str]) -> Iterator[Any]:
        with ExitStack() as stack:
            # A process that is started inherits this. For ours it only comes a moment later.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                context = stack.enter_context(capture_logs(log_key))
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield context

    manager.capture_logs = started_with_ctrl_c_blocked
    try:
        yield
    finally:
        manager.capture_logs = capture_logs


def progress_logger(progress: Progress) -> dict[str, dg.LoggerDefinition]:
    """Passes on what the asset itself says, and nothing of Dagster's own events."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said = getattr(record, "dagster_meta", {})
            if not said.get("dagster_event") and record.levelno < logging.WARNING:
                progress(str(said.get("orig_message", "")))

    @dg.logger
    def to_tell(init_context: dg.InitLoggerContext) -> logging.Logger:
        # Not a registered one, which would keep its handler for the next run.
        logger = logging.Logger("autoloader.progress", logging.DEBUG)  # noqa: LOG001
        logger.addHandler(Handler())
        return logger

    return {_PROGRESS: to_tell}


def _was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a signal ended the run."""
    errors = [event.step_failure_data.error for event in result.get_step_failure_events()]
    return any(error is not None and is_interruption(error.cls_name) for error in errors)


def failure_of(result: dg.ExecuteInProcessResult) -> RunFailure:
    """Why a run failed that did."""
    failure = failure_in(result.get_step_failure_events())
    if failure is not None:
        return failure
    event = result.get_run_failure_event()
    return RunFailure(event.message or "the run failed")
