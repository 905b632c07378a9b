"""Numbers of files and rows, as the pages of Dagster show them. Nothing here writes."""

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import func, select

from autoloader_dagster.state.database import Database, one_of
from autoloader_dagster.state.models import StoredFile
from autoloader_dagster.state.records import (
    BadFile,
    BadRows,
    FileStatus,
    PartitionTotals,
)


def number_of_files(database: Database, ingestion_id: str, statuses: Collection[FileStatus]) -> int:
    """How many file versions have one of these statuses; an index has the answer."""
    counted = (
        select(func.count())
        .select_from(StoredFile)
        .where(StoredFile.ingestion_id == ingestion_id, StoredFile.status.in_(list(statuses)))
    )
    with database.reading() as connection:
        return connection.scalar(counted) or 0


def bad_rows(database: Database, ingestion_id: str) -> BadRows:
    """Rows with something in ``_rescued``; see ``ProcessedFiles.bad_rows``."""
    bad = StoredFile.bad_records
    with database.reading() as connection:
        rows, files, worst = connection.execute(
            select(
                func.coalesce(func.sum(bad), 0), func.count(), func.coalesce(func.max(bad), 0)
            ).where(
                StoredFile.ingestion_id == ingestion_id, StoredFile.status == "SUCCESS", bad > 0
            )
        ).one()
    return BadRows(int(rows), files, worst)


def bad_files(database: Database, ingestion_id: str, limit: int) -> list[BadFile]:
    """The loaded files with the most bad rows; see ``ProcessedFiles.bad_files``."""
    bad = StoredFile.bad_records
    worst = (
        select(
            StoredFile.file_path,
            StoredFile.partition_key,
            StoredFile.batch_id,
            StoredFile.records_ingested,
            bad,
        )
        .where(StoredFile.ingestion_id == ingestion_id, StoredFile.status == "SUCCESS", bad > 0)
        .order_by(bad.desc(), StoredFile.id)
        .limit(limit)
    )
    with database.reading() as connection:
        return [
            BadFile(row.file_path, row.partition_key, row.batch_id or "", rows or 0, found or 0)
            for row in connection.execute(worst)
            for rows, found in [(row.records_ingested, row.bad_records)]
        ]


def partition_totals(
    database: Database, ingestion_id: str, keys: Collection[str | None] | None
) -> dict[str | None, PartitionTotals]:
    """What of each partition is loaded; see ``ProcessedFiles.partition_totals``."""
    key = StoredFile.partition_key
    loaded = (
        select(key, func.count(), func.coalesce(func.sum(StoredFile.records_ingested), 0))
        .where(StoredFile.ingestion_id == ingestion_id, StoredFile.status == "SUCCESS")
        .group_by(key)
    )
    with database.reading() as connection:
        if keys is not None:
            chosen = one_of(key, [each for each in keys if each is not None], connection)
            loaded = loaded.where(chosen | key.is_(None) if None in keys else chosen)
        found = {
            each: PartitionTotals(number, int(rows))
            for each, number, rows in connection.execute(loaded)
        }
    if keys is None:
        return found
    return {each: found.get(each, PartitionTotals(0, 0)) for each in keys}


def partition_statuses(
    database: Database, ingestion_id: str, keys: Collection[str]
) -> dict[str, dict[FileStatus, int]]:
    """Files by partition and status; see ``ProcessedFiles.partition_statuses``."""
    key = StoredFile.partition_key
    with database.reading() as connection:
        counted = (
            select(key, StoredFile.status, func.count())
            .where(StoredFile.ingestion_id == ingestion_id, one_of(key, keys, connection))
            .group_by(key, StoredFile.status)
        )
        found: dict[str, dict[FileStatus, int]] = defaultdict(dict)
        for each, status, number in connection.execute(counted):
            found[each][status] = number
    return dict(found)
