"""A twin of Iceberg in memory: branches, snapshots, compare-and-set, late writes, lost answers.

It answers what ``LakeTable`` asks of Spark and the catalog, and keeps the rest of it, so that
the checks of a chain and of main are the real ones. ``test_contract`` holds both against each
other.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from autoloader_dagster.errors import CommitUnknown, PublishConflict, TableError
from autoloader_dagster.formats.base import Readable
from autoloader_dagster.iceberg.append import Written
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.delete import UNDONE_PROPERTY, Rows, Undone
from autoloader_dagster.iceberg.history import (
    ATTEMPT_PROPERTY,
    BATCH_PROPERTY,
    KIND_PROPERTY,
    History,
    Snapshot,
)
from autoloader_dagster.iceberg.lake_table import LakeTable
from autoloader_dagster.iceberg.lineage import SourceFile, moment_of
from autoloader_dagster.iceberg.owner import INGESTION_PROPERTY, ingestion_of
from autoloader_dagster.iceberg.rows import RowsOfFile
from autoloader_dagster.state.records import BatchKind

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# What becomes of an operation that writes, as a schedule has it.
DONE, LOST, NEVER = "done", "lost", "never"
# Ids of snapshots are told from other numbers by their size.
_FIRST_ID = 7_000_000_000


class Key(NamedTuple):
    """What the rows of one file of one batch have in common."""

    batch_id: str
    path: str
    modified_at: datetime
    partition_key: str | None


@dataclass(frozen=True)
class Snap:
    """One snapshot; ``rows`` is all that the table holds there."""

    id: int
    parent: int | None
    properties: Mapping[str, str]
    rows: Mapping[Key, tuple[int, ...]]
    added: int = 0
    removed: int = 0
    copied: int | None = None


@dataclass
class TableData:
    """One table in the catalog."""

    uid: str
    columns: tuple[Column, ...]
    heads: dict[str, int] = field(default_factory=dict)
    snapshots: dict[int, Snap] = field(default_factory=dict)

    def main(self) -> list[Snap]:
        """Main's snapshots from its head back, as far as they have not expired."""
        found, at = [], self.heads.get("main")
        while at is not None and at in self.snapshots:
            found.append(self.snapshots[at])
            at = self.snapshots[at].parent
        return found

    def ancestors(self, snapshot_id: int | None) -> Iterator[int]:
        while snapshot_id is not None:
            yield snapshot_id
            snap = self.snapshots.get(snapshot_id)
            snapshot_id = snap.parent if snap else None


class TwinLake:
    """A catalog with its tables.

    Args:
        point: Told of each operation before it is done, and whether it writes; says what becomes
            of it. It may stop the caller for as long as it likes.
        hear: Told what the caller learns by it.
    """

    def __init__(
        self,
        point: Callable[[str, bool], str] = lambda name, writes: DONE,
        hear: Callable[[object], None] = lambda answer: None,
    ) -> None:
        self.point = point
        self.hear = hear
        self.tables: dict[str, TableData] = {}
        self.made = 0
        self._last = _FIRST_ID

    def state(self) -> Any:
        """All there is, to be restored."""
        return deepcopy(self.tables), self._last, self.made

    def restore(self, state: Any) -> None:
        """Be as it was."""
        self.tables, self._last, self.made = deepcopy(state[0]), state[1], state[2]

    def next_id(self) -> int:
        self._last += 1
        return self._last

    # What people and maintenance do to a table.

    def drop(self, name: str) -> None:
        self.tables.pop(name, None)

    def roll_back(self, name: str, snapshot_id: int) -> None:
        """Set main to one of its ancestors."""
        data = self.tables[name]
        if snapshot_id not in data.ancestors(data.heads["main"]):
            raise TableError(f"{snapshot_id} is not an ancestor of main")
        data.heads["main"] = snapshot_id

    def expire(self, name: str) -> None:
        """Expire all snapshots but the heads of main and of the branches."""
        data = self.tables.get(name)
        if data is None:
            return
        kept = set(data.heads.values())
        data.snapshots = {each: snap for each, snap in data.snapshots.items() if each in kept}

    def cherry_pick(self, name: str, snapshot_id: int) -> int:
        """Put a copy of what a snapshot appended on main; the copy loses our properties."""
        data = self.tables[name]
        picked = data.snapshots[snapshot_id]
        before = data.snapshots[picked.parent].rows if picked.parent in data.snapshots else {}
        new = {key: ids for key, ids in picked.rows.items() if key not in before}
        head = data.snapshots[data.heads["main"]]
        added = sum(map(len, new.values()))
        snap = Snap(self.next_id(), head.id, {}, {**head.rows, **new}, added, 0, copied=snapshot_id)
        data.snapshots[snap.id] = snap
        data.heads["main"] = snap.id
        return snap.id


class TwinTable(LakeTable):
    """One table, as one session sees it."""

    def __init__(self, lake: TwinLake, name: str) -> None:
        self.name = name
        self._lake = lake
        self._tags: dict[str, str] = {}

    @property
    def _data(self) -> TableData:
        try:
            return self._lake.tables[self.name]
        except KeyError:
            raise TableError(f"cannot read table {self.name}: there is none") from None

    def _reads(self, what: str) -> None:
        """Stand before a look; then the table as it is by now is what the caller learns."""
        self._lake.point(what, False)
        data = self._lake.tables.get(self.name)
        self._lake.hear(data and (data.uid, data.columns, data.heads, list(data.snapshots)))

    def _writes(self, what: str, change: Callable[[], Any]) -> Any:
        """Do a change that may be repeated, whose answer may be lost."""
        fate = self._lake.point(what, True)
        self._lake.hear((fate, data.heads if (data := self._lake.tables.get(self.name)) else None))
        answer = change() if fate != NEVER else None
        if fate != DONE:
            raise TableError(f"cannot {what} {self.name}: the catalog does not answer")
        return answer

    # --- the table itself -----------------------------------------------------------------------

    def exists(self) -> bool:
        self._reads("exists")
        return self.name in self._lake.tables

    def create(
        self,
        columns: Sequence[Column],
        partition_by: Sequence[str],
        properties: Mapping[str, str],
        comment: str,
    ) -> None:
        def make() -> None:
            if self.name not in self._lake.tables:
                self._lake.made += 1
                uid = f"table-{self._lake.made}"
                self._lake.tables[self.name] = TableData(uid, tuple(columns))

        self._writes("create", make)
        self._initialise()

    def columns_if_exists(self) -> tuple[Column, ...] | None:
        self._reads("columns")
        data = self._lake.tables.get(self.name)
        return data.columns if data else None

    def add_columns(self, columns: Sequence[Column]) -> None:
        def add() -> None:
            have = {column.name for column in self._data.columns}
            self._data.columns += tuple(c for c in columns if c.name not in have)

        self._writes("add columns", add)

    def table_id(self) -> str:
        self._reads("table id")
        return self._data.uid

    def head_and_id(self, just_read: bool = False) -> tuple[int | None, str | None]:
        self._reads("head and id")
        data = self._lake.tables.get(self.name)
        return (data.heads.get("main"), data.uid) if data else (None, None)

    def owner(self) -> str | None:
        return "default/t"

    def set_owner(self, ingestion_id: str) -> None:
        pass

    # --- snapshots and branches -----------------------------------------------------------------

    def _initialise(self) -> None:
        def initialise() -> None:
            if "main" not in self._data.heads:
                self._commit_to("main", {}, self._rows_at("main"))

        self._writes("initialise", initialise)

    def _history(self) -> History:
        self._reads("history")
        data = self._data

        def made_by(snap: Snap, name: str) -> str | None:
            copied = data.snapshots.get(snap.copied or 0)
            return snap.properties.get(name) or (copied.properties.get(name) if copied else None)

        self.branches_seen = frozenset(data.heads) - {"main"}
        return History(
            heads=dict(data.heads),
            snapshots={
                s.id: Snapshot(
                    s.id,
                    s.parent,
                    made_by(s, BATCH_PROPERTY),
                    s.properties.get(ATTEMPT_PROPERTY),
                    s.added,
                    s.removed,
                    ingestion_id=ingestion_of(made_by(s, INGESTION_PROPERTY)),
                )
                for s in data.snapshots.values()
            },
        )

    def create_branch(self, branch: str, base: int) -> None:
        def make() -> None:
            heads = self._data.heads
            if heads.get(branch, base) != base or base not in self._data.snapshots:
                raise TableError(f"cannot branch table {self.name}: {branch} is there or no base")
            heads[branch] = base

        self._writes("branch", make)

    def drop_branch(self, branch: str) -> None:
        self._writes("drop branch", lambda: self._data.heads.pop(branch, None))

    def branches(self) -> dict[str, int]:
        self._reads("branches")
        return {name: head for name, head in self._data.heads.items() if name != "main"}

    def fast_forward(self, branch: str) -> int:
        def publish() -> int:
            heads = self._data.heads
            if branch not in heads:
                raise TableError(f"cannot publish to table {self.name}: no branch {branch}")
            if heads["main"] in self._data.ancestors(heads[branch]):
                heads["main"] = heads[branch]
            elif heads[branch] not in self._data.ancestors(heads["main"]):
                raise PublishConflict(f"main of {self.name} has moved")
            return heads["main"]

        return self._writes("publish", publish)

    # --- writing --------------------------------------------------------------------------------

    @contextmanager
    def tagged(
        self, attempt: str, batch_id: str | None = None, further: Mapping[str, str] | None = None
    ) -> Iterator[None]:
        tags = {ATTEMPT_PROPERTY: attempt} | ({BATCH_PROPERTY: batch_id} if batch_id else {})
        self._tags = tags | dict(further or {})
        try:
            yield
        finally:
            self._tags = {}

    def append_counted(
        self, frame: Any, branch: str, batch_id: str, files: Sequence[SourceFile], by_key: bool
    ) -> Written:
        new: dict[Key, tuple[int, ...]] = frame
        self._reads("plan append")
        if branch not in self._data.heads:
            # As Spark says it: what is wrong with an append may be one of its files.
            raise RuntimeError(f"cannot use branch (does not exist): {branch}")

        def append() -> None:
            rows = {**self._rows_at(branch), **new}
            added = sum(map(len, new.values()))
            self._commit_to(branch, {BATCH_PROPERTY: batch_id}, rows, added)

        self._writes_branch("append", branch, append)
        return Written({key.path: len(ids) for key, ids in new.items()}, {}, 0)

    def delete(self, branch: str, rows: Rows) -> None:
        self._reads("plan delete")
        self._must_have(branch)
        planned = self._data.heads[branch]
        doomed = {key for key in self._data.snapshots[planned].rows if _meant(rows, key)}

        def delete() -> None:
            there = self._rows_at(branch)
            if not doomed <= set(there):
                raise TableError(f"cannot delete rows of table {self.name}: files are missing")
            removed = sum(len(there[key]) for key in doomed)
            rest = {key: ids for key, ids in there.items() if key not in doomed}
            self._commit_to(branch, {}, rest, removed=removed)

        self._writes_branch("delete", branch, delete)

    def note(self, branch: str) -> None:
        self._reads("plan note")
        self._must_have(branch)
        self._writes_branch(
            "note", branch, lambda: self._commit_to(branch, {}, self._rows_at(branch))
        )

    def _must_have(self, branch: str) -> None:
        if branch not in self._data.heads:
            raise TableError(f"cannot write to table {self.name}: no branch {branch}")

    def _writes_branch(self, what: str, branch: str, change: Callable[[], None]) -> None:
        """Do a change whose answer may be lost, and which is not repeated for that."""
        fate = self._lake.point(what, True)
        self._lake.hear((fate, self._data.heads))
        if fate != NEVER:
            change()
        if fate != DONE:
            raise CommitUnknown(f"nobody knows whether a write to branch {branch} was committed")

    def _rows_at(self, ref: str) -> Mapping[Key, tuple[int, ...]]:
        """What a branch holds. A branch that was dropped comes back on main by a write."""
        data = self._data
        head = data.heads.get(ref, data.heads.get("main"))
        return data.snapshots[head].rows if head is not None else {}

    def _commit_to(
        self,
        ref: str,
        properties: Mapping[str, str],
        rows: Mapping[Key, tuple[int, ...]],
        added: int = 0,
        removed: int = 0,
    ) -> None:
        data = self._data
        parent = data.heads.get(ref, data.heads.get("main"))
        properties = {**self._tags, **properties}
        snap = Snap(self._lake.next_id(), parent, properties, rows, added, removed)
        data.snapshots[snap.id] = snap
        data.heads[ref] = snap.id

    # --- rows -----------------------------------------------------------------------------------

    def _of(self, ref: str, what: str, at: int | None = None) -> Mapping[Key, tuple[int, ...]]:
        self._reads(what)
        data = self._data
        head = data.heads.get(ref) if at is None else at
        if head not in data.snapshots:
            raise TableError(f"cannot {what} table {self.name}: no branch {ref}, or expired")
        return data.snapshots[head].rows

    def count(self, ref: str, rows: Rows) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for key, ids in self._of(ref, "count").items():
            if _meant(rows, key):
                pair = (key.batch_id, key.path)
                found[pair] = found.get(pair, 0) + len(ids)
        return found

    def kind_of(self, batch_id: str, snapshot_id: int) -> BatchKind:
        self._reads("kind")
        properties = self._properties(batch_id, snapshot_id)
        kinds: dict[str | None, BatchKind] = {"undo": "undo", "reload": "reload"}
        return kinds.get((properties or {}).get(KIND_PROPERTY), "load")

    def undone_by(self, batch_id: str, snapshot_id: int) -> list[Undone] | None:
        self._reads("undone")
        properties = self._properties(batch_id, snapshot_id)
        if properties is None:
            return None
        if UNDONE_PROPERTY in properties:
            return [
                Undone(path, moment_of(micros), loaded_by)
                for loaded_by, files in json.loads(properties[UNDONE_PROPERTY]).items()
                for path, micros in files
            ]
        snap = self._data.snapshots[snapshot_id]
        parent = self._data.snapshots.get(snap.parent or 0)
        if parent is None:
            return None
        gone = set(parent.rows) - set(snap.rows)
        return [Undone(key.path, key.modified_at, key.batch_id) for key in gone]

    def _properties(self, batch_id: str, snapshot_id: int) -> Mapping[str, str] | None:
        snap = self._data.snapshots.get(snapshot_id)
        found = snap is not None and snap.properties.get(BATCH_PROPERTY) == batch_id
        return snap.properties if snap and found else None

    def rows_by_file(self, ref: str, batch_id: str) -> dict[str, int]:
        rows = self._of(ref, "rows by file")
        return {key.path: len(ids) for key, ids in rows.items() if key.batch_id == batch_id}

    def bad_rows_by_file(self, ref: str, batch_id: str) -> dict[str, int]:
        self._of(ref, "bad rows")
        return {}

    def rows_like(self, ref: str, batch_id: str, rescued: str) -> dict[str, int]:
        self._of(ref, "rows like")
        return {}

    def batch_ids(self, at: int | None = None) -> list[str]:
        return sorted({key.batch_id for key in self._of("main", "batch ids", at)})

    def files_of_batch(self, batch_id: str, at: int | None = None) -> list[RowsOfFile]:
        return [
            RowsOfFile(key.path, key.modified_at, key.batch_id, key.partition_key, len(ids), 0)
            for key, ids in sorted(self._of("main", "files of batch", at).items(), key=str)
            if key.batch_id == batch_id
        ]

    def rows_of_files(self, at: int | None = None) -> Iterator[RowsOfFile]:
        for key, ids in sorted(self._of("main", "rows of files", at).items(), key=str):
            yield RowsOfFile(
                key.path, key.modified_at, key.batch_id, key.partition_key, len(ids), 0
            )


class TwinFrames:
    """Reads what the twin of a source holds; no Spark."""

    def __init__(self, ids_of: Callable[[str], tuple[int, ...]]) -> None:
        self._ids_of = ids_of

    def columns(self, readable: Sequence[Readable], known: Sequence[Column]) -> list[Column]:
        return [Column("id", "bigint", "id")]

    def frame(
        self,
        readable: Sequence[Readable],
        columns: Sequence[Column],
        batch_id: str,
        source_files: int = 0,
    ) -> Any:
        return {
            Key(batch_id, r.file.path, r.file.modified_at, r.file.partition_key): self._ids_of(
                r.look.ref.version
            )
            for r in readable
        }

    def read_to_the_end(self, frame: Any) -> None:
        return None


class TwinLakehouse:
    """Opens tables of a twin."""

    def __init__(self, lake: TwinLake, ids_of: Callable[[str], tuple[int, ...]]) -> None:
        self._lake = lake
        self._frames = TwinFrames(ids_of)

    def table(self, session: Any, name: str) -> TwinTable:
        return TwinTable(self._lake, name)

    def frames(self, session: Any, spec: Any, options: dict[str, str]) -> TwinFrames:
        return self._frames

    def watch(self, session: Any, tell: Any) -> None:
        """Nothing waits here."""


def _meant(rows: Rows, key: Key) -> bool:
    """What ``Rows.condition`` says in SQL."""
    return (
        key.batch_id in rows.whole
        or key.path in rows.files.get(key.batch_id, ())
        or key.path in rows.of_any_batch
    )
