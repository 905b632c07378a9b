"""Reads what is recorded of files, and changes it when a person asks for that."""

import hashlib
from array import array
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    cast,
    exists,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.state.batches import is_loaded
from autoloader_dagster.state.claims import in_partitions, is_pending
from autoloader_dagster.state.database import Database, now, one_of
from autoloader_dagster.state.models import StoredFile
from autoloader_dagster.state.records import (
    DISMISSED,
    DISMISSIBLE,
    RETRIABLE,
    FileRow,
    FileStatus,
    Partitions,
    PendingPartition,
)
from autoloader_dagster.state.transitions import move

_FILE_COLUMNS = [StoredFile.__table__.c[name] for name in FileRow.__dataclass_fields__]
_ROWS_AT_ONCE = 1_000
# A parameter each, of which a database takes a limited number.
_TIMES_AT_ONCE = 5_000
# As it is written in the index: SQLite does not know that a parameter is 0.
HAS_BAD_ROWS = StoredFile.bad_rows > literal_column("0")
# The largest prime below 2**31: a square of a rest stays inside 64 bits.
_PRIME = 2_147_483_647


class Files:
    """The recorded versions of files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending(
        self, ingestion_id: str, retries: int, but_failed_with: str | None = None
    ) -> list[PendingPartition]:
        """Return what waits to be loaded, by partition: DISCOVERED, and FAILED with tries left.

        Args:
            ingestion_id: ``tenant/name``.
            retries: How often a file may fail before it is given up.
            but_failed_with: Leave out files that failed in batches of this worker.
        """
        # Sums of a number for each (id, retry_count) and of its square, which no order can change:
        # a checksum that both databases compute without handing out a row.
        mark = (StoredFile.id * 64 + StoredFile.retry_count) % _PRIME
        with self._database.reading() as connection:
            rows = connection.execute(
                select(
                    StoredFile.partition_key,
                    func.count(),
                    func.sum(StoredFile.file_size_bytes),
                    func.sum(cast(mark, BigInteger)),
                    func.sum(cast((mark * mark) % _PRIME, BigInteger)),
                    func.min(StoredFile.file_modified_at),
                    func.max(StoredFile.updated_at),
                )
                .where(is_pending(ingestion_id, retries, but_failed_with))
                .group_by(StoredFile.partition_key)
                .order_by(StoredFile.partition_key.nulls_first())
            )
            return [
                PendingPartition(
                    partition_key=key,
                    files=files,
                    bytes=int(size),
                    digest=hashlib.blake2b(
                        f"{files} {int(marks)} {int(squares)}".encode(), digest_size=8
                    ).hexdigest(),
                    oldest_modified_at=oldest,
                    changed_at=changed,
                )
                for key, files, size, marks, squares, oldest, changed in rows
            ]

    def find(
        self,
        ingestion_id: str,
        statuses: Collection[FileStatus] | None = None,
        batch_id: BatchId | None = None,
        run_id: str | None = None,
        path_like: str | None = None,
        limit: int | None = None,
        *,
        paths: Collection[str] | None = None,
        ids: Collection[int] | None = None,
        path_end: str | None = None,
    ) -> Iterator[FileRow]:
        """Yield recorded file versions in the order of their discovery, streamed.

        No transaction is open between two files. Each file is as it was when its page was read,
        and only if it was one of those that were asked for by then.

        Args:
            ingestion_id: ``tenant/name``.
            statuses: Only these.
            batch_id: Only those whose last batch is this one.
            run_id: Only those of this run.
            path_like: Only paths that match; ``*`` and ``?`` as in a shell, over folders too.
                Without either, paths that hold this text.
            limit: At most so many.
            paths: Only these paths, every version of them.
            ids: Only these versions.
            path_end: Only paths that end with this text, in which no character is special.
        """

        def chosen(connection: Connection, *columns: Any) -> Select[Any]:
            found = select(*columns).where(StoredFile.ingestion_id == ingestion_id)
            if statuses is not None:
                found = found.where(StoredFile.status.in_(list(statuses)))
            if batch_id is not None:
                found = found.where(StoredFile.batch_id == batch_id)
            if run_id is not None:
                found = found.where(StoredFile.run_id == run_id)
            if path_like is not None:
                found = found.where(_path_matches(path_like, connection))
            if path_end is not None:
                # LIKE and GLOB would take characters of the text for a pattern.
                start = func.length(StoredFile.file_path) - len(path_end) + 1
                found = found.where(func.substr(StoredFile.file_path, start) == path_end)
            if paths is not None:
                found = found.where(one_of(StoredFile.file_path, paths, connection))
            if ids is not None:
                found = found.where(one_of(StoredFile.id, ids, connection))
            return found.order_by(StoredFile.id)

        # A page is a transaction of its own: whoever reads may take any time between two files.
        with self._database.reading() as connection:
            at_once = _ROWS_AT_ONCE if limit is None else min(limit, _ROWS_AT_ONCE)
            first = connection.execute(chosen(connection, *_FILE_COLUMNS).limit(at_once))
            page = [FileRow(**row) for row in first.mappings()]
            # Of the others only their numbers, eight bytes each.
            rest = array("q")
            if len(page) == _ROWS_AT_ONCE:
                others = chosen(connection, StoredFile.id).where(StoredFile.id > page[-1].id)
                wanted = None if limit is None else limit - len(page)
                rest.extend(connection.scalars(others.limit(wanted)))
        yield from page
        for start in range(0, len(rest), _ROWS_AT_ONCE):
            of_page = rest[start : start + _ROWS_AT_ONCE].tolist()
            with self._database.reading() as connection:
                rows = connection.execute(
                    chosen(connection, *_FILE_COLUMNS).where(
                        one_of(StoredFile.id, of_page, connection)
                    )
                )
                page = [FileRow(**row) for row in rows.mappings()]
            yield from page

    def with_bad_rows(self, ingestion_id: str, limit: int) -> list[FileRow]:
        """The loaded files with something in ``_rescued``, those with the most such rows first."""
        worst = (
            select(*_FILE_COLUMNS)
            .where(
                StoredFile.ingestion_id == ingestion_id,
                StoredFile.status == "SUCCESS",
                HAS_BAD_ROWS,
            )
            .order_by(StoredFile.bad_rows.desc(), StoredFile.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [FileRow(**row) for row in connection.execute(worst).mappings()]

    def partition_keys(self, ingestion_id: str) -> list[str]:
        """The partitions that have files which wait, are loaded, or once were or failed; sorted.

        A partition whose files were all left out or held back is not among them.
        """
        key = StoredFile.partition_key
        recorded = (
            select(key)
            .where(
                StoredFile.ingestion_id == ingestion_id,
                key.is_not(None),
                StoredFile.status.not_in(("SKIPPED", "HELD")),
            )
            .distinct()
            .order_by(key)
        )
        with self._database.reading() as connection:
            return [each for each in connection.scalars(recorded) if each is not None]

    def loaded_ids(self, ingestion_id: str, partitions: Partitions) -> list[tuple[int, int]]:
        """Id and bytes of each loaded file version of these partitions, by partition."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(StoredFile.id, StoredFile.file_size_bytes)
                .where(
                    StoredFile.ingestion_id == ingestion_id,
                    StoredFile.status == "SUCCESS",
                    in_partitions(partitions, connection),
                )
                .order_by(
                    StoredFile.partition_key.nulls_first(),
                    StoredFile.file_modified_at,
                    StoredFile.file_path,
                    StoredFile.id,
                )
            )
            return [(row.id, row.file_size_bytes) for row in rows]

    def same_content(
        self, *, batch_id: BatchId | None = None, run_id: str | None = None
    ) -> dict[str, str]:
        """Of the files of a batch or a run, those whose content was loaded under another name.

        Told by etag and size, so only of sources that give etags.

        Returns:
            For the path of each such file, that of the first one with the same content.
        """
        mine, earlier = aliased(StoredFile), aliased(StoredFile)
        # A look-up in the index for each file; a join would have every pair of many equal ones.
        first = (
            select(earlier.file_path)
            .where(
                earlier.ingestion_id == mine.ingestion_id,
                earlier.file_etag == mine.file_etag,
                earlier.id < mine.id,
                earlier.file_size_bytes == mine.file_size_bytes,
                earlier.file_path != mine.file_path,
                earlier.status == "SUCCESS",
            )
            .order_by(earlier.id)
            .limit(1)
            .correlate(mine)
            .scalar_subquery()
        )
        chosen = select(mine.file_path.label("path"), first.label("same_as")).where(
            mine.batch_id == batch_id if batch_id is not None else mine.run_id == run_id,
            mine.status == "SUCCESS",
            mine.file_etag.is_not(None),
            mine.file_size_bytes > 0,
        )
        found = chosen.subquery()
        with self._database.reading() as connection:
            rows = connection.execute(
                select(found.c.path, found.c.same_as)
                .where(found.c.same_as.is_not(None))
                .order_by(found.c.path)
            )
            return {row.path: row.same_as for row in rows}

    def loaded_outside(
        self,
        ingestion_id: str,
        below: str,
        versions: Collection[str],
        changes: Collection[datetime],
    ) -> list[tuple[str, str | datetime]]:
        """Path and version of each loaded file of these versions that is not below an address.

        A file that the state has learned from the rows of the table has no version; its time of
        last change takes that place.

        Args:
            ingestion_id: Whose files.
            below: The address, with ``/`` at its end.
            versions: The source's versions.
            changes: When these were last changed.
        """
        # Two ranges of the index, which are empty unless the address was changed.
        ranges = (StoredFile.file_path < below, StoredFile.file_path >= f"{below[:-1]}0")
        path, changed = StoredFile.file_path, StoredFile.file_modified_at
        learned = StoredFile.found_in_table_at.is_not(None)

        def loaded(
            mark: InstrumentedAttribute[Any], condition: ColumnElement[bool]
        ) -> list[tuple[str, str | datetime]]:
            chosen = (
                select(path, mark).where(
                    StoredFile.ingestion_id == ingestion_id,
                    outside,
                    is_loaded(StoredFile.status),
                    StoredFile.rows > 0,
                    condition,
                )
                for outside in ranges
            )
            return [(row[0], row[1]) for row in connection.execute(union_all(*chosen))]

        with self._database.reading() as connection:
            version = StoredFile.file_version
            found = loaded(version, one_of(version, versions, connection))
            any_learned = exists().where(StoredFile.ingestion_id == ingestion_id, learned)
            if connection.scalar(select(any_learned)):
                times = list(changes)
                for start in range(0, len(times), _TIMES_AT_ONCE):
                    part = times[start : start + _TIMES_AT_ONCE]
                    found += loaded(changed, and_(learned, changed.in_(part)))
            return found

    def retry(self, ingestion_id: str, partition_of: Mapping[int, str | None]) -> set[int]:
        """Requeue those of the files, with all their tries, that a person may retry.

        Args:
            ingestion_id: ``tenant/name``.
            partition_of: The partition into which each file is to be loaded, by its id.

        Returns:
            The ids of those that wait now.
        """
        with self._database.writing(ingestion_id) as connection:
            moment = now(connection)
            ids = set(
                connection.scalars(
                    select(StoredFile.id)
                    .where(
                        StoredFile.ingestion_id == ingestion_id,
                        one_of(StoredFile.id, partition_of, connection),
                        StoredFile.status.in_(RETRIABLE),
                    )
                    .with_for_update()
                )
            )
            if ids:
                placed = [{"row_id": each, "partition_key": partition_of[each]} for each in ids]
                move(connection, placed, RETRIABLE, "DISCOVERED", moment)
            return ids

    def dismiss(self, ingestion_id: str, file_ids: Collection[int]) -> set[int]:
        """Skip those of the files for good that failed or were quarantined; the reason is kept.

        A dismissed version is not loaded unless somebody retries it. Another version of its path
        is treated as if this one had been skipped.

        Returns:
            The ids of those that are skipped now.
        """
        with self._database.writing(ingestion_id) as connection:
            moment = now(connection)
            bad = connection.execute(
                select(
                    StoredFile.id,
                    StoredFile.status,
                    StoredFile.error_type,
                    StoredFile.reason,
                )
                .where(
                    StoredFile.ingestion_id == ingestion_id,
                    one_of(StoredFile.id, file_ids, connection),
                    StoredFile.status.in_(DISMISSIBLE),
                )
                .with_for_update()
            ).all()
            if bad:
                reasons = [{"row_id": row.id, "reason": _dismissed(row)} for row in bad]
                move(connection, reasons, DISMISSIBLE, "SKIPPED", moment, error_type=DISMISSED)
            return {row.id for row in bad}


def _path_matches(pattern: str, connection: Connection) -> ColumnElement[bool]:
    """``*`` and ``?`` as in a shell, capitals counting; LIKE differs between the databases."""
    if not any(sign in pattern for sign in "*?"):
        pattern = f"*{pattern}*"
    if connection.dialect.name == "sqlite":
        return StoredFile.file_path.op("GLOB", is_comparison=True)(pattern.replace("[", "[[]"))
    escaped = pattern.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return StoredFile.file_path.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")


def _dismissed(row: Row[tuple[int, str, str | None, str | None]]) -> str:
    why = ": ".join(part for part in (row.error_type, row.reason) if part)
    return f"dismissed; it was {row.status}" + (f", {why}" if why else "")
