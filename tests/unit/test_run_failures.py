"""A failed run tells the command that waits for it why it failed, whatever the texts look like."""

import dagster as dg
import pytest

from autoloader_dagster.cli.run import raise_failure
from autoloader_dagster.errors import AutoloaderError, RunFailed, SpecError, StateError, exit_code
from autoloader_dagster.orchestration.runs.failures import failure
from autoloader_dagster.orchestration.runs.in_process import failure_of
from autoloader_dagster.orchestration.runs.run_job import JobReport


class _OfAPlugin(StateError):
    """An error of a class that autoloader_dagster.errors does not have."""


def _raised(error: Exception) -> RunFailed:
    @dg.op
    def fails() -> None:
        raise failure(error, "acme/orders") if isinstance(error, AutoloaderError) else error

    @dg.job
    def job() -> None:
        fails()

    result = job.execute_in_process(raise_on_error=False)
    with pytest.raises(RunFailed) as caught:
        raise_failure(JobReport("run-1", None, failure_of(result)))
    return caught.value


@pytest.mark.parametrize(("kind", "code"), [(_OfAPlugin, 2), (SpecError, 1)])
def test_an_error_keeps_its_texts_and_its_exit_code(kind: type[AutoloaderError], code: int) -> None:
    raised = _raised(kind("it says\n  -> this", "do\n  -> that"))

    assert (raised.what, raised.hint) == ("acme/orders: it says\n  -> this", "do\n  -> that")
    assert exit_code(raised) == code


def test_an_error_of_another_package_points_to_the_run() -> None:
    raised = _raised(ValueError("boom"))

    assert raised.what == "ValueError: boom"
    assert "See the run run-1" in raised.hint
    assert exit_code(raised) == 1
