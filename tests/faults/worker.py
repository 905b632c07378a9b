"""A worker as a process of its own: discovers and loads ingestions, without Dagster.

``python -m tests.faults.worker SOCKET`` has all that a load imports in memory, and forks a worker
for whoever connects, for importing costs more than a small load. Nothing is open yet when it forks,
neither a thread nor a connection. A worker takes jobs as lines of JSON and answers each with one:

    {"environ": {"AUTOLOADER_HOME": …}, "names": ["orders"], "run": "run-1",
     "over": ["run-0"], "lease": 45, "clock": -86400, "undo": ["/in/a.csv"]}

``clock`` is by how many seconds this worker's clock is off; ``undo`` takes these files out again
instead of loading. A job that was killed has no answer.
"""

import faulthandler
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from datetime import datetime, timedelta, tzinfo
from typing import IO, Any

from autoloader_dagster import failpoints
from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.loading.changes.undo import undo
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.load import load
from autoloader_dagster.settings import load_settings
from autoloader_dagster.sources.registry import copy_store_of, open_source_of
from autoloader_dagster.spark.session import connect
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.state.store import ProcessedFiles


def main() -> None:
    """Fork workers until the process that has started this one is gone."""
    # Not pyspark's Connect client: it loads gRPC, which a fork does not survive.
    import pandas
    import pyarrow
    import pyspark

    _ = pandas, pyarrow, pyspark
    assert "grpc" not in sys.modules
    # A worker's garbage is not among what was imported, and looking there would copy all of it.
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if listener not in ready:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                with connection.makefile("r") as jobs, connection.makefile("w") as answers:
                    _work(jobs, answers)
                os._exit(0)
            connection.close()


def _work(jobs: IO[str], answers: IO[str]) -> None:
    """Do jobs until there are no more."""
    sys.stdout = sys.stderr
    # Whoever waits for an answer in vain asks where it hangs.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    print(json.dumps({"pid": os.getpid()}), file=answers, flush=True)
    for line in jobs:
        job = json.loads(line)
        began = time.monotonic()
        try:
            answer: dict[str, Any] = {"batches": _do(job)}
        except AutoloaderError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        except Exception as error:
            answer = {
                "error": type(error).__name__,
                "message": str(error),
                "unexpected": traceback.format_exc(),
            }
        answer["seconds"] = round(time.monotonic() - began, 3)
        answer["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps(answer), file=answers, flush=True)


def _do(job: dict[str, Any]) -> list[dict[str, Any]]:
    failpoints.arm(job["environ"].get(failpoints.VARIABLE, ""))
    _set_clock(job.get("clock", 0))
    os.environ.update(job["environ"])
    settings = load_settings({**os.environ, **job["environ"]})
    specs = load_specs(settings.specs_dir)
    store = ProcessedFiles(settings.database_url)
    batches: list[dict[str, Any]] = []
    lease = timedelta(seconds=job.get("lease", 45))
    try:
        store.upgrade()
        for name in job["names"]:
            loaded = specs.get(name)
            ingestion = Ingestion(
                loaded=loaded,
                source=open_source_of(loaded, specs.connections),
                store=store,
                connect=lambda: connect(settings),
                staging_dir=settings.staging_dir,
                copy_store=copy_store_of(settings, specs.connections),
            )
            if "undo" in job:
                out = undo(ingestion, job["undo"], run_id=job["run"], lease=lease)
                batches.append({"batch_id": out.batch_id, "snapshot_id": out.snapshot_id})
                continue
            discover(ingestion)
            over = frozenset(job.get("over", ()))
            for outcome in load(ingestion, None, job["run"], ended_runs=over, lease=lease):
                batches.append(
                    {
                        "batch_id": outcome.batch_id,
                        "snapshot_id": outcome.snapshot_id,
                        "files": {file.path: file.status for file in outcome.files},
                        "reasons": {f.path: f.reason for f in outcome.files if f.reason},
                        "rows": outcome.rows,
                    }
                )
    finally:
        store.close()
    return batches


class _IsDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


def _set_clock(seconds: float) -> None:
    """Have every module of the loader read a clock that is off by this much."""

    class Shifted(datetime, metaclass=_IsDatetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # pyright: ignore
            return datetime.now(tz) + timedelta(seconds=seconds)

    for name, module in list(sys.modules.items()):
        if name.startswith("autoloader_dagster.") and hasattr(module, "datetime"):
            module.datetime = Shifted if seconds else datetime  # pyright: ignore


if __name__ == "__main__":
    main()
