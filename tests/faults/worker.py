"""A worker as a process of its own: discovers and loads ingestions, without Dagster.

``python -m tests.faults.worker`` takes jobs as lines of JSON and answers each with one:

    {"environ": {"AUTOLOADER_HOME": …}, "names": ["orders"], "run": "run-1",
     "over": ["run-0"], "lease": 45, "list": true, "load": true}

A job that was killed has no answer. One process may do many jobs, for importing Spark's client
costs more than a small load.
"""

import json
import os
import sys
import time
import traceback
from datetime import timedelta
from typing import Any

from autoloader_dagster import failpoints
from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.load import load
from autoloader_dagster.processed_files.store import ProcessedFiles
from autoloader_dagster.settings import load_settings
from autoloader_dagster.sources.factory import open_source
from autoloader_dagster.spark.session import connect
from autoloader_dagster.specs.loader import LoadedSpec, SpecSet, load_specs
from autoloader_dagster.specs.model import S3Source


def main() -> None:
    """Do jobs until there are no more."""
    import pyspark.sql.connect.session  # noqa: F401  so that the first job is as fast as the others

    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps({"pid": os.getpid()}), file=answers, flush=True)
    for line in sys.stdin:
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
        print(json.dumps(answer), file=answers, flush=True)


def _do(job: dict[str, Any]) -> list[dict[str, Any]]:
    failpoints.arm("")
    os.environ.update(job["environ"])
    settings = load_settings({**os.environ, **job["environ"]})
    specs = load_specs(settings.specs_dir)
    store = ProcessedFiles(settings.database_url)
    batches: list[dict[str, Any]] = []
    try:
        store.upgrade()
        for name in job["names"]:
            loaded = specs.get(name)
            ingestion = Ingestion(
                loaded=loaded,
                source=open_source(loaded.spec, _connection(specs, loaded)),
                store=store,
                connect=lambda: connect(settings),
                staging_dir=settings.staging_dir,
            )
            if job.get("list", True):
                discover(ingestion)
            if job.get("load", True):
                outcomes = load(
                    ingestion,
                    None,
                    job["run"],
                    over_runs=frozenset(job.get("over", ())),
                    lease=timedelta(seconds=job.get("lease", 45)),
                )
                for outcome in outcomes:
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


def _connection(specs: SpecSet, loaded: LoadedSpec) -> Any:
    source = loaded.spec.source
    if not isinstance(source, S3Source) or source.connection is None:
        return None
    return specs.connections.get(loaded.tenant, source.connection).resolve()


if __name__ == "__main__":
    main()
