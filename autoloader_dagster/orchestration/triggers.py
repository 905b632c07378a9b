"""Sensors and schedules: they only plan. The runs that they ask for do the work."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import dagster as dg

from autoloader_dagster.counts import counted
from autoloader_dagster.errors import AutoloaderError, StateError
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.recovery.moved_table import moved_in_state
from autoloader_dagster.loading.recovery.ownership import how_to_adopt, owner_in_state, why_owned
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.assets import asset_key, source_key
from autoloader_dagster.orchestration.listing import (
    TICK_SECONDS,
    ListingTooLong,
    list_within,
    listing_run,
    why_not_to_list,
)
from autoloader_dagster.orchestration.outages import Outage, note_outage
from autoloader_dagster.orchestration.pages import AssetEvent, report, tick_events
from autoloader_dagster.orchestration.planning import (
    Planned,
    counts_in_words,
    plan_pending,
    run_requests,
)
from autoloader_dagster.orchestration.removed import trigger_named
from autoloader_dagster.orchestration.resources import (
    open_ingestion,
    resource_keys,
    resources_of,
)
from autoloader_dagster.redaction import strike, struck_errors
from autoloader_dagster.sources.steady import PATIENCE_SECONDS
from autoloader_dagster.specs.connections import Connections
from autoloader_dagster.specs.spec_set import LoadedSpec
from autoloader_dagster.state.records import Discovery


def trigger_name(loaded: LoadedSpec, kind: str) -> str:
    """``covid_daily_on_arrival``; with the tenant in front, unless it is the default one.

    The name of the mount is at the end.
    """
    return trigger_named(loaded.mount, loaded.names.trigger, kind)


@dataclass(frozen=True, slots=True)
class Tick:
    """What a tick asks for.

    Attributes:
        planned: What waits.
        requests: The runs; none if there is nothing to ask for.
        reason: Why what waits is not asked for, in words.
        error: What kept the source from being listed, while known files could be asked for.
        events: What the pages of the asset are owed; see ``pages``.
    """

    planned: Planned
    requests: list[dg.RunRequest]
    reason: str = ""
    error: AutoloaderError | None = None
    events: Sequence[AssetEvent] = ()


def plan_tick(
    ingestion: Ingestion,
    instance: dg.DagsterInstance,
    *,
    sensor: bool,
    seconds: float = TICK_SECONDS,
    patience: float = PATIENCE_SECONDS,
    look: bool = True,
) -> Tick:
    """List the source in the time of a tick, and ask for runs for all that waits.

    If the time is too short, a run lists the source; for a sensor, a listing that waits for the
    source goes on until a later tick. What waits already is asked for in any case.

    Args:
        ingestion: What to look at.
        instance: Where the runs are.
        sensor: Whether another tick comes soon.
        seconds: The time for the listing.
        patience: How long a listing that goes on after its tick may make no progress.
        look: Whether to look if Spark answers before files have to wait whose runs have failed.

    Raises:
        AutoloaderError: The source could not be listed, and there is nothing else to ask for.
    """
    discovery: Discovery | None = None
    error: AutoloaderError | None = None
    further: list[dg.RunRequest] = []
    outage = Outage(ingestion, look=look)
    pause = why_not_to_list(instance, ingestion.loaded.names.unique, pause=sensor)
    note = pause
    if pause is None:
        try:
            discovery = list_within(ingestion, seconds, finish=sensor, patience=patience)
        except ListingTooLong as too_long:
            note = (
                f"{counted(too_long.listed, 'file is', 'files are')} listed so far, and the "
                "listing goes on"
            )
            if not too_long.goes_on or not sensor:
                further.append(listing_run(instance, ingestion))
        except AutoloaderError as failed:
            error = failed
            outage.note(failed)
    planned = plan_pending(ingestion, instance, discovery)
    requests, waiting = run_requests(ingestion, instance, planned.plans, outage=outage)
    requests += further
    if error is not None and not requests:
        raise error
    # What is asked for does not tell why the source was not listed.
    reasons = [pause] if pause else []
    if not requests:
        reasons = [note or f"nothing new: {counts_in_words(planned)}"]
    reason = "; ".join([*reasons, *waiting])
    events = tick_events(instance, ingestion, asset_key(ingestion.loaded))
    return Tick(planned, requests, reason, error, events)


def _plan(
    loaded: LoadedSpec,
    connections: Connections,
    context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext,
) -> Tick | str:
    """What a tick asks for; in words why it does not even look."""
    # A person's start outlives the spec's change to paused, so it is checked here too.
    if loaded.spec.status != "active":
        return f"the spec's status is {loaded.spec.status}"
    try:
        resources = resources_of(context.resources, loaded.mount)
        ingestion = open_ingestion(loaded, connections, resources)
        # Each tick has a store of its own, whose connections must not wait for the garbage
        # collector.
        with closing(ingestion.store):
            owner = owner_in_state(ingestion)
            if owner is not None:
                return f"{why_owned(ingestion, owner)}. {how_to_adopt(ingestion, owner)}"
            moved = moved_in_state(ingestion)
            if moved is not None:
                return str(moved)
            sensor = isinstance(context, dg.SensorEvaluationContext)
            look = resources.spark_connect.is_running()
            tick = plan_tick(ingestion, context.instance, sensor=sensor, look=look)
    except StateError:
        note_outage(loaded)
        raise
    if tick.error is not None:
        context.log.error("the source was not listed: %s", strike(str(tick.error)))
    if tick.requests and tick.reason:
        # A tick that asks for runs shows no reason.
        context.log.info("%s", strike(tick.reason))
    return tick


def build_sensor(loaded: LoadedSpec, connections: Connections) -> dg.SensorDefinition | None:
    """The sensor of a spec with ``trigger.on_arrival``."""
    on_arrival = loaded.spec.trigger.on_arrival
    if on_arrival is None:
        return None

    @dg.sensor(
        name=trigger_name(loaded, "on_arrival"),
        target=dg.AssetSelection.assets(asset_key(loaded)),
        minimum_interval_seconds=int(on_arrival.every.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING
        if loaded.spec.status == "active"
        else dg.DefaultSensorStatus.STOPPED,
        description=f"Looks for new files below {loaded.spec.source.url}.",
        required_resource_keys=resource_keys(loaded.mount),
    )
    def on_arrival_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with struck_errors():
            tick = _plan(loaded, connections, context)
        if isinstance(tick, str):
            return dg.SensorResult(skip_reason=strike(tick))
        if not tick.requests:
            return dg.SensorResult(skip_reason=strike(tick.reason), asset_events=tick.events)
        planned = tick.planned
        return dg.SensorResult(
            run_requests=tick.requests,
            asset_events=[
                *tick.events,
                dg.AssetObservation(
                    asset_key=source_key(loaded),
                    metadata={
                        keys.FILES_WAITING: planned.files,
                        keys.BYTES_WAITING: planned.bytes,
                    },
                ),
            ],
        )

    return on_arrival_sensor


def build_schedule(loaded: LoadedSpec, connections: Connections) -> dg.ScheduleDefinition | None:
    """The schedule of a spec with ``trigger.schedule``."""
    trigger = loaded.spec.trigger
    if trigger.cron is None:
        return None

    @dg.schedule(
        name=trigger_name(loaded, "schedule"),
        target=dg.AssetSelection.assets(asset_key(loaded)),
        cron_schedule=trigger.cron,
        execution_timezone=trigger.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING
        if loaded.spec.status == "active"
        else dg.DefaultScheduleStatus.STOPPED,
        description=f"Loads what is new below {loaded.spec.source.url}.",
        required_resource_keys=resource_keys(loaded.mount),
    )
    def cron_schedule(context: dg.ScheduleEvaluationContext):
        with struck_errors():
            tick = _plan(loaded, connections, context)
        if isinstance(tick, str):
            return dg.SkipReason(strike(tick))
        report(context.instance, tick.events)
        return tick.requests or dg.SkipReason(strike(tick.reason))

    return cron_schedule
