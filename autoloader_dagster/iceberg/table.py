"""One Iceberg table, as the loader uses it: made, branched, written and published."""

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.errors import PublishConflict, TableError
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.history import (
    ATTEMPT_PROPERTY,
    BATCH_PROPERTY,
    History,
    Snapshot,
    read_history,
)
from autoloader_dagster.iceberg.lineage import LINEAGE_COLUMNS
from autoloader_dagster.iceberg.originals import properties_for
from autoloader_dagster.iceberg.properties import (
    COMMIT_PROPERTIES,
    METADATA_PROPERTIES,
    TABLE_ID_PROPERTY,
)
from autoloader_dagster.iceberg.sql import literal, quoted
from autoloader_dagster.iceberg.statements import listed
from autoloader_dagster.iceberg.table_columns import TableColumns, field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

_SNAPSHOT_CONF = "spark.sql.iceberg.snapshot-property."
# Rows before a write: all of one partition, of few partitions in order, or anyhow.
Layout = Literal["one partition", "in order", "any"]


class IcebergTable(TableColumns):
    """A table by its full name, in one Spark session.

    Args:
        spark: A session whose server has the catalog.
        name: ``catalog.namespace.table``.

    Every method raises ``TableError`` if the catalog or the table refuses.

    Attributes:
        branches_seen: The branches but main when the table's history was read last.
    """

    branches_seen: frozenset[str] = frozenset()

    def create(
        self,
        columns: Sequence[Column],
        partition_by: Sequence[str],
        properties: Mapping[str, str],
        comment: str,
    ) -> None:
        """Make the table with these columns and the lineage columns, unless it is there already."""
        namespace = self._sql_name.rpartition(".")[0]
        fields = [field(c.name, c.sql_type, c.original) for c in columns]
        fields += [field(name, *described) for name, described in LINEAGE_COLUMNS.items()]
        all_properties = {
            "format-version": "2",
            TABLE_ID_PROPERTY: secrets.token_hex(16),
            **METADATA_PROPERTIES,
            **COMMIT_PROPERTIES,
            **properties_for({c.name: c.original or c.name for c in columns}),
            **properties,
        }
        # Two workers may create it at once, and 'if not exists' does not hold in the catalog.
        self._commit(
            "create the namespace of",
            f"create namespace if not exists {namespace}",
            lambda: self._spark.catalog.databaseExists(namespace),
        )
        self._commit(
            "create",
            f"create table if not exists {self._sql_name} ({', '.join(fields)}) using iceberg"
            + (f" partitioned by ({', '.join(partition_by)})" if partition_by else "")
            + (f" comment {literal(comment)}" if comment else "")
            + f" tblproperties ({listed(all_properties)})",
            self.exists,
        )
        # At once, and not when 'history' has found that there is none, which costs a query.
        self._initialise()

    # --- snapshots and branches -----------------------------------------------------------------

    def head(self) -> int:
        """The snapshot that main points to. An empty table gets an empty one first."""
        head, _ = self.head_and_id()
        return self.history().heads["main"] if head is None else head

    def history(self) -> History:
        """Main, the branches and all snapshots. An empty table gets an empty snapshot first."""
        history = self._history()
        if "main" not in history.heads:
            self._initialise()
            history = self._history()
        if "main" not in history.heads:
            raise TableError(f"table {self.name} has no snapshot on main and takes none")
        return history

    def _initialise(self) -> None:
        """Put an empty snapshot on main, because a branch needs one to begin at."""
        # Without rows, and in half the time of an insert of none.
        self._commit(
            "initialise",
            f"alter table {self._sql_name} create branch if not exists {quoted('main')}",
            lambda: "main" in self._history().heads,
        )

    def _history(self) -> History:
        with self._errors("read the snapshots of"):
            history = read_history(self._spark, self._sql_name)
        self.branches_seen = history.branches
        return history

    def create_branch(self, branch: str, base: int) -> None:
        """Make a branch at a snapshot; it must not exist."""
        self._commit(
            "branch",
            f"alter table {self._sql_name} create branch {quoted(branch)} as of version {base}",
            lambda: self._history().heads.get(branch) == base,
        )

    def drop_branch(self, branch: str) -> None:
        """Drop a branch if it is there. This fences nothing: see ``chain``."""
        self._commit(
            "drop a branch of",
            f"alter table {self._sql_name} drop branch if exists {quoted(branch)}",
            lambda: branch not in self._history().heads,
        )

    def branches(self) -> dict[str, int]:
        """The snapshot of each branch but main."""
        rows = self.query(
            "read the branches of",
            f"select name, snapshot_id from {self._sql_name}.refs "
            "where type = 'BRANCH' and name <> 'main'",
        )
        return {row["name"]: row["snapshot_id"] for row in rows}

    def chain(self, branch: str, base: int) -> list[Snapshot]:
        """The snapshots from ``base`` (left out) to the branch's head, oldest first.

        Raises:
            PublishConflict: The branch is gone, or its history does not lead to ``base``: it was
                dropped and a write in flight brought it back on another snapshot. Or main is not at
                ``base`` any more. If it was rolled back to an ancestor, publishing would go through
                and bring back what the rollback took away.
        """
        history = self._history()
        if history.heads.get("main") != base:
            raise PublishConflict(f"main of {self.name} is not at snapshot {base} any more")
        known, at = history.snapshots, history.heads.get(branch)
        chain: list[Snapshot] = []
        while at is not None and at != base:
            snapshot = known.get(at)
            if snapshot is None:
                break
            chain.append(snapshot)
            at = snapshot.parent_id
        if at != base:
            raise PublishConflict(
                f"branch {branch} of {self.name} does not lead to snapshot {base}"
            )
        return chain[::-1]

    def main_holds(self, snapshot_id: int) -> bool:
        """Whether main is at this snapshot or has it among its ancestors."""
        ancestors, _ = self.history().main()
        return any(each.snapshot_id == snapshot_id for each in ancestors)

    # --- writing --------------------------------------------------------------------------------

    @contextmanager
    def tagged(
        self,
        attempt: str,
        batch_id: BatchId | None = None,
        further: Mapping[str, str] | None = None,
    ) -> "Iterator[None]":
        """Every snapshot made within carries the attempt's name, whatever statement makes it.

        Args:
            attempt: The attempt's name.
            batch_id: Carried as well; for a batch that appends nothing, and only deletes.
            further: More properties to carry.
        """
        tags = {ATTEMPT_PROPERTY: attempt} | ({BATCH_PROPERTY: batch_id} if batch_id else {})
        tags |= further or {}
        for name, value in tags.items():
            self._spark.conf.set(_SNAPSHOT_CONF + name, value)
        try:
            yield
        finally:
            for name in tags:
                self._spark.conf.unset(_SNAPSHOT_CONF + name)

    def append(self, frame: "DataFrame", branch: str, batch_id: BatchId, layout: Layout) -> None:
        """Append to a branch in one snapshot that carries the batch's id.

        Args:
            frame: The table's columns, in the table's order.
            branch: An existing branch.
            batch_id: Goes to the snapshot's summary.
            layout: How the rows lie, so that no more is shuffled or sorted than must be.
        """
        writer = (
            frame.writeTo(self._on(branch))
            .option(f"snapshot-property.{BATCH_PROPERTY}", batch_id)
            .option("check-ordering", "false")
        )
        if layout == "in order":
            writer = writer.option("distribution-mode", "none").option("fanout-enabled", "true")
        elif layout == "one partition":
            writer = writer.option("distribution-mode", "none")
            properties = self._properties or self._read_properties()
            if "sort-order" not in properties:
                # Its owner has asked for no order, and Iceberg would sort by the one partition.
                writer = writer.option("use-table-distribution-and-ordering", "false")
        with self.known_outcome(branch):
            # Not as a TableError: a file that cannot be read fails here as well.
            writer.append()

    def fast_forward(self, branch: str) -> int:
        """Point main to the branch's head, if main is an ancestor of it.

        Returns:
            Main's snapshot, as the server read it from the catalog after the commit.

        Raises:
            PublishConflict: It is not: another writer has moved main.
        """
        try:
            rows = self._commit(
                "publish to",
                f"call {self._catalog}.system.fast_forward("
                f"{literal(self._in_catalog)}, 'main', {literal(branch)})",
                lambda: self._is_published(branch),
            )
        except TableError as error:
            if re.search(r"is not an ancestor of", str(error)):
                raise PublishConflict(f"main of {self.name} has moved") from error
            raise
        return rows[0]["updated_ref"] if rows else self.head()

    def _is_published(self, branch: str) -> bool:
        head = self._history().heads.get(branch)
        return head is not None and self.main_holds(head)
