"""The Dagster partitions of a spec; their keys are those of ``loading.partitioning``."""

import dagster as dg

from autoloader_dagster.errors import UsageError
from autoloader_dagster.loading.placement import KEY_FORMATS, first_window
from autoloader_dagster.orchestration.runs.tags import PARTITION, RANGE_END, RANGE_START
from autoloader_dagster.specs.spec_set import LoadedSpec
from autoloader_dagster.specs.table import Partition
from autoloader_dagster.state.records import PartitionKeys, PartitionRange, Partitions


def partitions_definition(loaded: LoadedSpec) -> dg.PartitionsDefinition | None:
    """Time windows up to and with the open one, named keys, or none."""
    partition = loaded.spec.partition
    if partition.kind == "none":
        return None
    if partition.kind == "key":
        return dg.DynamicPartitionsDefinition(name=loaded.names.unique)
    return time_partitions(partition)


def time_partitions(partition: Partition) -> dg.TimeWindowPartitionsDefinition:
    """Time windows from the one that ``start`` lies in up to and with the open one."""
    start = first_window(partition).strftime(KEY_FORMATS[partition.every])
    # end_offset=1: the window that is open now is a partition, because its files arrive now.
    if partition.every == "hour":
        return dg.HourlyPartitionsDefinition(start_date=start, end_offset=1)
    if partition.every == "week":
        return dg.WeeklyPartitionsDefinition(
            start_date=start, day_offset=1, timezone=partition.timezone, end_offset=1
        )
    if partition.every == "month":
        return dg.MonthlyPartitionsDefinition(
            start_date=start, timezone=partition.timezone, end_offset=1
        )
    return dg.DailyPartitionsDefinition(start_date=start, timezone=partition.timezone, end_offset=1)


def asked_partitions(
    context: dg.AssetExecutionContext, loaded: LoadedSpec
) -> tuple[Partitions, list[str]]:
    """The partitions that a run was asked for, for the state and as keys.

    A run without partitions, as ``dagster asset materialize --select`` starts it, is asked for all.

    Raises:
        UsageError: The asset has none of them.
    """
    asked = [
        context.run.tags[tag]
        for tag in (PARTITION, RANGE_START, RANGE_END)
        if tag in context.run.tags
    ]
    if loaded.spec.partition.kind == "none" or not asked:
        return None, []
    try:
        keys = list(context.partition_keys)
    except Exception as error:
        # Dagster does not publish the class of it.
        raise _not_there(
            asked, str(error).removeprefix("Invariant failed. Description: ")
        ) from error
    if not keys:
        raise _not_there(asked, "the range is empty")
    if loaded.spec.partition.kind == "time":
        return PartitionRange(min(keys), max(keys)), keys
    return PartitionKeys(tuple(keys)), keys


def _not_there(asked: list[str], reason: str) -> UsageError:
    return UsageError(
        f"the run asks for partitions that the asset does not have, {' to '.join(asked)}: {reason}",
        "Choose partitions that the asset's page shows, or correct partition.start of the spec.",
    )
