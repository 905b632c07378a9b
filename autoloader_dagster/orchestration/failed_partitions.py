"""Puts right partitions that an earlier run left FAILED although nothing is wrong with them.

Dagster calls each partition of a failed run's range FAILED until it is materialized, also one whose
files another run has loaded or that lost its files.
"""

from collections.abc import Collection, Iterator

import dagster as dg

from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.partitions import partitions_definition
from autoloader_dagster.orchestration.row_counts import row_counts
from autoloader_dagster.state.records import FileStatus

# Not loaded, and not left out for good either.
_OPEN: tuple[FileStatus, ...] = ("DISCOVERED", "PROCESSING", "FAILED", "QUARANTINED", "HELD")


def settled_partitions(
    instance: dg.DagsterInstance,
    ingestion: Ingestion,
    key: dg.AssetKey,
    told: Collection[str | None],
) -> Iterator[dg.AssetMaterialization]:
    """Materializations of partitions that Dagster calls FAILED and in which nothing is open.

    Args:
        instance: Where the partitions are.
        ingestion: What is loaded.
        key: Its asset.
        told: Partitions that are left to another one.
    """
    failed = [each for each in _failed(instance, ingestion, key) if each not in told]
    if not failed:
        return
    still_open = open_files(ingestion, failed)
    settled = [each for each in failed if each not in still_open]
    for partition, counts in row_counts(ingestion, settled).items():
        yield dg.AssetMaterialization(
            asset_key=key,
            partition=partition,
            description="an earlier run over it failed, and no file of it waits",
            metadata={keys.FILES: dg.MetadataValue.int(0), **counts},
        )


def open_files(ingestion: Ingestion, partitions: Collection[str]) -> dict[str, dict[str, int]]:
    """Those of the partitions with files that wait, failed or are quarantined, by status."""
    every = ingestion.store.totals.partition_statuses(ingestion.id, partitions)
    still_open = {
        partition: {status: counts[status] for status in _OPEN if status in counts}
        for partition, counts in every.items()
    }
    return {partition: counts for partition, counts in still_open.items() if counts}


def _failed(instance: dg.DagsterInstance, ingestion: Ingestion, key: dg.AssetKey) -> list[str]:
    """The partitions that Dagster calls FAILED, and that no run is at."""
    definition = partitions_definition(ingestion.loaded)
    if definition is None:
        return []
    # Brings what Dagster keeps of the partitions up to date. To ask it for each key would make all
    # keys first, which takes a second where there are many windows.
    instance.get_status_by_partition(key, [], definition)
    (record,) = instance.get_asset_records([key]) or [None]
    kept = record.asset_entry.cached_status if record is not None else None
    if kept is None:
        return []
    failed = kept.deserialize_failed_partition_subsets(definition)
    under_way = kept.deserialize_in_progress_partition_subsets(definition)
    return [each for each in failed.get_partition_keys() if each not in under_way]
