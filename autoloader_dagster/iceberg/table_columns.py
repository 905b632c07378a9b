"""The columns of one Iceberg table: read, added, widened, and what they are called in the files."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.errors import TableError
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.data_types import name_of_type
from autoloader_dagster.iceberg.lineage import (
    BATCH_ID,
    LINEAGE_COLUMNS,
    PARTITION_KEY,
    RESCUED,
    SOURCE_FILE,
    SOURCE_MODIFIED_AT,
)
from autoloader_dagster.iceberg.originals import properties_for, read_originals
from autoloader_dagster.iceberg.properties import TABLE_ID_PROPERTY, TableProperties
from autoloader_dagster.iceberg.required import refused_where
from autoloader_dagster.iceberg.sql import literal, quoted
from autoloader_dagster.iceberg.statements import listed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_IDENTITY = (SOURCE_FILE, SOURCE_MODIFIED_AT, BATCH_ID)


class TableColumns(TableProperties):
    """A table's columns; see ``Statements`` for its arguments and errors."""

    def __init__(self, spark: "SparkSession", name: str) -> None:
        super().__init__(spark, name)
        self._has_originals = True

    def columns(self) -> tuple[Column, ...]:
        """The table's columns without the lineage columns, in order.

        Raises:
            TableError: There is no such table, or it lacks a lineage column, so it is not one that
                this loader made.
        """
        found = self.columns_if_exists()
        if found is None:
            raise TableError(
                f"there is no table {self.name}",
                "If it was dropped, 'autoloader reconcile NAME --yes' has its files loaded again.",
            )
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
            self._refuse_loss(found)
            raise TableError(
                f"table {self.name} exists with another layout: it has no "
                f"column {', '.join(missing)}",
                "Give table.name a name of its own, or add the columns: "
                f"ALTER TABLE {self.name} ADD COLUMNS ({', '.join(missing)}).",
            )
        for field in fields:
            if field.name in (RESCUED, PARTITION_KEY) and not field.nullable:
                raise TableError(
                    f"column {field.name} of table {self.name} is NOT NULL, and most rows have no "
                    "value there",
                    f"ALTER TABLE {self.name} ALTER COLUMN {field.name} DROP NOT NULL.",
                )
        comments = {
            field.name: field.metadata.get("comment", "")
            for field in fields
            if field.name not in LINEAGE_COLUMNS
        }
        originals, self._has_originals = read_originals(comments, self._read_properties())
        return tuple(
            Column(field.name, found[field.name], originals[field.name], refused_where(field))
            for field in fields
            if field.name in comments
        )

    def _refuse_loss(self, found: Collection[str]) -> None:
        """Refuse a table of ours that has lost what tells whose its rows are.

        Added again, the columns would be empty, and its files would be loaded once more.

        Raises:
            TableError: It has.
        """
        lost = [name for name in _IDENTITY if name not in found]
        if lost and TABLE_ID_PROPERTY in self._read_properties():
            raise TableError(
                f"table {self.name} has lost its column {', '.join(lost)}, by which each row is "
                "known",
                "Do not add it again, because it would be empty. Give table.name a new name; "
                "'autoloader reconcile NAME --yes' and then 'autoloader run NAME' load all files "
                "into that table.",
            )

    def _note_originals(self, columns: Sequence[Column]) -> None:
        properties = properties_for({c.name: c.original for c in columns})
        self._commit(
            "note the original names of columns of",
            f"alter table {self._sql_name} set tblproperties ({listed(properties)})",
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
        fields = ", ".join(field(c.name, c.sql_type, c.original) for c in columns)
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


def field(name: str, sql_type: str, comment: str) -> str:
    """A column as SQL has it in a list of columns."""
    said = f" comment {literal(comment)}" if comment else ""
    return f"{quoted(name)} {sql_type}{said}"
