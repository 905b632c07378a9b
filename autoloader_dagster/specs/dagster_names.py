"""The names under which Dagster knows a spec: each must be one spec's only.

Dagster refuses a code location in which two things have one name, and with it every spec of every
tenant. So the loader compares these names, and a spec that takes another's is broken alone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoloader_dagster.specs.model import IngestionSpec

DEFAULT_TENANT = "default"
# The first part of the keys of broken specs; the last one is a file's name, so no table has it.
BROKEN_SPECS = "broken_specs"

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DagsterNames:
    """What one spec is called in Dagster.

    Attributes:
        asset: Key of the asset: namespace and table without the catalog. Where several specs
            share a table, each has an asset of its own below it.
        source: Key of the external asset for the files.
        trigger: What the names of its sensor and its schedule begin with.
        unique: Tells it from every other spec of a Dagster instance, also of other code locations
            and of other states: the key of its asset. It names its set of named partitions, too.
        pool: Pool of its table, which the writers of the table share, and no other does.
    """

    asset: Key
    source: Key
    trigger: str
    unique: str
    pool: str

    @property
    def node(self) -> str:
        """The name of the asset's node in Dagster's jobs, as Dagster makes it of the key."""
        return "__".join(self.asset)


def dagster_names(spec: "IngestionSpec", tenant: str, name: str) -> DagsterNames:
    """The names of a spec.

    Args:
        spec: The spec.
        tenant: Its tenant.
        name: Its name.
    """
    table = tuple(spec.table.name.split(".")[1:])
    asset = (*table, name) if spec.table.shared else table
    return DagsterNames(
        asset=asset,
        source=("source", tenant, name),
        trigger=name if tenant == DEFAULT_TENANT else f"{tenant}__{name}",
        unique="/".join(asset),
        # With its dots: without them tables of other namespaces would have the same pool.
        pool=f"table_{spec.table.name}",
    )


def mounted(name: str, mount: str) -> str:
    """Return the name of a job or sensor of which each mount of specs has its own.

    Args:
        name: What it is called where a code location has one mount.
        mount: Name of the mount; empty for the only one.
    """
    return f"{name}_{mount}" if mount else name


def clash(mine: DagsterNames, other: DagsterNames) -> str | None:
    """What two specs would both be called in Dagster, in words; None if nothing."""
    for key in (mine.asset, mine.source):
        if key in (other.asset, other.source):
            return f"the Dagster asset {'/'.join(key)}"
    if mine.node == other.node:
        return f"the Dagster node {mine.node}"
    if mine.trigger == other.trigger:
        return f"the sensors and schedules {mine.trigger}_*"
    return None
