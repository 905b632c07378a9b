"""The only Definitions object: every spec becomes an asset, with its sensor and schedule.

Loading it reads the spec files and nothing else: no network, no Java, no database.
"""

import warnings

import dagster as dg

from autoloader_dagster.errors import SpecError
from autoloader_dagster.orchestration.assets import (
    asset_key,
    build_asset,
    build_broken,
    build_source,
)
from autoloader_dagster.orchestration.jobs import build_jobs
from autoloader_dagster.orchestration.lost_runs import build_lost_runs_sensor
from autoloader_dagster.orchestration.resources import default_resources
from autoloader_dagster.orchestration.triggers import build_schedule, build_sensor
from autoloader_dagster.settings import Settings, load_settings
from autoloader_dagster.specs.loader import SpecSet, load_specs

# Backfill policies and code references are in beta, and would say so once for each asset.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_definitions(specs: SpecSet) -> dg.Definitions:
    """Definitions for these specs."""
    logger = dg.get_dagster_logger()
    for fault in specs.faults:
        logger.error("%s", fault)
    sensors = [
        sensor for loaded in specs.specs if (sensor := build_sensor(loaded, specs.connections))
    ]
    schedules = [
        schedule
        for loaded in specs.specs
        if (schedule := build_schedule(loaded, specs.connections))
    ]
    jobs = build_jobs(specs) if specs.specs else []
    lost_runs = build_lost_runs_sensor(map(asset_key, specs.specs), [job.name for job in jobs])
    return dg.Definitions(
        assets=[
            *(build_asset(loaded, specs.connections) for loaded in specs.specs),
            *(build_source(loaded) for loaded in specs.specs),
            *(build_broken(broken) for broken in specs.broken),
        ],
        sensors=[*sensors, lost_runs],
        schedules=schedules,
        jobs=jobs,
        resources=default_resources(),
        # The work is Spark's; and a killed run worker leaves no step process behind.
        executor=dg.in_process_executor,
    )


def load_definitions(settings: Settings | None = None) -> dg.Definitions:
    """Definitions for the specs of the settings' folder; none if there is no such folder."""
    settings = settings or load_settings()
    try:
        specs = load_specs(settings.specs_dir)
    except SpecError as error:
        dg.get_dagster_logger().error("%s", error)
        return dg.Definitions()
    return build_definitions(specs)


defs = load_definitions()
