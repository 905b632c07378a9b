"""Files in a table's folder that none of its snapshots names, such as those of a killed writer."""

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from autoloader_dagster.errors import FolderShared, UsageError
from autoloader_dagster.iceberg.sql import literal, quoted
from autoloader_dagster.iceberg.statements import Statements
from autoloader_dagster.iceberg.table_folders import CatalogFolders, overlap

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Iceberg's own limit: a writer that has not committed yet has files that no snapshot names.
LEAST_AGE = timedelta(hours=24)


def unused_files(
    spark: "SparkSession", table: str, before: datetime, *, remove: bool = False
) -> list[str]:
    """Find the files that were written before a moment and that no snapshot of any branch names.

    Args:
        spark: A session whose server has the catalog.
        table: ``catalog.namespace.table``.
        before: At least 24 hours ago, by the clock of the Spark server.
        remove: Whether to remove them.

    Returns:
        Their addresses, sorted.

    Raises:
        UsageError: The moment is less than 24 hours ago.
        TableError: The catalog or the table refuses.
    """
    if datetime.now(timezone.utc) - before < LEAST_AGE:
        raise UsageError(
            f"files of {table} that were written after {before:%Y-%m-%d %H:%M} UTC may belong to a "
            "write that is under way",
            "Use an age of 24 hours or more.",
        )
    catalog, _, name = table.partition(".")
    moment = before.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")
    rows = Statements(spark, table).query(
        "look for unused files of" if not remove else "remove unused files of",
        f"call {quoted(catalog)}.system.remove_orphan_files(table => {literal(name)}, "
        f"older_than => timestamp {literal(moment)}, dry_run => {str(not remove).lower()}, "
        # By the table's own way to its files: Spark need not know the scheme of the warehouse.
        "prefix_listing => true)",
    )
    return sorted(row["orphan_file_location"] for row in rows)


def refuse_shared_folder(folders: CatalogFolders, table: str) -> None:
    """Refuse a table in whose folder, or around it, another one's files are.

    Iceberg takes each file below a table's location for a file of this table.

    Args:
        folders: Knows the tables of the catalog.
        table: ``catalog.namespace.table``.

    Raises:
        FolderShared: Another table has its files there, or nobody knows where it has them.
        TableError: The catalog or the table refuses.
    """
    own = folders.of(table)
    if own.unknown and not own.folders:
        raise FolderShared(
            f"cannot look for unused files of {table}: {own.unknown}", "Nothing was removed."
        )
    location = own.folders[0]
    for other in folders.others(table):
        for folder in other.folders:
            if overlap(location, folder):
                raise FolderShared(
                    f"cannot look for unused files of {table}: its folder is {location}, and "
                    f"{other.name} has files in {folder}, which would be taken for unused ones",
                    f"Nothing was removed. Copy the rows of {other.name} to a table in a folder "
                    "of its own and drop the old one without 'purge', or leave the unused files.",
                )
        if other.unknown:
            raise FolderShared(
                f"cannot look for unused files of {table}: {other.name} may have files in its "
                f"folder: {other.unknown}",
                f"Nothing was removed. Let the Spark server read {other.name} and its properties, "
                "or drop it.",
            )
