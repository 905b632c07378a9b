"""How statements on one Iceberg table are run, so that what became of each is known.

Every statement names the branch as part of the table (``ns.t.branch_x``), never by the ``branch``
option or ``spark.wap.branch``, because these create a branch that is missing.
"""

from collections.abc import Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from autoloader_dagster.errors import CommitUnknown, PublishConflict, TableError, TableUnavailable
from autoloader_dagster.iceberg.commits import is_open, is_refused, tries
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

    from pyspark.sql import SparkSession


class Statements:
    """Runs statements on one table, by its full name, in one Spark session.

    Args:
        spark: A session whose server has the catalog.
        name: ``catalog.namespace.table``.

    Every method raises ``TableError`` if the catalog or the table refuses.
    """

    def __init__(self, spark: "SparkSession", name: str) -> None:
        self.name = name
        self._spark = spark
        # Quoted, because a part may be a word of SQL, as in lake.sales.order.
        catalog, *rest = (quoted(part) for part in name.split("."))
        self._catalog = catalog
        self._in_catalog = ".".join(rest)
        self._sql_name = f"{catalog}.{self._in_catalog}"
        # Iceberg's catalog keeps tables as a session last saw them, for as long as it uses them;
        # what another writer has done since must be seen. Holds for the session's first table.
        spark.conf.set(f"spark.sql.catalog.{name.partition('.')[0]}.cache-enabled", "false")

    def exists(self) -> bool:
        """Whether the catalog has the table."""
        with self._errors("look up"):
            return self._spark.catalog.tableExists(self._sql_name)

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

    def columns_as_of(self, snapshot_id: int) -> set[str]:
        """The names of the columns that the table had in a snapshot."""
        with self._errors("read"):
            return set(self._spark.sql(f"select * from {self.as_of(snapshot_id)}").columns)

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
                "Nothing of this step is in the table; its files wait for the next run. Fix what "
                "the message says: the disk, the rights, the catalog or the table.",
            ) from error

    def refresh(self) -> None:
        """Drop Spark's cache of the table, which may be older than what the catalog has."""
        with self._errors("refresh"):
            self._spark.sql(f"refresh table {self._sql_name}")

    def _commit(self, doing: str, statement: str, is_done: "Callable[[], bool]") -> list[Any]:
        """Run a statement that commits, and that may be repeated, until its outcome is known.

        Args:
            doing: What it does to the table, as a verb, for the message if it fails.
            statement: The SQL.
            is_done: Whether the table shows what the statement is to bring about; asked after an
                error, because an error does not tell.

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
        """Tell an error that leaves open whether a write was committed from other ones.

        Raises:
            PublishConflict: The catalog refused the write, because other writers were faster.
            CommitUnknown: Nobody knows whether it was committed.
        """
        try:
            yield
        except Exception as error:
            if not is_open(error):
                raise
            # Not repeated here, because that could write the rows twice.
            self.refresh()
            if is_refused(error):
                raise PublishConflict(
                    f"a write to branch {branch} of {self.name} was refused, because other "
                    f"writers of the table were faster: {short(error)}",
                    "Nothing was published; its files wait for the next run.",
                ) from error
            raise CommitUnknown(
                f"nobody knows whether a write to branch {branch} of {self.name} was committed: "
                f"{short(error)}",
                "Nothing was published; its files wait for the next run. Check the catalog.",
            ) from error


def listed(properties: Mapping[str, str]) -> str:
    """Properties as SQL has them in parentheses."""
    return ", ".join(f"{literal(key)} = {literal(value)}" for key, value in properties.items())
