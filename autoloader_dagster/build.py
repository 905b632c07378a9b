"""Builds Dagster's definitions of specs: an asset each, with its sensor and its schedule.

It reads the spec files and nothing else: no network, no Java, no database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from autoloader_dagster.errors import SpecError
from autoloader_dagster.orchestration.assets import (
    asset_key,
    build_asset,
    build_broken,
    build_source,
)
from autoloader_dagster.orchestration.jobs.all import build_jobs
from autoloader_dagster.orchestration.removed import (
    build_removed,
    remember,
    removed_since,
    removed_triggers,
)
from autoloader_dagster.orchestration.resources import default_resources
from autoloader_dagster.orchestration.runs.lost import build_lost_runs_sensor
from autoloader_dagster.orchestration.triggers import build_schedule, build_sensor
from autoloader_dagster.settings import Settings, check_remote, load_settings
from autoloader_dagster.specs.connections import Connections
from autoloader_dagster.specs.dagster_names import Mount
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.specs.spec_set import LoadedSpec, SpecSet


def build_definitions(
    specs: SpecSet,
    *,
    name: str = "",
    key_prefix: Sequence[str] = (),
    group_name: str | None = None,
    tags: Mapping[str, str] | None = None,
    spark_remote: str | None = None,
    database_url: str | None = None,
    executor: dg.ExecutorDefinition | None = None,
    resources: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """Build the definitions of these specs, for a Dagster project to merge with its own.

    Nothing is opened or written. A spec that Dagster does not take is broken, and the others load;
    each fault is logged. Inside Dagster's load of a code location, the names of the specs go into
    the data that Dagster hands to the workers of runs.

    Args:
        specs: The specs.
        name: Ends the names of sensors, schedules, jobs and resources. A project that has assets
            of its own, or several folders of specs, gives each folder a name.
        key_prefix: What the keys of all assets begin with, one part or several.
        group_name: Group of the assets; by default one of each namespace or tenant.
        tags: Tags of the assets; a spec can set others of these names.
        spark_remote: Spark Connect server of these specs; default ``SPARK_REMOTE``.
        database_url: State database of these specs; default ``AUTOLOADER_DATABASE_URL``. Two
            folders with specs of one name need a database each.
        executor: Executor of the result; None leaves it to the project.
        resources: More resources of the result, or others in the place of ours.

    Raises:
        UsageError: A name, a prefix, a group or an address cannot be used.

    Example:
        >>> from autoloader_dagster import build_definitions, load_specs
        >>> specs = load_specs("ingestion_specs")
        >>> definitions = build_definitions(specs, name="files", key_prefix=["raw"])
        >>> sorted(key.to_user_string() for key in definitions.resolve_all_asset_keys())
        ['raw/shop/orders', 'raw/source_files/default/orders']
    """
    if spark_remote is not None:
        check_remote(spark_remote)
    prefix = [key_prefix] if isinstance(key_prefix, str) and key_prefix else key_prefix
    mount = Mount(name, tuple(prefix), group_name, tuple((tags or {}).items()))
    specs = specs.mounted(mount)
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
    jobs = build_jobs(taken, [each.ingestion_id for each in removed])
    sensors = [each.sensor for each in built if each.sensor]
    schedules = [each.schedule for each in built if each.schedule]
    gone = list(removed_triggers(taken, {each.name for each in (*sensors, *schedules)}))
    # What a trigger asks for is run as a job that Dagster names after the trigger.
    job_names = [job.name for job in jobs]
    job_names += [each.job_name for each in (*sensors, *gone, *schedules) if each.job_name]
    pools = {loaded.names.pool for loaded in taken.specs}
    lost_runs = build_lost_runs_sensor(map(asset_key, taken.specs), job_names, pools, mount)
    return dg.Definitions(
        assets=[
            *(each.asset for each in built),
            *(each.source for each in built),
            *(build_broken(broken) for broken in taken.broken),
            *(build_removed(each, taken) for each in removed),
        ],
        sensors=[*sensors, *gone, lost_runs],
        schedules=schedules,
        jobs=jobs,
        resources={
            **default_resources(mount, spark_remote, database_url),
            **(resources or {}),
        },
        executor=executor,
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
    """Build our own code location, of the settings' folder; empty if there is no such folder."""
    settings = settings or load_settings()
    try:
        specs = load_specs(settings.specs_dir)
    except SpecError as error:
        dg.get_dagster_logger().error("%s", error)
        return dg.Definitions()
    return build_definitions(
        specs,
        # The work is Spark's; and a killed run worker leaves no step process behind.
        executor=dg.in_process_executor,
        # Nothing is handed on; Dagster's default has a folder that any run could choose.
        resources={"io_manager": dg.mem_io_manager},
    )
