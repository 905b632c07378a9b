"""Find, and remove, files in the folders of tables that nothing names any more.

A Spark driver that is killed while it writes leaves the data files of that write behind. No
snapshot names them, so they only cost storage.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from autoloader_dagster.iceberg.table import IcebergTable
from autoloader_dagster.iceberg.table_folders import CatalogFolders
from autoloader_dagster.iceberg.unused_files import refuse_shared_folder, unused_files
from autoloader_dagster.loading.progress import no_progress
from autoloader_dagster.state.store import ProcessedFiles

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A writer's clock, and the store's, may be off.
_BEFORE_A_BATCH = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class UnusedFiles:
    """What was found of one table.

    Attributes:
        table: Its name.
        before: Only files that were written before this moment were looked at.
        files: Their addresses; None if the table does not exist.
        removed: Whether they are removed now.
    """

    table: str
    before: datetime
    files: tuple[str, ...] | None
    removed: bool = False


def find_unused_files(
    spark: "SparkSession",
    state: ProcessedFiles,
    table: str,
    age: timedelta,
    confirm: Callable[[UnusedFiles], bool] = lambda _: False,
    folders: CatalogFolders | None = None,
) -> UnusedFiles:
    """Find the unused files of a table, and remove them if that is confirmed.

    Files that were written since an hour before the oldest batch under way are never among them.

    Args:
        spark: An open session.
        state: Knows the batches under way.
        table: ``catalog.namespace.table``.
        age: Only files that are older; 24 hours at least.
        confirm: Is asked whether the files that were found are to be removed.
        folders: Those of the catalog's tables, if several tables are looked at.

    Raises:
        UsageError: The age is less than 24 hours.
        FolderShared: Another table has, or may have, files in the table's folder.
        TableError: The catalog or the table refuses.
    """
    before = datetime.now(timezone.utc) - age
    oldest = state.batches.oldest_open(table)
    if oldest is not None:
        before = min(before, oldest - _BEFORE_A_BATCH)
    if not IcebergTable(spark, table).exists():
        return UnusedFiles(table, before, None)
    refuse_shared_folder(folders or CatalogFolders(spark, no_progress), table)
    found = UnusedFiles(table, before, tuple(unused_files(spark, table, before)))
    if not found.files or not confirm(found):
        return found
    gone = unused_files(spark, table, before, remove=True)
    return UnusedFiles(table, before, tuple(gone), removed=True)
