"""Opens the Dagster instance, also where several processes do so first at once."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg

from autoloader_dagster.errors import SparkSetupError
from autoloader_dagster.spark.server.locks import file_lock

_LOCK_NAME = "opening.lock"
_LOCK_SECONDS = 60


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """Open the instance of ``DAGSTER_HOME``; one process after the other.

    Dagster creates its SQLite files when it is first opened. Of two processes that do so at once,
    one would fail because the other has made a table before it.
    """
    with ExitStack() as opening:
        # Without a lock it is as Dagster has it: a home that cannot be written or locked, or a
        # process that was stopped in the middle of this.
        try:
            path = Path(os.environ["DAGSTER_HOME"]) / _LOCK_NAME
            opening.enter_context(file_lock(path, timeout=_LOCK_SECONDS))
        except (OSError, KeyError, SparkSetupError):
            pass
        instance = dg.DagsterInstance.get()
    with instance:
        yield instance
