"""Brings versions into the state that the table has rows of, and the state does not hold as loaded.

A state that was lost has perhaps not listed them yet, and the source has perhaps deleted them. The
rows tell when such a version was changed, and nothing else that tells it from others.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import (
    Connection,
    exists,
    select,
    text,
)

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state.comparison import FOUND, UNLISTED, Comparison, staged_rows
from autoloader_dagster.state.database import Database, now, one_of
from autoloader_dagster.state.guarded import write_guarded
from autoloader_dagster.state.listing import staged
from autoloader_dagster.state.models import StoredBatch, StoredFile
from autoloader_dagster.state.records import (
    FileStatus,
    Guard,
    LoadedFile,
    RowsOfFile,
    no_guard,
)
from autoloader_dagster.state.transitions import ALL, add, move

_NAME = """
UPDATE processed_files SET
  file_version = (SELECT l.version FROM autoloader_listing l
                  WHERE l.file_path = processed_files.file_path),
  file_etag = (SELECT l.etag FROM autoloader_listing l
               WHERE l.file_path = processed_files.file_path),
  file_size_bytes = (SELECT l.size FROM autoloader_listing l
                     WHERE l.file_path = processed_files.file_path),
  found_in_table_at = NULL
WHERE ingestion_id = :ingestion AND found_in_table_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM autoloader_listing l
              WHERE l.file_path = processed_files.file_path
                AND l.modified_at = processed_files.file_modified_at
                AND NOT EXISTS (SELECT 1 FROM processed_files f
                                WHERE f.ingestion_id = :ingestion AND f.file_path = l.file_path
                                  AND f.file_version = l.version))
"""


class Rebuild:
    """Brings the state up to a table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_versions(
        self,
        ingestion_id: str,
        tenant: str,
        versions: Sequence[tuple[str, datetime, str | None]],
    ) -> None:
        """Add those of these versions that are not known: path, time of last change, partition.

        The table has their rows, and they were not listed, so nothing else is known of them. They
        are UNDONE until they are recorded, and get their identity from the listing that shows a
        file of this path and time.
        """
        with self._database.writing(ingestion_id) as connection:
            moment = now(connection)
            paths = [path for path, _, _ in versions]
            known = {
                (row.file_path, row.file_modified_at)
                for row in connection.execute(
                    select(StoredFile.file_path, StoredFile.file_modified_at).where(
                        StoredFile.ingestion_id == ingestion_id,
                        one_of(StoredFile.file_path, paths, connection),
                    )
                )
            }
            rows = [
                {
                    "tenant": tenant,
                    "ingestion_id": ingestion_id,
                    "file_path": path,
                    "file_version": f"{UNLISTED}{modified_at.isoformat(timespec='microseconds')}",
                    "file_size_bytes": 0,
                    "file_modified_at": modified_at,
                    "partition_key": partition_key,
                    "reason": FOUND,
                    "discovered_at": moment,
                    "retry_count": 0,
                    "created_at": moment,
                    "updated_at": moment,
                    "found_in_table_at": moment,
                }
                for path, modified_at, partition_key in versions
                if (path, modified_at) not in known
            ]
            add(connection, "UNDONE", rows, unless_known=True)

    def reinstate(
        self,
        ingestion_id: str,
        batch_id: BatchId,
        files: Sequence[LoadedFile],
        seen: Mapping[int, FileStatus | None],
        guard: Guard = no_guard,
    ) -> int:
        """Note files as loaded by a recorded batch, because the table has its rows of them.

        Args:
            ingestion_id: ``tenant/name``.
            batch_id: The batch; if it is not recorded any more, nothing is written.
            files: The files with their rows.
            seen: The status that each was compared with. A file with another one by now stays.
            guard: As for ``record``.

        Returns:
            How many files were written.
        """

        def write(connection: Connection) -> int:
            batch = connection.execute(
                select(StoredBatch.status, StoredBatch.snapshot_id)
                .where(StoredBatch.id == batch_id)
                .with_for_update()
            ).one_or_none()
            held = connection.execute(
                select(StoredFile.id, StoredFile.status)
                .where(one_of(StoredFile.id, [each.file_id for each in files], connection))
                .with_for_update()
            )
            unchanged = {row.id for row in held if row.status == seen.get(row.id)}
            still = [each for each in files if each.file_id in unchanged]
            if batch is None or batch.status != "RECORDED" or not still:
                return 0
            write_loaded(connection, batch_id, batch.snapshot_id, still, ALL)
            return len(still)

        return write_guarded(self._database, ingestion_id, guard, write)

    @contextmanager
    def compare(
        self,
        ingestion_id: str,
        shared: bool,
        in_table: Iterable[RowsOfFile],
        listing: Iterable[Sequence[FileRef]],
        of_others: Collection[str] = (),
    ) -> Iterator[Comparison]:
        """Hold a table's rows and a listing against the state; see ``Comparison``.

        Args:
            ingestion_id: Whose files.
            shared: The table has rows of other ingestions as well.
            in_table: The rows, counted by file version and batch; streamed.
            listing: The source; streamed.
            of_others: Batches of other ingestions by their snapshots, if the state has lost them.
        """
        with (
            self._database.connecting() as connection,
            staged(connection, listing),
            staged_rows(connection, in_table),
        ):
            yield Comparison(connection, ingestion_id, shared, of_others)


def write_loaded(
    connection: Connection,
    batch_id: BatchId,
    snapshot_id: int | None,
    files: Sequence[LoadedFile],
    came_from: Collection[FileStatus],
) -> None:
    """Write that files are loaded by a recorded batch, unless they have another status."""
    moment = now(connection)
    changes = [
        {"row_id": each.file_id, "rows": each.rows, "bad_rows": each.bad_rows} for each in files
    ]
    move(
        connection,
        changes,
        came_from,
        "SUCCESS",
        moment,
        batch_id=batch_id,
        snapshot_id=snapshot_id,
        processed_at=moment,
    )


def name_listed_versions(connection: Connection, ingestion_id: str) -> None:
    """Give versions that were known by their rows only the identity that the listing shows."""
    unlisted = exists().where(
        StoredFile.ingestion_id == ingestion_id, StoredFile.found_in_table_at.is_not(None)
    )
    if connection.scalar(select(unlisted)):
        connection.execute(text(_NAME), {"ingestion": ingestion_id})
