"""Numbers of files and rows, as the pages of Dagster show them. Nothing here writes."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, select

from autoloader_dagster.state.database import Database, one_of
from autoloader_dagster.state.files import HAS_BAD_ROWS
from autoloader_dagster.state.models import StoredBatch, StoredFile
from autoloader_dagster.state.records import (
    BadRows,
    FileStatus,
    PartitionTotals,
    StatusTotals,
)


class Totals:
    """Numbers of files and rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self, ingestion_id: str | None = None) -> dict[str, dict[FileStatus, StatusTotals]]:
        """Files, bytes and rows by status, for one ingestion or all of them."""
        totals = select(
            StoredFile.ingestion_id,
            StoredFile.status,
            func.count(),
            func.sum(StoredFile.file_size_bytes),
            func.coalesce(func.sum(StoredFile.rows), 0),
        ).group_by(StoredFile.ingestion_id, StoredFile.status)
        if ingestion_id is not None:
            totals = totals.where(StoredFile.ingestion_id == ingestion_id)
        found: dict[str, dict[FileStatus, StatusTotals]] = defaultdict(dict)
        with self._database.reading() as connection:
            for ingestion, status, number, size, rows in connection.execute(totals):
                found[ingestion][status] = StatusTotals(number, int(size), int(rows))
        return dict(found)

    def number_of_files(
        self,
        ingestion_id: str,
        statuses: Collection[FileStatus],
        discovered_before: datetime | None = None,
    ) -> int:
        """How many file versions have one of these statuses; cheap, however many there are.

        Args:
            ingestion_id: ``tenant/name``.
            statuses: Those that count.
            discovered_before: Only versions that were found before this moment count.
        """
        counted = (
            select(func.count())
            .select_from(StoredFile)
            .where(StoredFile.ingestion_id == ingestion_id, StoredFile.status.in_(list(statuses)))
        )
        if discovered_before is not None:
            counted = counted.where(StoredFile.discovered_at < discovered_before)
        with self._database.reading() as connection:
            return connection.scalar(counted) or 0

    def bad_rows(self, ingestion_id: str) -> BadRows:
        """Rows in the table with something in ``_rescued``, over all loaded files."""
        bad = StoredFile.bad_rows
        with self._database.reading() as connection:
            rows, files, worst = connection.execute(
                select(
                    func.coalesce(func.sum(bad), 0), func.count(), func.coalesce(func.max(bad), 0)
                ).where(
                    StoredFile.ingestion_id == ingestion_id,
                    StoredFile.status == "SUCCESS",
                    HAS_BAD_ROWS,
                )
            ).one()
        return BadRows(int(rows), files, worst)

    def last_loads(self, ingestion_id: str) -> dict[str | None, int]:
        """The ``record_number`` of the last batch of each partition with loaded files."""
        last = (
            select(StoredFile.partition_key, func.max(StoredBatch.record_number))
            .join(StoredBatch, StoredBatch.id == StoredFile.batch_id)
            .where(StoredFile.ingestion_id == ingestion_id, StoredFile.status == "SUCCESS")
            .group_by(StoredFile.partition_key)
        )
        with self._database.reading() as connection:
            return {key: number for key, number in connection.execute(last) if number is not None}

    def partition_totals(
        self, ingestion_id: str, keys: Collection[str | None] | None = None
    ) -> dict[str | None, PartitionTotals]:
        """Files and rows that are loaded, for each of these partitions.

        Without keys for each partition that has loaded files.
        """
        key = StoredFile.partition_key
        loaded = (
            select(key, func.count(), func.coalesce(func.sum(StoredFile.rows), 0))
            .where(StoredFile.ingestion_id == ingestion_id, StoredFile.status == "SUCCESS")
            .group_by(key)
        )
        with self._database.reading() as connection:
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
        self, ingestion_id: str, keys: Collection[str]
    ) -> dict[str, dict[FileStatus, int]]:
        """Files by status, for those of these partitions that have recorded files."""
        key = StoredFile.partition_key
        with self._database.reading() as connection:
            counted = (
                select(key, StoredFile.status, func.count())
                .where(StoredFile.ingestion_id == ingestion_id, one_of(key, keys, connection))
                .group_by(key, StoredFile.status)
            )
            found: dict[str, dict[FileStatus, int]] = defaultdict(dict)
            for each, status, number in connection.execute(counted):
                found[each][status] = number
        return dict(found)
