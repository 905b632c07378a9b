"""Tells when an outage is over, so that what failed in it is loaded at once.

Files whose runs have failed wait longer each time, up to an hour. A tick that would have them wait
looks whether Spark and the catalog answer. Once a tick has seen that something does not answer, or
a run has failed because of it, the first tick that finds all of it well asks for the runs without
waiting. No clock is read. A run that fails although all is well waits as before, if another one of
its files was asked for at once.
"""

import threading

from autoloader_dagster.errors import (
    AutoloaderError,
    SourceUnavailable,
    SparkUnavailable,
    StateError,
    TableUnavailable,
)
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration.background import Background, Work
from autoloader_dagster.specs.spec_set import LoadedSpec

# With the listing before it, a tick stays within Dagster's minute.
_LOOK_SECONDS = 15.0
# A look costs a session and a question to the catalog. One that takes longer waits for a connection
# that is dead.
_PATIENCE_SECONDS = 300.0

# Errors of a run that has met an outage.
_MET = {
    error.__name__ for error in (SourceUnavailable, SparkUnavailable, StateError, TableUnavailable)
}

# By the unique name of a spec. What is lost when this process ends costs some of the wait, and
# nothing else.
_seen: set[str] = set()
_looks: Background[Work] = Background("look")
_lock = threading.Lock()


def note_outage(loaded: LoadedSpec) -> None:
    """Note that something that this spec needs does not answer now."""
    with _lock:
        _seen.add(loaded.names.unique)


def has_met_outage(error: str) -> bool:
    """Whether a run failed because something that it needs did not answer.

    Args:
        error: The name of the error that ended it.
    """
    return error in _MET


class Outage:
    """What one tick finds out.

    Args:
        ingestion: Whose tick.
        look: Whether Spark and the catalog can be looked at; not where that would start a server.

    Attributes:
        fault: What does not answer, and what to do; empty if all is well or nothing was looked at.
    """

    def __init__(self, ingestion: Ingestion, *, look: bool) -> None:
        self._ingestion = ingestion
        self._look = look
        self._well: bool | None = None
        self._was_seen = False
        self.fault = ""

    def note(self, error: AutoloaderError) -> None:
        """Note what this tick has met."""
        note_outage(self._ingestion.loaded)
        self._well, self.fault = False, str(error)

    def is_over(self, *, met: bool = False) -> bool:
        """Whether there was an outage, and this tick finds all well.

        Args:
            met: Whether a run has met one; else only what earlier ticks have seen counts.
        """
        if self._well is None:
            error = look_now(self._ingestion) if self._look else None
            if error is not None:
                self.note(error)
                return False
            self._well = True
            with _lock:
                self._was_seen = self._ingestion.loaded.names.unique in _seen
                _seen.discard(self._ingestion.loaded.names.unique)
        # Where nothing was looked at, nobody knows that what the run has met is over.
        return self._well and (self._was_seen or (met and self._look))


def look_now(
    ingestion: Ingestion, seconds: float = _LOOK_SECONDS, patience: float = _PATIENCE_SECONDS
) -> AutoloaderError | None:
    """Why the ingestion's table cannot be reached now; None if it can.

    Args:
        ingestion: Whose table.
        seconds: A catalog that does not answer for so long is out of reach.
        patience: A look that an earlier tick began is given up after this, and another one begins.
    """
    unique = ingestion.loaded.names.unique
    with _looks.lock:
        look = _looks.at_work(unique)
        if look is not None and look.made_no_progress_for(patience):
            _looks.give_up(unique)
            look = None
        if look is None and not _looks.is_full(unique):
            look = Work()
            _looks.begin(unique, look, lambda: _look(ingestion))
    if look is None or not look.ended.wait(seconds):
        return TableUnavailable(
            f"the catalog of {ingestion.spec.table.name} does not answer within {seconds:.0f} s",
            "Check the catalog and the Spark server.",
        )
    if look.error is None or isinstance(look.error, AutoloaderError):
        return look.error
    return TableUnavailable(
        f"table {ingestion.spec.table.name} cannot be looked up: {look.error}",
        "Check the catalog and the Spark server.",
    )


def _look(ingestion: Ingestion) -> None:
    with ingestion.connect() as session:
        ingestion.table(session).exists()
