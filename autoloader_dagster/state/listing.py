"""A listing of the source in a temporary table, so that memory does not grow with it.

No transaction is open while the source is asked for its next page: a slow listing blocks neither
SQLite's writers nor PostgreSQL's vacuum.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    exists,
    func,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from autoloader_dagster.errors import SourceError
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state.bulk import bulk_insert, moment_writer
from autoloader_dagster.state.models import Ordered, UtcDateTime

LISTING = Table(
    "autoloader_listing",
    MetaData(),
    Column("seq", Integer),
    Column("file_path", Ordered),
    Column("relative_path", Text),
    Column("size", BigInteger),
    Column("modified_at", UtcDateTime),
    Column("version", Text),
    Column("etag", Text),
    Column("version_id", Text),
    Column("content_encoding", Text),
    Column("unusable", Text),
    prefixes=["TEMPORARY"],
)
_BY_PATH = Index("autoloader_listing_by_path", LISTING.c.file_path, LISTING.c.seq)
_BY_SEQ = Index("autoloader_listing_by_seq", LISTING.c.seq)
_ROWS_AT_ONCE = 5_000


@contextmanager
def staged(connection: Connection, pages: Iterable[Sequence[FileRef]]) -> Iterator[None]:
    """Hold the listing in ``LISTING`` for the block; of two entries of a path the last one wins.

    Raises:
        SourceError: A file's name cannot be stored. What ``pages`` raises passes through.
    """
    try:
        with connection.begin():
            connection.execute(CreateTable(LISTING))
        _fill(connection, pages)
        with connection.begin():
            _complete(connection)
        yield
        with connection.begin():
            connection.execute(DropTable(LISTING))
    except BaseException:
        # The table goes with its connection, whatever state that is in.
        with suppress(SQLAlchemyError):
            connection.invalidate()
        raise


def listed_file(row: Any) -> FileRef:
    """Make the ``FileRef`` again from a row with the columns of ``LISTING``."""
    return FileRef(
        path=row.file_path,
        relative_path=row.relative_path,
        size=row.size,
        modified_at=row.modified_at,
        version=row.version,
        etag=row.etag,
        version_id=row.version_id,
        content_encoding=row.content_encoding,
        unusable=row.unusable,
    )


def _fill(connection: Connection, pages: Iterable[Sequence[FileRef]]) -> None:
    moment = moment_writer(connection)
    seq = 0
    for page in pages:
        for start in range(0, len(page), _ROWS_AT_ONCE):
            rows = [
                (
                    seq + position,
                    ref.path,
                    ref.relative_path,
                    ref.size,
                    moment(ref.modified_at),
                    ref.version,
                    ref.etag,
                    ref.version_id,
                    ref.content_encoding,
                    ref.unusable,
                )
                for position, ref in enumerate(page[start : start + _ROWS_AT_ONCE])
            ]
            seq += len(rows)
            try:
                with connection.begin():
                    bulk_insert(connection, LISTING, rows)
            except (UnicodeEncodeError, psycopg.DataError) as error:
                raise _unstorable(rows, error) from error


def _complete(connection: Connection) -> None:
    """Index the rows, which is faster now than before, and drop what a later entry repeats."""
    connection.execute(CreateIndex(_BY_PATH))
    connection.execute(CreateIndex(_BY_SEQ))
    if connection.dialect.name == "postgresql":
        # Autovacuum does not see temporary tables, and without numbers the plans are bad.
        connection.execute(text(f"ANALYZE {LISTING.name}"))
    later = LISTING.alias("later")
    repeated = (
        select(later.c.file_path)
        .group_by(later.c.file_path)
        .having(func.count() > 1)
        .scalar_subquery()
    )
    newer = exists().where(later.c.file_path == LISTING.c.file_path, later.c.seq > LISTING.c.seq)
    connection.execute(delete(LISTING).where(LISTING.c.file_path.in_(repeated), newer))


def _unstorable(rows: list[tuple[Any, ...]], error: Exception) -> SourceError:
    """Name the file whose text a database cannot hold: a zero character, or not Unicode."""
    for row in rows:
        for value in row:
            if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
                return SourceError(
                    f"The file {row[1]!r} was listed, but its name cannot be recorded: it holds "
                    "characters that are not Unicode text",
                    "Rename the file, or leave it out with source.exclude.",
                )
    return SourceError(f"The listing cannot be recorded: {error}")


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
