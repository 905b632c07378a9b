"""Holds Dagster's named partitions to the keys of the recorded files."""

import time
from dataclasses import dataclass

import dagster as dg

from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.placement import fitting
from autoloader_dagster.orchestration.partitions import partitions_definition

# Dagster asks its storage for all of them in one statement, and SQLite takes 32,766 values in one.
_ADDED_AT_ONCE = 10_000
# Dagster removes one at a time, which takes milliseconds. A tick has other work; the next one
# removes more.
_REMOVAL_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class NamedPartitions:
    """The named partitions of an asset.

    Attributes:
        definition: The name under which Dagster keeps them.
        keys: All of them, in Dagster's order.
        unused: Those without any recorded file.
    """

    definition: str
    keys: tuple[str, ...]
    unused: tuple[str, ...]

    def remove_unused(
        self, instance: dg.DagsterInstance, seconds: float = _REMOVAL_SECONDS
    ) -> None:
        """Remove unused keys for so long, at least one."""
        end = time.monotonic() + seconds
        for key in self.unused:
            instance.delete_dynamic_partition(self.definition, key)
            if time.monotonic() >= end:
                return


def add_named_partitions(
    ingestion: Ingestion, instance: dg.DagsterInstance, at_once: int = _ADDED_AT_ONCE
) -> NamedPartitions | None:
    """Make the keys of the recorded files partitions; None for an asset without named ones."""
    definition = partitions_definition(ingestion.loaded)
    if not isinstance(definition, dg.DynamicPartitionsDefinition) or definition.name is None:
        return None
    fits = fitting(ingestion.spec)
    recorded = [key for key in ingestion.store.files.partition_keys(ingestion.id) if fits(key)]
    known = set(instance.get_dynamic_partitions(definition.name))
    new = [key for key in recorded if key not in known]
    for start in range(0, len(new), at_once):
        instance.add_dynamic_partitions(definition.name, new[start : start + at_once])
    # Read again: another tick may have added some of them first, and a range goes by this order.
    keys = tuple(instance.get_dynamic_partitions(definition.name))
    used = set(recorded)
    return NamedPartitions(definition.name, keys, tuple(key for key in keys if key not in used))
