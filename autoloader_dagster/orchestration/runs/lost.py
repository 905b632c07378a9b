"""A sensor that fails runs whose worker is gone, so that Dagster's own retries take them up.

It fails runs too that were made and never queued, and wakes those that wait for a free table.

See ``run_locks`` for how a dead worker is told from a living one. A run that another machine has
taken, or may have, is left to that machine's daemon or to Dagster.
"""

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import dagster as dg

from autoloader_dagster.counts import counted
from autoloader_dagster.orchestration.runs import locks as run_locks
from autoloader_dagster.orchestration.runs.tags import UNWATCHED_TAG, has_ended
from autoloader_dagster.orchestration.runs.turns import pass_on_turns
from autoloader_dagster.settings import Settings, load_settings
from autoloader_dagster.specs.dagster_names import Mount

SENSOR_NAME = "autoloader_lost_runs"

_EVERY_SECONDS = 10
_IN_PROCESS = dg.in_process_executor.name
# A worker takes its lock within a second of its first event. One that was surely started on this
# machine and has no lock after this long died before.
_LOCK_WITHIN_SECONDS = 60
# Between making a run and queueing it lie two statements. One that was not queued after this long
# was left behind by a daemon or web server that died between them. A tick that is evaluated again
# sees it under way and asks for no other, so it is never queued, and what it was for never loaded.
_QUEUED_WITHIN_SECONDS = 300
# The class of a code location whose server the daemon starts; Dagster does not publish it.
_BESIDE_THE_DAEMON = "ManagedGrpcPythonEnvCodeLocationOrigin"
_UNDER_WAY = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the runs found.

    Attributes:
        lost: Runs that were failed now, for their workers are gone or never were.
        alive: Other runs of this home that are under way.
    """

    lost: tuple[str, ...]
    alive: int


@dataclass(frozen=True, slots=True)
class Ours:
    """What makes a run one of ours; a run of others' assets is no concern of ours.

    Attributes:
        asset_keys: Our assets.
        job_names: Our jobs.
        repository: Of a project whose executor may start a process for each step. The worker of
            such a run holds no lock.
    """

    asset_keys: frozenset[dg.AssetKey] = frozenset()
    job_names: frozenset[str] = frozenset()
    repository: dg.RepositoryDefinition | None = None

    def takes_lock(self, run: dg.DagsterRun) -> bool:
        """Whether the worker of a run holds its lock from its first second to its end."""
        if self.repository is None:
            return True
        if not self.repository.has_job(run.job_name):
            return False
        return self.repository.get_job(run.job_name).executor_def.name == _IN_PROCESS

    def __contains__(self, run: object) -> bool:
        return isinstance(run, dg.DagsterRun) and (
            run.job_name in self.job_names
            or any(key in self.asset_keys for key in run.asset_selection or ())
        )


def build_lost_runs_sensor(
    asset_keys: Iterable[dg.AssetKey],
    job_names: Iterable[str],
    pools: Collection[str],
    mount: Mount,
) -> dg.SensorDefinition:
    """The sensor of a mount for the runs of these; on unless somebody stops it."""
    ours = Ours(frozenset(asset_keys), frozenset(job_names))

    @dg.sensor(
        name=mount.named(SENSOR_NAME),
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails runs whose worker process is gone, so that they are retried, and wakes "
        "runs that wait for a table which no run has.",
    )
    def lost_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        here = replace(ours, repository=context.repository_def)
        looked = fail_lost_runs(context.instance, load_settings(), here)
        for run_id in looked.lost:
            context.log.warning("run %s is failed, because it has no worker", run_id)
        done = f"failed {', '.join(looked.lost)}, which have no worker; " if looked.lost else ""
        woken = pass_on_turns(context.instance, pools)
        if woken:
            done += f"woke {', '.join(woken)}, which waited for a table that no run had; "
        return dg.SkipReason(f"{done}{counted(looked.alive, 'run is', 'runs are')} alive")

    return lost_runs


def fail_lost_runs(
    instance: dg.DagsterInstance, settings: Settings, ours: Ours, now: float | None = None
) -> Looked:
    """Fail every run whose worker is gone, and remove the locks of those that have ended.

    Args:
        instance: Where the runs are.
        settings: Where the locks are.
        ours: Runs that take a lock.
        now: Seconds since the epoch; the clock by default.
    """
    moment = time.time() if now is None else now
    not_ended = [dg.DagsterRunStatus.NOT_STARTED, *_UNDER_WAY]
    records = instance.get_run_records(dg.RunsFilter(statuses=not_ended))
    under_way = {record.dagster_run.run_id for record in records}
    # Where nothing can be locked, a run without a lock says nothing of its worker.
    locks_here = run_locks.can_lock(settings) and _starts_runs_here(instance)
    lost: list[str] = []
    alive = 0
    for record in records:
        run_id = record.dagster_run.run_id
        if record.dagster_run.status == dg.DagsterRunStatus.NOT_STARTED:
            if _was_never_queued(record, ours, moment) and _give_up(instance, run_id):
                lost.append(run_id)
            continue
        gone = run_locks.worker_is_gone(settings, run_id)
        if gone is None and locks_here and not run_locks.is_elsewhere(settings, run_id):
            gone = _never_locked(record, ours, moment)
        if not gone:
            alive += gone is False
            continue
        # Read again, now that the worker can add nothing any more: it may have ended well.
        current = instance.get_run_by_id(run_id)
        if current is not None and current.status in _UNDER_WAY:
            _end(instance, current)
            lost.append(run_id)
    run_locks.clear(settings, [*lost, *_ended(instance, settings, under_way)])
    return Looked(tuple(lost), alive)


def _starts_runs_here(instance: dg.DagsterInstance) -> bool:
    """Whether runs are processes of the code servers that the daemon starts beside itself.

    This sensor runs in one of them, so they are on this machine. Other launchers, and a web server
    that launches runs itself, may start them anywhere.
    """
    return isinstance(instance.run_launcher, dg.DefaultRunLauncher) and isinstance(
        instance.run_coordinator, dg.QueuedRunCoordinator
    )


def _never_locked(record: dg.RunRecord, ours: Ours, now: float) -> bool | None:
    """Whether a run without a lock died in its first second; None if that cannot be told.

    Only of one whose code server the daemon starts itself, because that is on this machine; not of
    one that is still STARTING, which ``start_timeout_seconds`` of Dagster's run monitoring ends;
    and not of one whose worker could take no lock.
    """
    run = record.dagster_run
    if run.remote_job_origin is None or record.start_time is None or run not in ours:
        return None
    if not ours.takes_lock(run):
        return None
    if run.tags.get(UNWATCHED_TAG) == run.run_id:
        return None
    location = run.remote_job_origin.repository_origin.code_location_origin
    if type(location).__name__ != _BESIDE_THE_DAEMON:
        return None
    return now - record.start_time > _LOCK_WITHIN_SECONDS


def _was_never_queued(record: dg.RunRecord, ours: Ours, now: float) -> bool:
    """Whether whoever made this run died before queueing it; a command makes and runs its own."""
    run = record.dagster_run
    if run.remote_job_origin is None or run not in ours:
        return False
    return now - record.create_timestamp.timestamp() > _QUEUED_WITHIN_SECONDS


def _give_up(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    if run is None or run.status != dg.DagsterRunStatus.NOT_STARTED:
        return False
    instance.report_run_failed(
        run,
        "The run was never queued: what asked for it was killed before it could. Nothing was "
        "claimed; the next tick asks for a run again.",
    )
    return True


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "The run's worker is gone; it was being terminated.")
    else:
        instance.report_run_failed(
            run,
            "The run's worker process is gone, and its code server did not say so: it was killed "
            "together with it, or had none. What it had claimed is settled by the next run.",
        )
    # Dagster's daemon would do so some time later, and without a daemon nobody would.
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _ended(
    instance: dg.DagsterInstance, settings: Settings, under_way: Collection[str]
) -> Iterator[str]:
    """Runs with a lock file that have ended and whose worker is gone too."""
    left = [run_id for run_id in run_locks.locked_runs(settings) if run_id not in under_way]
    if not left:
        return
    known = {
        record.dagster_run.run_id: record
        for record in instance.get_run_records(dg.RunsFilter(run_ids=left))
    }
    for run_id in left:
        # One that Dagster does not know may belong to another instance, or begin just now.
        if run_id in known and has_ended(known[run_id]):
            yield run_id
