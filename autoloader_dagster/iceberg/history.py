"""A table's snapshots, branches and what each snapshot's summary says: read at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.iceberg.owner import INGESTION_PROPERTY, ingestion_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# What a batch does; the state has the same kinds.
BatchKind = Literal["load", "undo", "reload"]

BATCH_PROPERTY = "autoloader.batch-id"
ATTEMPT_PROPERTY = "autoloader.attempt"
KIND_PROPERTY = "autoloader.kind"
# What is read of each snapshot's summary. A row goes with its data file, which is rewritten
# without it, or is marked as deleted, as the table's write.delete.mode has it.
_SUMMARY = {
    "batch": BATCH_PROPERTY,
    "attempt": ATTEMPT_PROPERTY,
    "ingestion": INGESTION_PROPERTY,
    "added": "added-records",
    "deleted": "deleted-records",
    "marked": "added-position-deletes",
    "unmarked": "removed-position-deletes",
    # The rows that the table has with this snapshot, less those that are marked as deleted.
    "total": "total-records",
    "total_marked": "total-position-deletes",
    "total_by_value": "total-equality-deletes",
    # What a cherry-pick leaves of the snapshot that it copies.
    "copied": "source-snapshot-id",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot of the table.

    Attributes:
        snapshot_id: Iceberg's id.
        parent_id: The snapshot it was made from; None for a root.
        batch_id: The batch it appended, from its summary, or from that of the snapshot that it is a
            cherry-picked copy of.
        attempt: The attempt that made it, from its summary.
        added_records: Rows it added.
        removed_records: Rows it took out, less those that it only rewrote.
        table_rows: Rows that the table has with it; None if its summary does not tell.
        ingestion_id: Whose batch it is, found as the batch is; None in those of older versions.
    """

    snapshot_id: int
    parent_id: int | None
    batch_id: BatchId | None
    attempt: str | None
    added_records: int
    removed_records: int = 0
    table_rows: int | None = None
    ingestion_id: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What a table was and is, at one moment.

    Attributes:
        heads: The snapshot of main and of each branch and tag.
        snapshots: All snapshots that have not expired, by id.
    """

    heads: Mapping[str, int]
    snapshots: Mapping[int, Snapshot]

    @property
    def branches(self) -> frozenset[str]:
        """The names of all heads but main."""
        return frozenset(self.heads) - {"main"}

    def main(self) -> tuple[list[Snapshot], bool]:
        """Main's snapshots from its head back, newest first.

        Returns:
            The snapshots, and whether they are all. If they are not, older ones have expired, and
            what those held is known from the rows only.
        """
        found: list[Snapshot] = []
        at: int | None = self.heads["main"]
        while at is not None:
            snapshot = self.snapshots.get(at)
            if snapshot is None:
                return found, False
            found.append(snapshot)
            at = snapshot.parent_id
        return found, True

    def generation(self, snapshot: Snapshot) -> int:
        """How many snapshots lead to this one, of those that have not expired."""
        count, at = 0, snapshot.parent_id
        while at is not None and at in self.snapshots:
            count, at = count + 1, self.snapshots[at].parent_id
        return count


def read_history(spark: "SparkSession", table: str) -> History:
    """Both in one query: each costs a small load as much as its reading.

    The branches come first in it, so that no branch points to a snapshot that is not known.

    Args:
        spark: A session.
        table: The table's name as SQL has it.
    """
    from pyspark.sql import functions as F

    refs = spark.table(f"{table}.refs").select(
        "name",
        "snapshot_id",
        F.lit(None).cast("bigint").alias("parent_id"),
        *[F.lit(None).cast("string").alias(name) for name in _SUMMARY],
    )
    snapshots = spark.table(f"{table}.snapshots").select(
        F.lit(None).cast("string").alias("name"),
        "snapshot_id",
        "parent_id",
        *[F.col("summary")[key].alias(name) for name, key in _SUMMARY.items()],
    )
    # In one task, because a second one takes longer than reading.
    rows = refs.union(snapshots).coalesce(1).collect()
    made = {r["snapshot_id"]: (r["batch"], r["ingestion"]) for r in rows if r["name"] is None}
    return History(
        heads={r["name"]: r["snapshot_id"] for r in rows if r["name"] is not None},
        snapshots={
            r["snapshot_id"]: Snapshot(
                r["snapshot_id"],
                r["parent_id"],
                r["batch"] or made.get(int(r["copied"] or 0), (None, None))[0],
                r["attempt"],
                int(r["added"] or 0),
                int(r["deleted"] or 0)
                - int(r["added"] or 0)
                + int(r["marked"] or 0)
                - int(r["unmarked"] or 0),
                _table_rows(r["total"], r["total_marked"], r["total_by_value"]),
                ingestion_of(r["ingestion"] or made.get(int(r["copied"] or 0), (None, None))[1]),
            )
            for r in rows
            if r["name"] is None
        },
    )


def _table_rows(total: str | None, marked: str | None, by_value: str | None) -> int | None:
    # Nobody knows how many rows a delete by value concerns.
    return None if total is None or int(by_value or 0) else int(total) - int(marked or 0)
