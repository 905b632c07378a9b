"""Tells whether two orders have led to the same: then what comes after them is the same, too.

Compared are the state, the table, the source, and for each actor what it has been told so far, for
that decides all it does. Names that only the order gives (ids, times) are replaced by what they
mean.
"""

import hashlib
import re
from collections.abc import Mapping

from tests.interleavings.hub import Actor
from tests.interleavings.twin import Snap
from tests.interleavings.world import World

_FILES = (
    "select id, file_path, file_version, partition_key, status, batch_id, run_id, snapshot_id, "
    "discovered_at, rows, error_type, reason, retry_count, "
    "displaced_by_batch, found_in_table_at is null "
    "from processed_files order by id"
)
_BATCHES = (
    "select id, kind, run_id, table_id, status, attempt, base_snapshot_id, snapshot_id, files, "
    "rows, started_at, released_files, member_files, error from batches order by run_id, started_at"
)
_TABLES = "select * from followed_tables"
_NAMES = re.compile(
    r"(?P<batch>\d{8}[Tt]\d{6}[Zz][-_][0-9a-f]{6})"
    r"|(?P<snapshot>\b70000\d{5}\b)"
    r"|(?P<time>\b2020-01-(?:0[2-9]|[1-3]\d)[ T][0-9:.]+(?:\+00:00)?)"
    r"|(?P<owner>[\w.-]+/[0-9a-f]{12}\b)"
    r"|(?P<seconds>\bseconds=[0-9.e-]+)"
)


class Names:
    """What ids mean, in one world; kept from digest to digest."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._batches: dict[str, str] = {}
        self._snapshots: dict[int, str] = {}
        self._taken: set[str] = set()

    def learn(self) -> None:
        """Name the batches and snapshots that have come since."""
        runs: dict[str, int] = {}
        for batch, run in self._world.select("select id, run_id from batches order by started_at"):
            runs[run] = runs.get(run, 0) + 1
            self._batches.setdefault(batch.lower().replace("-", "_"), f"{run}#{runs[run]}")
        for data in self._world.lake.tables.values():
            for snap in data.snapshots.values():
                if snap.id not in self._snapshots:
                    self._name(data.snapshots, snap)

    def _name(self, snapshots: Mapping[int, Snap], snap: Snap) -> None:
        if snap.parent in snapshots and snap.parent not in self._snapshots:
            self._name(snapshots, snapshots[snap.parent])
        parent = self._snapshots.get(snap.parent or 0)
        what = self.plain(repr((dict(snap.properties), sorted(snap.rows, key=str))))
        name = _hash(f"{parent} {what}")
        while name in self._taken:
            name += "'"
        self._taken.add(name)
        self._snapshots[snap.id] = name

    def plain(self, text: str) -> str:
        """A text with what its ids mean, and without times."""
        return _NAMES.sub(self._plain, text)

    def _plain(self, match: "re.Match[str]") -> str:
        kind, found = match.lastgroup, match[0]
        if kind == "batch":
            return self._batches.get(found.lower().replace("-", "_"), "?")
        if kind == "snapshot":
            return self._snapshots.get(int(found), "?")
        return ""


def digest(world: World, names: Names, budget: str) -> bytes:
    """The same for two orders after which everything goes on the same.

    Args:
        world: No transaction is open in it.
        names: Of this world.
        budget: What may still be done to the actors.
    """
    names.learn()
    files = world.select(_FILES)
    times = sorted({row[8] for row in files})
    known = [(*row[:8], times.index(row[8]), *row[9:]) for row in files]
    parts = [budget, repr(known), repr(world.select(_BATCHES)), repr(world.select(_TABLES))]
    for name, data in world.lake.tables.items():
        parts.append(f"{name} {data.uid} {data.columns} {sorted(data.heads.items())}")
        parts.append(" ".join(str(each) for each in data.snapshots))
    parts.append(repr(sorted((ref.path, ref.version) for ref in world.source.now.values())))
    for actor in world.hub.actors.values():
        parts.append(_of(actor, names, times))
    return hashlib.blake2b(names.plain("\n".join(parts)).encode(), digest_size=16).digest()


def _of(actor: Actor, names: Names, times: list[str]) -> str:
    if actor.ended:
        # Which files an undo has taken out is asked in the end.
        files = [
            each.file_id for each in getattr(actor.result, "files", ()) if hasattr(each, "file_id")
        ]
        return f"{actor.name} {'killed' if actor.killed else 'ended'} {type(actor.error)} {files}"
    if actor.heard:
        actor.known = _hash(actor.known + names.plain("\n".join(actor.heard)))
        actor.heard.clear()
    clocks = [sum(each <= clock for each in times) for clock in actor.clocks]
    return f"{actor.name} {len(actor.done)} {actor.next} {actor.known} {clocks}"


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
