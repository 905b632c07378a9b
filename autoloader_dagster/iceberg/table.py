"""One Iceberg table, as the loader uses it: made, widened, branched, written, audited, published.

Every statement names the branch as part of the table (``ns.t.branch_x``), never by the ``branch``
option or ``spark.wap.branch``, for these create a branch that is missing.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from autoloader_dagster.errors import (
    CommitUnknown,
    PublishConflict,
    TableError,
    TableUnavailable,
)
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.commits import is_open, tries
from autoloader_dagster.iceberg.data_types import name_of_type
from autoloader_dagster.iceberg.history import (
    ATTEMPT_PROPERTY,
    BATCH_PROPERTY,
    History,
    Snapshot,
    read_history,
)
from autoloader_dagster.iceberg.lineage import LINEAGE_COLUMNS
from autoloader_dagster.iceberg.originals import properties_for, read_originals
from autoloader_dagster.iceberg.owner import owner_in, owner_properties
from autoloader_dagster.iceberg.sql import literal, quoted
from autoloader_dagster.spark.catalogs import (
    catalogs_in,
    names_no_catalog,
    unavailable,
    unknown_catalog,
)
from autoloader_dagster.spark.errors import is_environment, is_of_catalog, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import DataFrame, SparkSession

TABLE_ID_PROPERTY = "autoloader.table-id"
# A batch commits four times, and each commit writes a metadata file with all snapshots. Without
# these, Iceberg keeps every one of them for ever.
METADATA_PROPERTIES = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
}
_SNAPSHOT_CONF = "spark.sql.iceberg.snapshot-property."
# Rows before a write: all of one partition, of few partitions in order, or anyhow.
Layout = Literal["one partition", "in order", "any"]


class IcebergTable:
    """A table by its full name, in one Spark session.

    Args:
        spark: A session whose server has the catalog.
        name: ``catalog.namespace.table``.

    Every method raises ``TableError`` if the catalog or the table refuses.
    """

    def __init__(self, spark: "SparkSession", name: str) -> None:
        self.name = name
        self._spark = spark
        # Quoted, for a part may be a word of SQL, as in lake.sales.order.
        catalog, *rest = (quoted(part) for part in name.split("."))
        self._catalog = catalog
        self._in_catalog = ".".join(rest)
        self._sql_name = f"{catalog}.{self._in_catalog}"
        self._properties: Mapping[str, str] | None = None
        self._has_originals = True
        # Iceberg's catalog keeps tables as a session last saw them, for as long as it uses them;
        # what another writer has done since must be seen. Holds for the session's first table.
        spark.conf.set(f"spark.sql.catalog.{name.partition('.')[0]}.cache-enabled", "false")

    # --- the table itself -----------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the catalog has the table."""
        with self._errors("look up"):
            return self._spark.catalog.tableExists(self._sql_name)

    def create(
        self,
        columns: Sequence[Column],
        partition_by: Sequence[str],
        properties: Mapping[str, str],
        comment: str,
    ) -> None:
        """Make the table with these columns and the lineage columns, unless it is there already."""
        namespace = self._sql_name.rpartition(".")[0]
        fields = [_field(c.name, c.sql_type, c.original) for c in columns]
        fields += [_field(name, *described) for name, described in LINEAGE_COLUMNS.items()]
        all_properties = {
            "format-version": "2",
            TABLE_ID_PROPERTY: secrets.token_hex(16),
            **METADATA_PROPERTIES,
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
            + f" tblproperties ({_listed(all_properties)})",
            self.exists,
        )
        # At once, and not when 'history' has found that there is none, which costs a query.
        self._initialise()

    def columns(self) -> tuple[Column, ...]:
        """The table's columns without the lineage columns, in order.

        Raises:
            TableError: There is no such table, or it lacks a lineage column, so it is not one that
                this loader made.
        """
        found = self.columns_if_exists()
        if found is None:
            raise TableError(f"there is no table {self.name}")
        return found

    def columns_if_exists(self) -> tuple[Column, ...] | None:
        """The same as ``columns``; None if the catalog has no such table.

        Raises:
            TableError: The table lacks a lineage column.
        """
        from pyspark.errors import AnalysisException

        with self._errors("read the columns of"):
            try:
                fields = self._spark.table(self._sql_name).schema.fields
            except AnalysisException as error:
                if error.getCondition() != "TABLE_OR_VIEW_NOT_FOUND":
                    raise
                return None
        found = {field.name: name_of_type(field.dataType) for field in fields}
        missing = [
            f"{name} {sql_type}"
            for name, (sql_type, _) in LINEAGE_COLUMNS.items()
            if found.get(name) != sql_type
        ]
        if missing:
            raise TableError(
                f"table {self.name} exists with another layout: it has no "
                f"column {', '.join(missing)}",
                "Give table.name a name of its own, or add the columns: "
                f"ALTER TABLE {self.name} ADD COLUMNS ({', '.join(missing)}).",
            )
        comments = {
            field.name: field.metadata.get("comment", "")
            for field in fields
            if field.name not in LINEAGE_COLUMNS
        }
        originals, self._has_originals = read_originals(comments, self._read_properties())
        return tuple(Column(name, found[name], originals[name]) for name in comments)

    def format_version(self, default: str) -> int:
        """The version of Iceberg's format.

        Args:
            default: For a table that is yet to be made.
        """
        made = self.exists()
        return int(self._read_properties().get("format-version", "2") if made else default)

    def _note_originals(self, columns: Sequence[Column]) -> None:
        properties = properties_for({c.name: c.original for c in columns})
        self._commit(
            "note the original names of columns of",
            f"alter table {self._sql_name} set tblproperties ({_listed(properties)})",
            lambda: properties.keys() <= self._read_properties().keys(),
        )

    def widen(self, column: str, sql_type: str) -> None:
        """Give a column a wider type, which rewrites no rows."""
        self._commit(
            "widen a column of",
            f"alter table {self._sql_name} alter column {quoted(column)} type {sql_type}",
            lambda: any(c.name == column and c.sql_type == sql_type for c in self.columns()),
        )

    def add_columns(self, columns: Sequence[Column]) -> None:
        """Add columns; one that another worker has added in between is left as it is."""
        # Before the columns, which without this would lose their original names in a crash.
        noted = [Column(c.name, c.sql_type, c.original or c.name) for c in columns]
        older = () if self._has_originals else self.columns()
        self._note_originals([*older, *noted])
        self._add_columns(columns)

    def _add_columns(self, columns: Sequence[Column]) -> None:
        fields = ", ".join(_field(c.name, c.sql_type, c.original) for c in columns)
        wanted = {column.name for column in columns}
        try:
            self._commit(
                "add columns to",
                f"alter table {self._sql_name} add columns ({fields})",
                lambda: wanted <= {column.name for column in self.columns()},
            )
        except TableError:
            there = {column.name for column in self.columns()}
            missing = [column for column in columns if column.name not in there]
            if len(missing) == len(columns):
                raise
            if missing:
                self._add_columns(missing)

    def table_id(self) -> str:
        """What tells this table from another one that is made under its name later.

        A table of an earlier version gets the properties that it lacks.
        """
        found = self._table_id()
        self._bound_metadata()
        if found:
            return found
        made = secrets.token_hex(16)
        self._commit(
            "set a property of",
            f"alter table {self._sql_name} set tblproperties ('{TABLE_ID_PROPERTY}' = '{made}')",
            lambda: self._table_id() == made,
        )
        return made

    def _bound_metadata(self) -> None:
        """Have old metadata files deleted, unless the table's owner has decided about that."""
        known = self._properties if self._properties is not None else self._read_properties()
        if any(name in known for name in METADATA_PROPERTIES):
            return
        pairs = ", ".join(f"'{name}' = '{value}'" for name, value in METADATA_PROPERTIES.items())
        self._commit(
            "set a property of",
            f"alter table {self._sql_name} set tblproperties ({pairs})",
            lambda: METADATA_PROPERTIES.items() <= self._read_properties().items(),
        )

    def owner(self) -> str | None:
        """The ingestion that loads the table, as its properties were read last."""
        return owner_in(self._properties or self._read_properties())

    def set_owner(self, ingestion_id: str) -> None:
        """Note which ingestion loads the table."""
        self._commit(
            "set a property of",
            f"alter table {self._sql_name} set tblproperties "
            f"({_listed(owner_properties(ingestion_id))})",
            lambda: owner_in(self._read_properties()) == ingestion_id,
        )
        self._properties = None

    def _table_id(self) -> str | None:
        return self._read_properties().get(TABLE_ID_PROPERTY)

    def _read_properties(self) -> Mapping[str, str]:
        with self._errors("read the properties of"):
            rows = self._rows(f"show tblproperties {self._sql_name}")
        self._properties = {row["key"]: row["value"] for row in rows}
        return self._properties

    # --- snapshots and branches -----------------------------------------------------------------

    def head(self) -> int:
        """The snapshot that main points to. An empty table gets an empty one first."""
        return self.history().heads["main"]

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
        """Put an empty snapshot on main, for a branch needs one to begin at."""
        self._commit(
            "initialise",
            f"insert into {self._sql_name} select * from {self._sql_name} where false",
            lambda: "main" in self._history().heads,
        )

    def _history(self) -> History:
        with self._errors("read the snapshots of"):
            return read_history(self._spark, self._sql_name)

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
        self, attempt: str, batch_id: str | None = None, further: Mapping[str, str] | None = None
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

    def append(self, frame: "DataFrame", branch: str, batch_id: str, layout: Layout) -> None:
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

    def refresh(self) -> None:
        """Forget what Spark keeps of the table, for it may be older than what the catalog has."""
        with self._errors("refresh"):
            self._spark.sql(f"refresh table {self._sql_name}")

    def _commit(self, doing: str, statement: str, is_done: "Callable[[], bool]") -> list[Any]:
        """Run a statement that commits, and that may be repeated, until its outcome is known.

        Args:
            doing: What it does to the table, as a verb, for the message if it fails.
            statement: The SQL.
            is_done: Whether the table shows what the statement is to bring about; asked after an
                error, for an error does not tell.

        Returns:
            The statement's rows; none if its answer was lost.
        """
        rows: list[Any] = []
        for attempt in tries():
            with attempt:
                try:
                    with self._errors(doing):
                        rows = self._rows(statement)
                except TableError:
                    # Before the table is made there is nothing to refresh.
                    with suppress(TableError):
                        self.refresh()
                    if not is_done():
                        raise
        return rows

    @contextmanager
    def known_outcome(self, branch: str) -> "Iterator[None]":
        """Raise ``CommitUnknown`` if an error leaves open whether a write was committed."""
        try:
            yield
        except Exception as error:
            if not is_open(error):
                raise
            # Not repeated here, for that could write the rows twice.
            self.refresh()
            raise CommitUnknown(
                f"nobody knows whether a write to branch {branch} of {self.name} was committed: "
                f"{short(error)}",
                "Nothing was published; its files wait for the next run. See to the catalog.",
            ) from error

    # --- for other modules -----------------------------------------------------------------------

    def query(self, doing: str, statement: str) -> list[Any]:
        """Run a statement, whose table names ``named`` gives, and return its rows.

        Args:
            doing: What it does to the table, as a verb, for the message if it fails.
            statement: The SQL.
        """
        with self._errors(doing):
            return self._rows(statement)

    def stream(self, doing: str, statement: str) -> "Iterator[Any]":
        """The same for many rows, which come as they are read."""
        with self._errors(doing):
            yield from self._spark.sql(statement).toLocalIterator()

    def named(self, ref: str = "main") -> str:
        """The table in SQL, as it is on a branch or on ``main``."""
        return self._on(ref)

    def as_of(self, snapshot_id: int | None) -> str:
        """The table in SQL, as it is in a snapshot; None: as it is on ``main`` now."""
        return self._sql_name + (f" version as of {snapshot_id}" if snapshot_id is not None else "")

    def _rows(self, statement: str) -> list[Any]:
        from autoloader_dagster.spark.client import rows_of

        return rows_of(self._spark, statement)

    def _on(self, ref: str) -> str:
        return self._sql_name if ref == "main" else f"{self._sql_name}.{quoted('branch_' + ref)}"

    @contextmanager
    def _errors(self, doing: str) -> "Iterator[None]":
        """Pass on what the server says of a table as a TableError; that it is gone, as it is."""
        from pyspark.errors import PySparkException

        from autoloader_dagster.spark.client import reason_of

        try:
            yield
        except PySparkException as error:
            if reason_of(error) is not None:
                raise
            if names_no_catalog(str(error)):
                raise TableError(
                    unknown_catalog(self.name, catalogs_in(self._spark.conf.getAll)),
                    "Correct table.name, or configure the catalog on the Spark server.",
                ) from error
            if is_of_catalog(error):
                catalog = self.name.partition(".")[0]
                raise unavailable(
                    self._spark, catalog, error, f"{doing} table {self.name}"
                ) from error
            kind = TableUnavailable if is_environment(error) else TableError
            raise kind(
                f"cannot {doing} table {self.name}: {short(error)}",
                "Nothing of this step is in the table; its files wait for the next run. Mend what "
                "the message says: the disk, the rights, the catalog or the table.",
            ) from error


def _field(name: str, sql_type: str, comment: str) -> str:
    said = f" comment {literal(comment)}" if comment else ""
    return f"{quoted(name)} {sql_type}{said}"


def _listed(properties: Mapping[str, str]) -> str:
    return ", ".join(f"{literal(key)} = {literal(value)}" for key, value in properties.items())
