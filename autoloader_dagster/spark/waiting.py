"""Says that a job waits because the cluster has no free executor, which Spark itself never tells.

The server reports every two seconds how many tasks of a call are done and how many run. If tasks
are left and none of them runs in any of these reports, they wait.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.session import SparkSession as ConnectSession

_log = logging.getLogger(__name__)

WAITING_SECONDS = 10.0
WHAT_TO_DO = (
    "Start workers or end other applications; the cluster's web page lists both. The job goes on "
    "as soon as an executor is free."
)


class WaitingTasks:
    """Tells when all tasks that are left of a call have waited for some seconds.

    pyspark calls it with each report of the server, from the thread of the call.

    Args:
        tell: Is given one sentence for each time of waiting, from another thread.
        seconds: How long nothing must run before it is told.
    """

    def __init__(self, tell: Callable[[str], None], seconds: float = WAITING_SECONDS) -> None:
        self._tell = tell
        self._seconds = seconds
        self._lock = threading.Lock()
        self._timers: dict[str, threading.Timer] = {}

    def __call__(
        self,
        stages: Iterable[Any] | None,
        inflight_tasks: int,
        operation_id: str | None,
        done: bool,
    ) -> None:
        """Take one report of the server."""
        left = sum(s.num_tasks - s.num_completed_tasks for s in stages or () if not s.done)
        waits = left > 0 and inflight_tasks == 0 and not done
        operation = operation_id or ""
        with self._lock:
            if not waits:
                before = self._timers.pop(operation, None)
                if before is not None:
                    before.cancel()
            elif operation not in self._timers:
                timer = threading.Timer(self._seconds, self._told, [left])
                timer.daemon = True
                self._timers[operation] = timer
                timer.start()

    def _told(self, tasks: int) -> None:
        self._tell(
            f"waiting for executors: {tasks:,} task{'s' if tasks > 1 else ''} of Spark and no free "
            f"executor for {self._seconds:g} s"
        )


def tell_of_waiting_tasks(
    session: "SparkSession", tell: Callable[[str], None], seconds: float = WAITING_SECONDS
) -> WaitingTasks:
    """Have a session's waiting tasks told, and logged with what to do.

    Args:
        session: An open session.
        tell: Is given one sentence for each time of waiting.
        seconds: How long nothing must run before it is told.
    """

    def told(text: str) -> None:
        _log.warning("%s. %s", text, WHAT_TO_DO)
        tell(text)

    handler = WaitingTasks(told, seconds)
    cast("ConnectSession", session).client.register_progress_handler(cast("Any", handler))
    return handler
