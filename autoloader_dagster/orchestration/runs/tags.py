"""What Dagster knows of runs, as the loader wants to know it."""

from collections.abc import Iterable
from datetime import datetime, timezone

import dagster as dg

from autoloader_dagster.orchestration.runs.failures import RunFailure, failure_in
from autoloader_dagster.specs.dagster_names import DEFAULT_TENANT

# Dagster's own: the partitions that a run is asked for.
PARTITION = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
# People filter runs by this one.
INGESTION_TAG = "autoloader/ingestion"
# Operators limit the runs of a tenant by this one.
TENANT_TAG = "autoloader/tenant"
# The others are only for the loader; Dagster shows no tag that begins like this.
_HIDDEN = ".dagster/autoloader_"
PENDING_TAG = f"{_HIDDEN}pending"
# Of the same runs: what names the ingestion in Dagster. Another mount may have its name too.
PENDING_OF_TAG = f"{_HIDDEN}pending_of"
LISTED_TAG = f"{_HIDDEN}listed"
# Of a run that lists because a tick has no time for it.
LISTS_TAG = f"{_HIDDEN}lists"
# Of a run whose worker could take no lock, or that has a process for each step. Its value is the
# run's id, because a run that Dagster starts again has the tags of the one before.
UNWATCHED_TAG = f"{_HIDDEN}unwatched"
# Of a run that was asked for without waiting, because an outage is over.
AT_ONCE_TAG = f"{_HIDDEN}at_once"


_ENDED = {
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
}


def tags_of(ingestion_id: str) -> dict[str, str]:
    """The tags of each run on an ingestion that the loader itself starts or asks for.

    Runs of the operator's own specs, at the root, have no tenant.
    """
    tenant = ingestion_id.partition("/")[0]
    owner = {} if tenant == DEFAULT_TENANT else {TENANT_TAG: tenant}
    return {INGESTION_TAG: ingestion_id} | owner


def run_statuses(
    instance: dg.DagsterInstance, run_ids: Iterable[str]
) -> dict[str, dg.DagsterRunStatus]:
    """The status of each of these runs that Dagster knows."""
    asked = list(run_ids)
    if not asked:
        return {}
    return {run.run_id: run.status for run in instance.get_runs(dg.RunsFilter(run_ids=asked))}


def has_failed(status: dg.DagsterRunStatus) -> bool:
    """Whether a run ended badly, so that it may have told only of a part of what it loaded."""
    return status in _ENDED - {dg.DagsterRunStatus.SUCCESS}


def ended_runs(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> set[str]:
    """Which of these runs have ended, so that nobody works on their batches any more."""
    return {run for run, status in run_statuses(instance, run_ids).items() if status in _ENDED}


def has_step_processes(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the executor of a run has begun to start a process for each step."""
    started = dg.DagsterEventType.STEP_WORKER_STARTING
    return bool(instance.get_records_for_run(run_id, of_type=started, limit=1).records)


def failed_runs(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> set[str]:
    """Which of these runs ended badly."""
    return {run for run, status in run_statuses(instance, run_ids).items() if has_failed(status)}


def failed_tries(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[str]:
    """The runs that this run tries again, the first one and the one before it, if all failed.

    A run that is started again after it had succeeded is to do its work once more.
    """
    earlier = {run_id for run_id in (run.root_run_id, run.parent_run_id) if run_id}
    return earlier if failed_runs(instance, earlier) == earlier else set()


def runs_for_pending(instance: dg.DagsterInstance, digest: str) -> list[dg.RunRecord]:
    """The runs that were asked for to load exactly this pending set, newest first.

    The digest is of one ingestion of one asset.
    """
    return list(instance.get_run_records(dg.RunsFilter(tags={PENDING_TAG: digest}), limit=20))


def has_ended(record: dg.RunRecord) -> bool:
    """Whether the run is over, well or badly."""
    return record.dagster_run.status in _ENDED


# When this process first saw that a run had ended whose end is in the future, by run.
_seen: dict[str, datetime] = {}


def ended_at(record: dg.RunRecord, now: datetime) -> datetime:
    """When a run ended, at the latest when this process first saw that it had.

    Dagster has the time of the run's machine, whose clock may be ahead.
    """
    ended = datetime.fromtimestamp(record.end_time or 0, timezone.utc)
    run_id = record.dagster_run.run_id
    if ended > now:
        return _seen.setdefault(run_id, now)
    # Its end may have been in the future before.
    return _seen.get(run_id, ended)


def run_failure(instance: dg.DagsterInstance, run_id: str) -> RunFailure | None:
    """Why an earlier run failed; None if it did not, or its process ended without a word."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return failure_in(entry.dagster_event for entry in entries if entry.dagster_event)


def last_failure(
    instance: dg.DagsterInstance, ingestion_id: str, asset: dg.AssetKey | None
) -> tuple[str, RunFailure] | None:
    """The last run of an ingestion and why it failed; None if it did not, or there is none.

    Args:
        instance: Where the runs are.
        ingestion_id: ``tenant/name``.
        asset: The ingestion's asset; None if its spec is gone.
    """
    newest = _newest_run(instance, ingestion_id, asset)
    if newest is None or newest.status != dg.DagsterRunStatus.FAILURE:
        return None
    failure = run_failure(instance, newest.run_id)
    return newest.run_id, failure or RunFailure("its process ended without a message")


def _newest_run(
    instance: dg.DagsterInstance, ingestion_id: str, asset: dg.AssetKey | None
) -> dg.DagsterRun | None:
    """The newest run of an ingestion, whatever started it.

    Only runs of the sensor, the schedule and the command line have the tag, also those of another
    deployment with a spec of this name. Each run of the asset announces what it is to load.
    """
    tagged = instance.get_run_records(dg.RunsFilter(tags={INGESTION_TAG: ingestion_id}), limit=20)
    found = [record for record in tagged if _may_load(record.dagster_run, asset)][:1]
    if asset is not None:
        planned = instance.get_latest_planned_materialization_info(asset)
        if planned is not None:
            found += instance.get_run_records(dg.RunsFilter(run_ids=[planned.run_id]))
    newest = max(found, key=lambda record: record.storage_id, default=None)
    return newest.dagster_run if newest is not None else None


def _may_load(run: dg.DagsterRun, asset: dg.AssetKey | None) -> bool:
    """Whether a run loads the asset, or does not say what it loads."""
    return asset is None or not run.asset_selection or asset in run.asset_selection
