"""The properties of one Iceberg table: whose it is, which table it is, how its metadata is kept."""

import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoloader_dagster.iceberg.owner import owner_in, owner_properties
from autoloader_dagster.iceberg.statements import Statements, listed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# How old properties may be that are taken for the present ones.
_FRESH_SECONDS = 1.0

TABLE_ID_PROPERTY = "autoloader.table-id"
# Iceberg shows it among the properties; 'none' for a table without a snapshot.
_HEAD_PROPERTY = "current-snapshot-id"
# A batch commits four times, and each commit writes a metadata file with all snapshots. Without
# these, Iceberg keeps every one of them for ever.
METADATA_PROPERTIES = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
}
# All branches of a table share its metadata, so workers meet at each commit. A commit that is
# refused too often throws away what the batch has written. Iceberg tries four times by default.
COMMIT_PROPERTIES = {"commit.retry.num-retries": "20", "commit.retry.max-wait-ms": "5000"}


class TableProperties(Statements):
    """A table's properties; see ``Statements`` for its arguments and errors."""

    def __init__(self, spark: "SparkSession", name: str) -> None:
        super().__init__(spark, name)
        self._properties: Mapping[str, str] | None = None
        self._read_at = 0.0

    def format_version(self, default: str) -> int:
        """The version of Iceberg's format.

        Args:
            default: For a table that is yet to be made.
        """
        made = self.exists()
        return int(self._read_properties().get("format-version", "2") if made else default)

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

    def head_and_id(self, just_read: bool = False) -> tuple[int | None, str | None]:
        """Main's snapshot and the table's id, as they are at one moment; None for what it lacks.

        Args:
            just_read: Whether that moment may be up to a second ago; for one that publishes only if
                main has not moved since.

        As in ``table_id``, old metadata files of a table of an earlier version are deleted from now
        on.
        """
        recent = just_read and time.monotonic() - self._read_at < _FRESH_SECONDS
        properties = (self._properties if recent else None) or self._read_properties()
        self._bound_metadata()
        head = properties.get(_HEAD_PROPERTY, "")
        return int(head) if head.isdecimal() else None, properties.get(TABLE_ID_PROPERTY)

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
            f"({listed(owner_properties(ingestion_id))})",
            lambda: owner_in(self._read_properties()) == ingestion_id,
        )
        self._properties = None

    def _table_id(self) -> str | None:
        return self._read_properties().get(TABLE_ID_PROPERTY)

    def _read_properties(self) -> Mapping[str, str]:
        asked_at = time.monotonic()
        with self._errors("read the properties of"):
            rows = self._rows(f"show tblproperties {self._sql_name}")
        self._properties = {row["key"]: row["value"] for row in rows}
        self._read_at = asked_at
        return self._properties
