"""Builds Dagster's definitions of specs: an asset each, with its sensor and its schedule.

It reads the spec files and nothing else: no network, no Java, no database.
"""

from dataclasses import dataclass

import dagster as dg

from autoloader_dagster.errors import SpecError
from autoloader_dagster.orchestration.assets import (
    asset_key,
    build_asset,
    build_broken,
    build_source,
)
from autoloader_dagster.orchestration.jobs.all import build_jobs
from autoloader_dagster.orchestration.removed import build_removed, remember, removed_since
from autoloader_dagster.orchestration.resources import default_resources
from autoloader_dagster.orchestration.runs.lost import build_lost_runs_sensor
from autoloader_dagster.orchestration.triggers import build_schedule, build_sensor
from autoloader_dagster.settings import Settings, load_settings
from autoloader_dagster.specs.connections import Connections
from autoloader_dagster.specs.loader import LoadedSpec, SpecSet, load_specs


def build_definitions(specs: SpecSet, *, name: str = "") -> dg.Definitions:
    """Definitions for these specs.

    A spec that Dagster does not take is broken, and the others load.

    Args:
        specs: The specs.
        name: Ends the names of the jobs and of the sensor for lost runs; needed where a code
            location mounts several folders of specs.
    """
    built: list[_Built] = []
    refused: dict[str, str] = {}
    for loaded in specs.specs:
        try:
            built.append(_built(loaded, specs.connections))
        # The loader checks what Dagster is known to refuse; this is for what is not known yet.
        except Exception as error:
            refused[loaded.ingestion_id] = (
                f"Dagster does not take this spec: {type(error).__name__}: {error}"
            )
    taken = specs.without(refused)
    logger = dg.get_dagster_logger()
    for fault in taken.faults:
        logger.error("%s", fault)
    removed = removed_since(taken)
    remember(taken)
    # Also without any spec: a run of a removed one says so.
    jobs = build_jobs(taken, [each.ingestion_id for each in removed], name)
    lost_runs = build_lost_runs_sensor(
        map(asset_key, taken.specs), [job.name for job in jobs], name
    )
    return dg.Definitions(
        assets=[
            *(each.asset for each in built),
            *(each.source for each in built),
            *(build_broken(broken) for broken in taken.broken),
            *(build_removed(each, taken) for each in removed),
        ],
        sensors=[*(each.sensor for each in built if each.sensor), lost_runs],
        schedules=[each.schedule for each in built if each.schedule],
        jobs=jobs,
        resources=default_resources(),
        # The work is Spark's; and a killed run worker leaves no step process behind.
        executor=dg.in_process_executor,
    )


@dataclass(frozen=True, slots=True)
class _Built:
    """What one spec becomes in Dagster."""

    loaded: LoadedSpec
    asset: dg.AssetsDefinition
    source: dg.AssetSpec
    sensor: dg.SensorDefinition | None
    schedule: dg.ScheduleDefinition | None


def _built(loaded: LoadedSpec, connections: Connections) -> _Built:
    return _Built(
        loaded,
        build_asset(loaded, connections),
        build_source(loaded),
        build_sensor(loaded, connections),
        build_schedule(loaded, connections),
    )


def load_definitions(settings: Settings | None = None) -> dg.Definitions:
    """Definitions for the specs of the settings' folder; none if there is no such folder."""
    settings = settings or load_settings()
    try:
        specs = load_specs(settings.specs_dir)
    except SpecError as error:
        dg.get_dagster_logger().error("%s", error)
        return dg.Definitions()
    # Nothing is handed on; Dagster's default has a folder that any run could choose.
    nothing_handed_on = dg.Definitions(resources={"io_manager": dg.mem_io_manager})
    return dg.Definitions.merge(build_definitions(specs), nothing_handed_on)
