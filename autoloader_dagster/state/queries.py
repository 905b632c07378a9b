"""What the sensor, the command line and the metadata ask of the state. Nothing here writes."""

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, cast, func, select
from sqlalchemy.orm import aliased

from autoloader_dagster.state.batches import OPEN
from autoloader_dagster.state.claims import in_partitions, is_pending
from autoloader_dagster.state.database import Database, one_of
from autoloader_dagster.state.models import StoredBatch, StoredFile
from autoloader_dagster.state.records import (
    BatchRow,
    FileRow,
    FileStatus,
    KnownBatch,
    Partitions,
    PendingPartition,
    StatusTotals,
)

_FILE_COLUMNS = [StoredFile.__table__.c[name] for name in FileRow.__dataclass_fields__]
_BATCH_COLUMNS = [StoredBatch.__table__.c[name] for name in BatchRow.__dataclass_fields__]
_ROWS_AT_ONCE = 1_000
# The largest prime below 2**31: a square of a rest stays inside 64 bits.
_PRIME = 2_147_483_647


def pending(
    database: Database, ingestion_id: str, retries: int, but_failed_with: str | None
) -> list[PendingPartition]:
    """What waits to be loaded; see ``ProcessedFiles.pending``."""
    # Sums of a number for each (id, retry_count) and of its square, which no order can change:
    # a checksum that both databases compute without handing out a row.
    mark = (StoredFile.id * 64 + StoredFile.retry_count) % _PRIME
    with database.reading() as connection:
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


def files(
    database: Database,
    ingestion_id: str,
    statuses: Collection[FileStatus] | None,
    batch_id: str | None,
    run_id: str | None,
    path_like: str | None,
    paths: Collection[str] | None,
    ids: Collection[int] | None,
    limit: int | None,
    path_end: str | None = None,
) -> Iterator[FileRow]:
    """Recorded file versions; see ``ProcessedFiles.files``."""

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
    with database.reading() as connection:
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
        with database.reading() as connection:
            rows = connection.execute(
                chosen(connection, *_FILE_COLUMNS).where(one_of(StoredFile.id, of_page, connection))
            )
            page = [FileRow(**row) for row in rows.mappings()]
        yield from page


def partition_keys(database: Database, ingestion_id: str) -> list[str]:
    """The keys of recorded files; see ``ProcessedFiles.partition_keys``."""
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
    with database.reading() as connection:
        return [each for each in connection.scalars(recorded) if each is not None]


def loaded_ids(
    database: Database, ingestion_id: str, partitions: Partitions
) -> list[tuple[int, int]]:
    """Id and bytes of loaded file versions; see ``ProcessedFiles.loaded_ids``."""
    with database.reading() as connection:
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


def counts(
    database: Database, ingestion_id: str | None
) -> dict[str, dict[FileStatus, StatusTotals]]:
    """Totals by ingestion and status; see ``ProcessedFiles.counts``."""
    totals = select(
        StoredFile.ingestion_id,
        StoredFile.status,
        func.count(),
        func.sum(StoredFile.file_size_bytes),
        func.coalesce(func.sum(StoredFile.records_ingested), 0),
    ).group_by(StoredFile.ingestion_id, StoredFile.status)
    if ingestion_id is not None:
        totals = totals.where(StoredFile.ingestion_id == ingestion_id)
    found: dict[str, dict[FileStatus, StatusTotals]] = defaultdict(dict)
    with database.reading() as connection:
        for ingestion, status, number, size, rows in connection.execute(totals):
            found[ingestion][status] = StatusTotals(number, int(size), int(rows))
    return dict(found)


def batches(
    database: Database, ingestion_id: str | None, run_id: str | None, limit: int
) -> list[BatchRow]:
    """The latest batches; see ``ProcessedFiles.batches``."""
    latest = (
        select(*_BATCH_COLUMNS)
        .order_by(StoredBatch.started_at.desc(), StoredBatch.id.desc())
        .limit(limit)
    )
    if ingestion_id is not None:
        latest = latest.where(StoredBatch.ingestion_id == ingestion_id)
    if run_id is not None:
        latest = latest.where(StoredBatch.run_id == run_id)
    with database.reading() as connection:
        return [BatchRow(**row) for row in connection.execute(latest).mappings()]


def batches_since(
    database: Database,
    ingestion_id: str,
    moment: datetime | None,
    also: Collection[str],
    limit: int,
) -> list[BatchRow]:
    """The batches from a moment on; see ``ProcessedFiles.batches_since``."""
    of_ingestion = StoredBatch.ingestion_id == ingestion_id
    oldest_first = select(*_BATCH_COLUMNS).order_by(StoredBatch.started_at, StoredBatch.id)
    later = oldest_first.where(of_ingestion).limit(limit)
    if moment is not None:
        later = later.where(StoredBatch.started_at >= moment)
    with database.reading() as connection:
        rows = [BatchRow(**row) for row in connection.execute(later).mappings()]
        missing = {*also} - {row.id for row in rows}
        if missing:
            named = oldest_first.where(of_ingestion, one_of(StoredBatch.id, missing, connection))
            rows = [*(BatchRow(**row) for row in connection.execute(named).mappings()), *rows]
    return rows


def known_batches(database: Database, ids: Collection[str]) -> dict[str, KnownBatch]:
    """What the state holds of those of the batches that it knows."""
    with database.reading() as connection:
        rows = connection.execute(
            select(
                StoredBatch.id,
                StoredBatch.ingestion_id,
                StoredBatch.status,
                StoredBatch.snapshot_id,
            ).where(one_of(StoredBatch.id, ids, connection))
        )
        return {row.id: KnownBatch(*row[1:]) for row in rows}


def same_content(database: Database, batch_id: str | None, run_id: str | None) -> dict[str, str]:
    """Loaded files whose content was loaded under another name; see ``ProcessedFiles``."""
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
    with database.reading() as connection:
        rows = connection.execute(
            select(found.c.path, found.c.same_as)
            .where(found.c.same_as.is_not(None))
            .order_by(found.c.path)
        )
        return {row.path: row.same_as for row in rows}


def open_run_ids(database: Database) -> set[str]:
    """The runs that hold open batches."""
    with database.reading() as connection:
        runs = select(StoredBatch.run_id).where(StoredBatch.status.in_(OPEN)).distinct()
        return set(connection.scalars(runs))


def has_open_batch(database: Database, ingestion_id: str) -> bool:
    """Whether a batch of the ingestion is open; see ``ProcessedFiles.has_open_batch``."""
    still_open = select(StoredBatch.id).where(
        StoredBatch.ingestion_id == ingestion_id, StoredBatch.status.in_(OPEN)
    )
    with database.reading() as connection:
        return connection.scalar(still_open.limit(1)) is not None


def _path_matches(pattern: str, connection: Connection) -> ColumnElement[bool]:
    """``*`` and ``?`` as in a shell, capitals counting; LIKE differs between the databases."""
    if not any(sign in pattern for sign in "*?"):
        pattern = f"*{pattern}*"
    if connection.dialect.name == "sqlite":
        return StoredFile.file_path.op("GLOB", is_comparison=True)(pattern.replace("[", "[[]"))
    escaped = pattern.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return StoredFile.file_path.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")
