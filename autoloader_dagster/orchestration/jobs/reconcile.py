"""The job that compares source, state and table, and mends the state, for all ways to start it."""

from collections.abc import Collection
from typing import Any

import dagster as dg
from pydantic import Field

from autoloader_dagster.loading.recovery.reconcile import reconcile
from autoloader_dagster.orchestration.assets import asset_key
from autoloader_dagster.orchestration.jobs import metadata as job_metadata
from autoloader_dagster.orchestration.jobs.base import (
    RETURNED,
    config_fields,
    config_of,
    job_of,
    log_events,
    op_name,
    opened,
)
from autoloader_dagster.orchestration.pages import Pages
from autoloader_dagster.orchestration.resources import ProcessedFilesResource, SparkConnectResource
from autoloader_dagster.orchestration.runs.tags import ended_runs
from autoloader_dagster.specs.dagster_names import mounted
from autoloader_dagster.specs.loader import SpecSet

RECONCILE_JOB = "autoloader_reconcile"


class ReconcileConfig(dg.Config):
    """Which ingestion to compare."""

    ingestion: str = Field(description="Name of the spec, or tenant/name.")
    apply: bool = Field(
        default=False,
        description="Mend the state by what the table holds: record what it has rows of, let wait "
        "again what it has none of. No row is removed.",
    )


def reconcile_job(specs: SpecSet, ingestions: Collection[str], mount: str) -> dg.JobDefinition:
    """The job; its Launchpad offers these ingestions."""
    name = mounted(RECONCILE_JOB, mount)
    fields = config_fields(ReconcileConfig, ingestions)

    @dg.op(name=op_name(name), out=RETURNED, config_schema=fields)
    def reconcile_op(
        context: dg.OpExecutionContext,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ) -> Any:
        config = config_of(context, ReconcileConfig)
        with opened(specs, config.ingestion, spark_connect, processed_files) as ingestion:
            pages = Pages(context.instance, ingestion, asset_key(ingestion.loaded))
            over = ended_runs(context.instance, ingestion.store.batches.open_run_ids())
            found = reconcile(ingestion, config.apply, over)
            context.log.info(
                "%s: %d files listed, %d in the table; %s",
                ingestion.id,
                found.listed,
                found.files_in_table,
                "they agree" if found.agrees else "they do not agree, see the metadata",
            )
            # Also without 'apply' it settles batches of runs that died.
            log_events(context, pages.all_settled())
            context.add_output_metadata(job_metadata.of_reconciliation(found, ingestion.spec.name))
            return found

    return job_of(
        name,
        reconcile_op,
        "Compares source, state and table; with apply it mends the state.",
    )
