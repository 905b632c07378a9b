"""Takes rows of loaded files out of a table, and says in the snapshot whose rows they were.

A row belongs to a file version by the batch that loaded it: ``_batch_id`` and ``_source_file``
together. By the file alone the rows of all its versions are meant.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.iceberg.history import BATCH_PROPERTY, KIND_PROPERTY, BatchKind
from autoloader_dagster.iceberg.lineage import (
    BATCH_ID,
    SOURCE_FILE,
    SOURCE_MODIFIED_AT,
    micros_of,
    moment_of,
)
from autoloader_dagster.iceberg.sql import literal
from autoloader_dagster.iceberg.table import IcebergTable

# A condition that is always true, for deletes. Without it Iceberg drops data files whole where
# their statistics suffice, or finds in them that there is nothing to delete: and that commit
# carries none of the properties of ``tagged``, so that no attempt would know it as its own.
_BY_ROW = f"length({SOURCE_FILE}) >= 0"
UNDONE_PROPERTY = "autoloader.undone"
# A summary is read with every look at the table's snapshots, so it must stay small.
_MAX_LISTED = 8_000


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows of a table are meant.

    Attributes:
        files: Addresses of source files, by the batch that loaded them.
        whole: Batches of which all rows are meant.
        of_any_batch: Addresses of source files of which all rows are meant.
    """

    files: Mapping[BatchId, Sequence[str]] = field(default_factory=dict)
    whole: Sequence[BatchId] = ()
    of_any_batch: Sequence[str] = ()

    def condition(self) -> str:
        """The rows in SQL; it lets whole data files be passed over by their statistics."""
        each = [f"{BATCH_ID} = {literal(batch)}" for batch in self.whole]
        each += [
            f"({BATCH_ID} = {literal(batch)} and {_in(paths)})"
            for batch, paths in self.files.items()
            if batch not in self.whole and paths
        ]
        if self.of_any_batch:
            each.append(_in(self.of_any_batch))
        return " or ".join(each) or "false"


@dataclass(frozen=True, slots=True)
class Undone:
    """A file version whose rows were taken out.

    Attributes:
        path: The source's address.
        modified_at: When that version was last changed, UTC.
        batch_id: The batch that had loaded it.
    """

    path: str
    modified_at: datetime
    batch_id: BatchId


def _in(paths: Sequence[str]) -> str:
    return f"{SOURCE_FILE} in ({', '.join(literal(path) for path in paths)})"


def count(table: IcebergTable, ref: str, rows: Rows) -> dict[tuple[BatchId, str], int]:
    """How many of these rows there are on a branch or on ``main``, by batch and file."""
    found = table.query(
        "count rows of",
        f"select {BATCH_ID} as b, {SOURCE_FILE} as f, count(*) as n from {table.named(ref)} "
        f"where {rows.condition()} group by 1, 2",
    )
    return {(row["b"], row["f"]): row["n"] for row in found}


def delete(table: IcebergTable, branch: str, rows: Rows) -> None:
    """Delete these rows on a branch; without any, there is no snapshot."""
    with table.known_outcome(branch):
        table.query(
            "delete rows of",
            f"delete from {table.named(branch)} where ({rows.condition()}) and {_BY_ROW}",
        )


def note(table: IcebergTable, branch: str) -> None:
    """Make a snapshot without a change, for its properties."""
    named = table.named(branch)
    with table.known_outcome(branch):
        table.query("write to", f"insert into {named} select * from {named} where false")


def summary_of(undone: Iterable[Undone]) -> dict[str, str]:
    """The snapshot's property that says what was undone; none where that would be long."""
    listed: dict[str, list[tuple[str, int]]] = {}
    for file in undone:
        listed.setdefault(file.batch_id, []).append((file.path, micros_of(file.modified_at)))
    text = json.dumps(listed, ensure_ascii=False, separators=(",", ":"))
    return {UNDONE_PROPERTY: text} if len(text) <= _MAX_LISTED else {}


def kind_of(table: IcebergTable, batch_id: BatchId, snapshot_id: int) -> BatchKind:
    """What kind of batch made a snapshot; a load, if nothing says otherwise."""
    found = table.query(
        "read the snapshots of",
        f"select summary[{literal(KIND_PROPERTY)}] as kind from {table.named()}.snapshots "
        f"where snapshot_id = {snapshot_id} "
        f"and summary[{literal(BATCH_PROPERTY)}] = {literal(batch_id)}",
    )
    kinds: dict[str | None, BatchKind] = {"undo": "undo", "reload": "reload"}
    return kinds.get(found[0]["kind"], "load") if found else "load"


def undone_by(table: IcebergTable, batch_id: BatchId, snapshot_id: int) -> list[Undone] | None:
    """What an undo in main took out, from its snapshot.

    Where the summary does not list it, the rows before and after tell.

    Returns:
        None if nothing tells: the summary does not, and the snapshot before has expired.
    """
    found = table.query(
        "read the snapshots of",
        f"select s.parent_id as parent, s.summary[{literal(UNDONE_PROPERTY)}] as undone, "
        f"p.snapshot_id is not null as has_parent from {table.named()}.snapshots s "
        f"left join {table.named()}.snapshots p on p.snapshot_id = s.parent_id "
        f"where s.snapshot_id = {snapshot_id} "
        f"and s.summary[{literal(BATCH_PROPERTY)}] = {literal(batch_id)}",
    )
    if not found:
        return None
    (row,) = found
    if row["undone"] is not None:
        return [
            Undone(path, moment_of(micros), loaded_by)
            for loaded_by, files in json.loads(row["undone"]).items()
            for path, micros in files
        ]
    if not row["has_parent"]:
        return None
    return _difference(table, row["parent"], snapshot_id)


def _difference(table: IcebergTable, before: int, after: int) -> list[Undone]:
    files = (
        f"select distinct {SOURCE_FILE} as f, unix_micros({SOURCE_MODIFIED_AT}) as m, "
        f"{BATCH_ID} as b from {table.named()} version as of"
    )
    rows = table.query("read", f"({files} {before}) except ({files} {after})")
    # Rows that a person has written need not have them.
    rows = [row for row in rows if None not in (row["f"], row["m"], row["b"])]
    return [Undone(r["f"], moment_of(r["m"]), r["b"]) for r in rows]
