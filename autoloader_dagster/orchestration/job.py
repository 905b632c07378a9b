"""What the jobs have in common: how files are chosen, and how a job is made of its one op."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration.resources import (
    IN_MEMORY,
    ProcessedFilesResource,
    SparkConnectResource,
    open_ingestion,
)
from autoloader_dagster.orchestration.runs import INGESTION_TAG
from autoloader_dagster.specs.loader import SpecSet

# What an op returns is for the command line, which has it in memory; Dagster need not keep it.
RETURNED = dg.Out(io_manager_key=IN_MEMORY)

DRY_RUN = "Only say what would be done, and change nothing."
_FILES = (
    "The files: names below the source, full addresses, their last part or parts as 2026/a.csv, or "
    "patterns with * and ?. A file of exactly this name comes before a pattern."
)


class ChosenFiles(dg.Config):
    """Files of an ingestion."""

    ingestion: str = Field(description="Name of the spec, or tenant/name.")
    files: list[str] = Field(default=[], description=_FILES)


def op_name(job_name: str) -> str:
    """Under which a job's config stands; Dagster wants it to differ from the job's own name."""
    return f"{job_name}_op"


def job_of(name: str, op: dg.OpDefinition, description: str) -> dg.JobDefinition:
    """A job of one op."""

    @dg.job(name=name, description=description)
    def job() -> None:
        op()

    return job


@contextmanager
def opened(
    specs: SpecSet,
    name: str,
    spark_connect: SparkConnectResource,
    processed_files: ProcessedFilesResource,
) -> Iterator[Ingestion]:
    """The ingestion of a name; an error of ours fails the run with its own words."""
    try:
        loaded = specs.get(name)
        ingestion = open_ingestion(loaded, specs.connections, spark_connect, processed_files)
        try:
            yield ingestion
        finally:
            ingestion.store.close()
    except AutoloaderError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"error": type(error).__name__, INGESTION_TAG: name},
        ) from error
