"""The names under which Dagster knows a spec: each must be one spec's only.

Dagster refuses a code location in which two things have one name, and with it every spec of every
tenant. So the loader compares these names, and a spec that takes another's is broken alone.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoloader_dagster.errors import UsageError

if TYPE_CHECKING:
    from autoloader_dagster.specs.model import IngestionSpec

DEFAULT_TENANT = "default"
# The first part of the keys of broken specs; the last one is a file's name, so no table has it.
BROKEN_SPECS = "broken_specs"

Key = tuple[str, ...]

_WORD = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Mount:
    """What the specs of one folder have in common in a Dagster project.

    Two mounts of one project differ in their names. Where their tables have the same names, their
    prefixes differ too.

    Attributes:
        name: Ends the names of sensors, schedules, jobs and resources; empty for the only mount.
        key_prefix: What the keys of the assets begin with.
        group_name: Group of the assets; None for one of each namespace or tenant.
        tags: Tags of the assets; a spec can set others of these names.

    Raises:
        UsageError: Dagster takes no such name or prefix.
    """

    name: str = ""
    key_prefix: Key = ()
    group_name: str | None = None
    tags: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Check what each name of the mount is made of."""
        for what, word in (
            *((("name", self.name),) if self.name else ()),
            *(("key_prefix", part) for part in self.key_prefix),
            *((("group_name", self.group_name),) if self.group_name is not None else ()),
        ):
            if not _WORD.fullmatch(word):
                raise UsageError(
                    f"{what} is '{word}', which Dagster does not take",
                    "Write letters, digits and _ only.",
                )

    def named(self, name: str) -> str:
        """Return the name of something of which each mount has its own.

        Args:
            name: What it is called in the only mount of a project.
        """
        return f"{name}_{self.name}" if self.name else name


ONLY_MOUNT = Mount()


@dataclass(frozen=True, slots=True)
class DagsterNames:
    """What one spec is called in Dagster.

    Attributes:
        asset: Key of the asset: the mount's prefix, then namespace and table without the catalog.
            Where several specs share a table, each has an asset of its own below it.
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


def dagster_names(
    spec: "IngestionSpec", tenant: str, name: str, mount: Mount = ONLY_MOUNT
) -> DagsterNames:
    """The names of a spec.

    Args:
        spec: The spec.
        tenant: Its tenant.
        name: Its name.
        mount: Where its folder is mounted.
    """
    table = (*mount.key_prefix, *spec.table.name.split(".")[1:])
    asset = (*table, name) if spec.table.shared else table
    # Two mounts may have specs of one name, whose tables differ.
    kind = mount.named("source")
    return DagsterNames(
        asset=asset,
        source=(*mount.key_prefix, kind, tenant, name),
        trigger=name if tenant == DEFAULT_TENANT else f"{tenant}__{name}",
        unique="/".join(asset),
        # With its dots: without them tables of other namespaces would have the same pool.
        pool=f"table_{spec.table.name}",
    )


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
