"""What a run that fails tells of its error, and reads of it later: as values, not as one text."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from autoloader_dagster import errors
from autoloader_dagster.spark.errors import known

# Keys of the metadata of a failure. The first is for people.
_ERROR = "error"
_WHAT = "autoloader/what"
_HINT = "autoloader/hint"
_EXIT_CODE = "autoloader/exit_code"

_INTERRUPTED = "it was interrupted, for example by Ctrl-C; what it had claimed waits again"


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why a run failed.

    Attributes:
        what: What failed.
        hint: What to do next; empty if unknown.
        exit_code: Of the command that waited for the run.
        error: Name of the error's class; empty if it was none of ours.
    """

    what: str
    hint: str = ""
    exit_code: int = 1
    error: str = ""

    @property
    def message(self) -> str:
        """Both texts, for people."""
        return errors.in_words(self.what, self.hint)


def failure(
    error: errors.AutoloaderError,
    about: str = "",
    *,
    allow_retries: bool = True,
    metadata: dict[str, Any] | None = None,
) -> dg.Failure:
    """The exception by which a step fails with an error of ours.

    Args:
        error: Why it fails.
        about: Goes before what failed, such as the ingestion.
        allow_retries: Whether Dagster may try the step again.
        metadata: Of the failure, besides that of the error.
    """
    what = f"{about}: {error.what}" if about else error.what
    return dg.Failure(
        description=errors.in_words(what, error.hint),
        metadata={
            _ERROR: type(error).__name__,
            _WHAT: what,
            _HINT: error.hint,
            _EXIT_CODE: errors.exit_code(error),
            **(metadata or {}),
        },
        allow_retries=allow_retries,
    )


@contextmanager
def failing_in_words(about: str = "", metadata: dict[str, Any] | None = None) -> Iterator[None]:
    """Fail the step with the words of an error of ours, or of Spark's, that leaves the block.

    Args:
        about: See ``failure``.
        metadata: See ``failure``.
    """
    try:
        yield
    except Exception as error:
        ours = error if isinstance(error, errors.AutoloaderError) else known(error)
        if ours is None:
            raise
        raise failure(ours, about, metadata=metadata) from error


def is_interruption(class_name: str | None) -> bool:
    """Whether the error of a step is that a signal ended it; Dagster notes it like any other."""
    return class_name == dg.DagsterExecutionInterruptedError.__name__


def failure_in(events: Iterable[dg.DagsterEvent]) -> RunFailure | None:
    """Why a run failed, by the first of its steps that did; None if none did."""
    for event in events:
        data = event.step_failure_data
        if data.user_failure_data is not None:
            known = {key: each.value for key, each in data.user_failure_data.metadata.items()}
            if _WHAT in known:
                return RunFailure(
                    str(known[_WHAT]),
                    str(known[_HINT]),
                    int(str(known[_EXIT_CODE])),
                    str(known.get(_ERROR, "")),
                )
            return RunFailure(data.user_failure_data.description or "it failed")
        if data.error is not None:
            if is_interruption(data.error.cls_name):
                return RunFailure(_INTERRUPTED)
            cause = data.error.cause or data.error
            return RunFailure(cause.message.strip())
    return None
