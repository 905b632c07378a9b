"""Sensors and schedules: they only plan. The runs that they ask for do the work."""

import dagster as dg

from autoloader_dagster.loading.ownership import how_to_adopt, owned_in_state
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.assets import asset_key, source_key
from autoloader_dagster.orchestration.planning import (
    Planned,
    counts_in_words,
    look_and_plan,
    run_requests,
)
from autoloader_dagster.orchestration.resources import (
    ProcessedFilesResource,
    SparkConnectResource,
    open_ingestion,
)
from autoloader_dagster.redaction import strike, struck_errors
from autoloader_dagster.specs.connections import Connections
from autoloader_dagster.specs.loader import LoadedSpec


def trigger_name(loaded: LoadedSpec, kind: str) -> str:
    """``covid_daily_on_arrival``; with the tenant in front, unless it is the default one."""
    return f"{loaded.names.trigger}_{kind}"


def _plan(
    loaded: LoadedSpec,
    connections: Connections,
    spark_connect: SparkConnectResource,
    processed_files: ProcessedFilesResource,
    instance: dg.DagsterInstance,
) -> tuple[Planned, list[dg.RunRequest]] | str:
    """What a tick asks for; in words why it asks for nothing."""
    # A person's start outlives the spec's change to paused, so it is checked here too.
    if loaded.spec.status != "active":
        return f"the spec's status is {loaded.spec.status}"
    ingestion = open_ingestion(loaded, connections, spark_connect, processed_files)
    owned = owned_in_state(ingestion)
    if owned is not None:
        return f"{owned}. {how_to_adopt(ingestion)}"
    planned = look_and_plan(ingestion, instance)
    requests, waiting = run_requests(ingestion, instance, planned.plans)
    if not requests:
        return "; ".join([f"nothing new: {counts_in_words(planned)}", *waiting])
    return planned, requests


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
    )
    def on_arrival_sensor(
        context: dg.SensorEvaluationContext,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ) -> dg.SensorResult:
        with struck_errors():
            tick = _plan(loaded, connections, spark_connect, processed_files, context.instance)
        if isinstance(tick, str):
            return dg.SensorResult(skip_reason=strike(tick))
        planned, requests = tick
        return dg.SensorResult(
            run_requests=requests,
            asset_events=[
                dg.AssetObservation(
                    asset_key=source_key(loaded),
                    metadata={
                        keys.FILES_WAITING: planned.files,
                        keys.BYTES_WAITING: planned.bytes,
                    },
                )
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
    )
    def cron_schedule(
        context: dg.ScheduleEvaluationContext,
        spark_connect: SparkConnectResource,
        processed_files: ProcessedFilesResource,
    ):
        with struck_errors():
            tick = _plan(loaded, connections, spark_connect, processed_files, context.instance)
        return dg.SkipReason(strike(tick)) if isinstance(tick, str) else tick[1]

    return cron_schedule
