"""Puts right partitions that an earlier run left FAILED although nothing is wrong with them.

Dagster calls each partition of a failed run's range FAILED until it is materialized, also one whose
files another run has loaded or that lost its files.
"""

from collections.abc import Collection, Iterator

import dagster as dg

from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.partitions import partitions_definition

_FAILED = "FAILED"
_OPEN = ("DISCOVERED", "PROCESSING", "FAILED", "QUARANTINED", "HELD")


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
        told: Partitions that this run has materialized.
    """
    definition = partitions_definition(ingestion.loaded)
    if definition is None:
        return
    every = definition.get_partition_keys(dynamic_partitions_store=instance)
    statuses = instance.get_status_by_partition(key, every, definition) or {}
    failed = [
        each
        for each, status in statuses.items()
        if status is not None and status.value == _FAILED and each not in told
    ]
    if not failed:
        return
    still_open = {row.partition_key for row in ingestion.store.files(ingestion.id, _OPEN)}
    settled = [each for each in failed if each not in still_open]
    for each, totals in ingestion.store.partition_totals(ingestion.id, settled).items():
        yield dg.AssetMaterialization(
            asset_key=key,
            partition=each,
            description="an earlier run over it had failed, and nothing of it waits",
            metadata={
                "dagster/row_count": totals.rows,
                keys.FILES: 0,
                keys.FILES_IN_PARTITION: totals.files,
            },
        )
