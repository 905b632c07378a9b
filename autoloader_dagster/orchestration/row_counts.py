"""How many rows the partitions of an asset and its table have, as metadata of an event.

The numbers come from the state, or from a snapshot's summary; no data is read for them.
"""

from collections.abc import Collection

import dagster as dg

from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration import metadata as keys


def row_counts(
    ingestion: Ingestion, partitions: Collection[str | None], table_rows: int | None = None
) -> dict[str | None, dict[str, dg.MetadataValue]]:
    """The counts as they are now, for an event of each of these partitions.

    Args:
        ingestion: What is loaded.
        partitions: The partitions; None for an asset without partitions.
        table_rows: Rows of the whole table by its snapshot's summary. Without it the state tells:
            the rows that it knows of, whichever ingestions loaded them.
    """
    if not partitions:
        return {}
    if table_rows is None:
        table_rows = known_table_rows(ingestion)
    named = [each for each in partitions if each is not None]
    totals = ingestion.store.totals.partition_totals(ingestion.id, named) if named else {}
    of_table: dict[str, dg.MetadataValue] = {keys.TABLE_ROWS: dg.MetadataValue.int(table_rows)}
    return {
        each: of_table
        if each is None
        else of_table
        | {
            keys.PARTITION_ROWS: dg.MetadataValue.int(totals[each].rows),
            keys.FILES_IN_PARTITION: dg.MetadataValue.int(totals[each].files),
        }
        for each in partitions
    }


def known_table_rows(ingestion: Ingestion) -> int:
    """The rows of the whole table that the state knows of, whichever ingestions loaded them."""
    loaded = ingestion.store.rollbacks.loaded_batches(ingestion.spec.table.name)
    return sum(loaded.values())
