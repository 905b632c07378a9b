"""Keeps a batch's lease alive while it is loaded, and says when it is lost."""

import logging
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.errors import LeaseLost, StateError
from autoloader_dagster.state.store import ProcessedFiles

LEASE = timedelta(seconds=45)

_log = logging.getLogger(__name__)


def new_owner() -> str:
    """A name for one worker, never used again."""
    return f"{socket.gethostname()}/{uuid.uuid4().hex[:12]}"


class Lease:
    """A lease that another thread renews.

    A lease only saves double work. That a batch is published once is the table's doing, so a
    renewal that fails for a while is no reason to stop.
    """

    def __init__(
        self, store: ProcessedFiles, batch_id: BatchId, owner: str, length: timedelta = LEASE
    ) -> None:
        self._store = store
        self._batch_id = batch_id
        self._owner = owner
        self._length = length
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{batch_id}", daemon=True)

    def check(self) -> None:
        """Go on only while the batch is ours.

        Raises:
            LeaseLost: Another worker has taken it over.
        """
        if self._lost.is_set():
            raise taken_over(self._batch_id)

    def _keep(self) -> None:
        while not self._stop.wait(self._length.total_seconds() / 3):
            try:
                if not self._store.claims.renew(self._batch_id, self._owner, self._length):
                    self._lost.set()
                    return
            except StateError as error:
                _log.warning(
                    "the lease of batch %s could not be renewed: %s", self._batch_id, error
                )

    @contextmanager
    def kept(self) -> Iterator["Lease"]:
        """Renew it within."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join(timeout=5)


def taken_over(batch_id: BatchId) -> LeaseLost:
    """The error of a worker whose batch another one has."""
    return LeaseLost(
        f"batch {batch_id} was taken over by another worker",
        "Nothing is lost: that worker loads it. This machine was paused or overloaded.",
    )
