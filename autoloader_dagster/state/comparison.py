"""Compares the rows of a table and a listing of the source with what is recorded, in bulk.

Both are put into temporary tables of the state database, and compared by joins there. What differs
is a third one, so that neither memory nor the number of queries grows with the number of files.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    MetaData,
    Table,
    Text,
    bindparam,
    text,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from autoloader_dagster.state.bulk import bulk_insert, moment_writer
from autoloader_dagster.state.database import now, one_of, write_transaction
from autoloader_dagster.state.models import Ordered, UtcDateTime
from autoloader_dagster.state.records import Difference, DifferenceKind, RowsOfFile
from autoloader_dagster.state.transitions import add_selected

_IN_TABLE = Table(
    "autoloader_in_table",
    MetaData(),
    Column("file_path", Ordered),
    Column("modified_at", UtcDateTime),
    Column("batch_id", Text),
    Column("partition_key", Text),
    Column("rows", BigInteger),
    Column("bad_rows", BigInteger),
    prefixes=["TEMPORARY"],
)
_BY_PATH = Index("autoloader_in_table_by_path", _IN_TABLE.c.file_path, _IN_TABLE.c.batch_id)
_DIFFERENCES = Table(
    "autoloader_differences",
    MetaData(),
    Column("kind", Text),
    Column("file_path", Ordered),
    Column("modified_at", UtcDateTime),
    Column("batch_id", Text),
    Column("partition_key", Text),
    Column("rows", BigInteger),
    Column("bad_rows", BigInteger),
    Column("recorded_rows", BigInteger),
    Column("file_id", BigInteger),
    Column("status", Text),
    prefixes=["TEMPORARY"],
)
# The same in the order in which they are told, to be read page by page.
_IN_ORDER = Table(
    "autoloader_differences_in_order",
    MetaData(),
    Column("seq", BigInteger, primary_key=True),
    *(Column(column.name, column.type) for column in _DIFFERENCES.columns),
    prefixes=["TEMPORARY"],
)
_BY_FILE = Index("autoloader_differences_by_file", _DIFFERENCES.c.file_id)
_ROWS_AT_ONCE = 5_000
# Written before the time to tell the unlisted versions of a path apart; never read.
UNLISTED = "unlisted since "
FOUND = "its rows were found in the table"

# Rows in the table that no loaded version accounts for, with the version that they are of, if it
# is recorded: the one of that batch before others, the latest before others. What is looked up by a
# path compares status and batch by way of coalesce: else SQLite goes through all rows of the status
# or the batch for each path, by their index.
_EXTRA = """
INSERT INTO autoloader_differences
SELECT 'extra', t.file_path, t.modified_at, t.batch_id, t.partition_key, t.rows, t.bad_rows, NULL,
       coalesce((SELECT max(f.id) FROM processed_files f
                 WHERE f.ingestion_id = :ingestion AND f.file_path = t.file_path
                   AND f.file_modified_at = t.modified_at
                   AND coalesce(f.batch_id, '') = t.batch_id),
                (SELECT max(f.id) FROM processed_files f
                 WHERE f.ingestion_id = :ingestion AND f.file_path = t.file_path
                   AND f.file_modified_at = t.modified_at)),
       NULL
FROM autoloader_in_table t
WHERE NOT EXISTS (SELECT 1 FROM processed_files f
                  WHERE f.ingestion_id = :ingestion AND f.file_path = t.file_path
                    AND coalesce(f.batch_id, '') = t.batch_id
                    AND coalesce(f.status, '') = 'SUCCESS')
"""
_STATUS = """
UPDATE autoloader_differences
SET status = (SELECT f.status FROM processed_files f WHERE f.id = file_id),
    recorded_rows = (SELECT f.rows FROM processed_files f
                     WHERE f.id = file_id AND f.status = 'SUCCESS')
"""
# Of several ingestions' rows in one table, those of the others.
_OF_OTHERS = """
DELETE FROM autoloader_differences
WHERE batch_id IN (SELECT id FROM batches WHERE ingestion_id <> :ingestion)
  OR file_id IS NULL
  AND NOT EXISTS (SELECT 1 FROM autoloader_listing l
                  WHERE l.file_path = autoloader_differences.file_path)
  AND NOT EXISTS (SELECT 1 FROM processed_files f
                  WHERE f.ingestion_id = :ingestion
                    AND f.file_path = autoloader_differences.file_path)
"""
# A worker is at these, and will record them.
_IN_FLIGHT = """
DELETE FROM autoloader_differences
WHERE batch_id IN (SELECT id FROM batches WHERE ingestion_id = :ingestion
                   AND status IN ('CLAIMED', 'WRITTEN') AND lease_expires_at > :now)
"""
_KIND = """
UPDATE autoloader_differences SET kind = CASE
  WHEN file_id IS NULL AND NOT EXISTS (
    SELECT 1 FROM autoloader_listing l WHERE l.file_path = autoloader_differences.file_path
      AND l.modified_at = autoloader_differences.modified_at) THEN 'unknown'
  WHEN status = 'SUCCESS' AND EXISTS (
    SELECT 1 FROM autoloader_in_table t JOIN processed_files f ON f.batch_id = t.batch_id
      AND f.file_path = t.file_path
    WHERE f.id = file_id) THEN 'double'
  WHEN status = 'REPLACED' AND EXISTS (
    SELECT 1 FROM processed_files f JOIN autoloader_in_table t ON t.batch_id = f.batch_id
      AND t.file_path = f.file_path
    WHERE f.ingestion_id = :ingestion AND f.file_path = autoloader_differences.file_path
      AND coalesce(f.status, '') = 'SUCCESS') THEN 'double'
  ELSE 'unrecorded' END
"""
# Loaded by the state, and not, or not with these rows, in the table.
_LOADED = """
INSERT INTO autoloader_differences
SELECT CASE WHEN t.rows IS NULL THEN 'missing' WHEN t.rows < f.rows THEN 'fewer'
            ELSE 'double' END,
       f.file_path, f.file_modified_at, f.batch_id, f.partition_key, coalesce(t.rows, 0),
       coalesce(t.bad_rows, 0), f.rows, f.id, f.status
FROM processed_files f
LEFT JOIN (SELECT file_path, batch_id, sum(rows) AS rows, sum(bad_rows) AS bad_rows
           FROM autoloader_in_table GROUP BY file_path, batch_id) t
  ON t.file_path = f.file_path AND t.batch_id = f.batch_id
WHERE f.ingestion_id = :ingestion AND f.status = 'SUCCESS'
  AND coalesce(t.rows, 0) <> f.rows
  AND (t.rows IS NOT NULL OR NOT EXISTS (SELECT 1 FROM autoloader_differences d
                                         WHERE d.file_id = f.id AND d.kind = 'unrecorded'))
"""
_GONE = """
INSERT INTO autoloader_differences
SELECT 'gone', f.file_path, f.file_modified_at, f.batch_id, f.partition_key, f.rows,
       f.bad_rows, f.rows, f.id, f.status
FROM processed_files f
WHERE f.ingestion_id = :ingestion AND f.status = 'SUCCESS'
  AND NOT EXISTS (SELECT 1 FROM autoloader_listing l WHERE l.file_path = f.file_path)
"""
# The versions that the table has rows of and the state has not: as they are listed or, where the
# source has another one by now or none, by their time alone. The rows are counted in after that.
_VERSIONS = """
SELECT CAST(:tenant AS TEXT) AS tenant, CAST(:ingestion AS TEXT) AS ingestion_id, d.file_path,
       coalesce(l.version, :unlisted || CAST(d.modified_at AS TEXT)) AS file_version,
       coalesce(l.size, 0) AS file_size_bytes, d.modified_at AS file_modified_at,
       l.etag AS file_etag, max(d.partition_key) AS partition_key,
       CAST(:found AS TEXT) AS reason, :now AS discovered_at, 0 AS retry_count,
       :now AS created_at, :now AS updated_at,
       CASE WHEN l.version IS NULL THEN :now END AS found_in_table_at
FROM autoloader_differences d
LEFT JOIN autoloader_listing l
  ON l.file_path = d.file_path AND l.modified_at = d.modified_at
WHERE d.file_id IS NULL AND d.kind IN ('unrecorded', 'unknown') AND d.file_path <> ''
  AND d.batch_id LIKE '________T______Z-______'
GROUP BY d.file_path, d.modified_at, l.version, l.size, l.etag
"""
_VERSION_COLUMNS = (
    "tenant",
    "ingestion_id",
    "file_path",
    "file_version",
    "file_size_bytes",
    "file_modified_at",
    "file_etag",
    "partition_key",
    "reason",
    "discovered_at",
    "retry_count",
    "created_at",
    "updated_at",
    "found_in_table_at",
)
_ORDER = """
INSERT INTO autoloader_differences_in_order
SELECT row_number() OVER (ORDER BY d.kind, d.batch_id, d.file_path), d.*
FROM autoloader_differences d
"""
_NEW = """
SELECT count(*) FROM autoloader_listing l
WHERE NOT EXISTS (SELECT 1 FROM processed_files f
                  WHERE f.ingestion_id = :ingestion AND f.file_path = l.file_path
                    AND f.file_version = l.version)
  AND NOT EXISTS (SELECT 1 FROM autoloader_in_table t
                  WHERE t.file_path = l.file_path AND t.modified_at = l.modified_at)
"""


class Comparison:
    """A table's rows and a listing, held against the state.

    Attributes:
        files_in_table: File versions that the table has rows of, a batch each.
        rows_in_table: Their rows.
        listed: Files of the source.
    """

    def __init__(
        self,
        connection: Connection,
        ingestion_id: str,
        shared: bool,
        of_others: Collection[str] = (),
    ) -> None:
        self._connection = connection
        self._ingestion_id = ingestion_id
        self._shared = shared
        self._of_others = of_others
        self.files_in_table, self.rows_in_table = self._count()
        with connection.begin():
            self.listed = int(connection.scalar(text("SELECT count(*) FROM autoloader_listing")))

    def read_table(self, in_table: Iterable[RowsOfFile], of_others: Collection[str] = ()) -> None:
        """Put the table's rows in the place of those that were read before."""
        self._of_others = of_others
        with self._connection.begin():
            self._run("DELETE FROM autoloader_in_table")
        _fill(self._connection, in_table)
        self.files_in_table, self.rows_in_table = self._count()

    def _count(self) -> tuple[int, int]:
        with self._connection.begin():
            files, rows = self._connection.execute(
                text("SELECT count(*), coalesce(sum(rows), 0) FROM autoloader_in_table")
            ).one()
        return int(files), int(rows)

    def compare(self) -> dict[DifferenceKind, int]:
        """Hold both against the state as it is now; the differences found, by kind."""
        with self._connection.begin():
            self._run("DELETE FROM autoloader_differences")
            self._run(_EXTRA)
            if self._shared:
                self._run(_OF_OTHERS)
            if self._of_others:
                # The state does not know these; it was lost.
                named = one_of(_DIFFERENCES.c.batch_id, self._of_others, self._connection)
                unknown = text("batch_id NOT IN (SELECT id FROM batches)")
                self._connection.execute(_DIFFERENCES.delete().where(named, unknown))
            self._connection.execute(
                text(_IN_FLIGHT).bindparams(bindparam("now", type_=UtcDateTime())),
                {"ingestion": self._ingestion_id, "now": now(self._connection)},
            )
            self._run(_STATUS)
            self._run(_KIND)
            if self._connection.dialect.name == "postgresql":
                self._run("ANALYZE autoloader_differences")
            self._run(_LOADED)
            self._run(_GONE)
            self._run("DELETE FROM autoloader_differences_in_order")
            self._run(_ORDER)
            rows = self._connection.execute(
                text("SELECT kind, count(*) FROM autoloader_differences GROUP BY kind")
            )
            return {row.kind: row[1] for row in rows}

    def add_versions(self, tenant: str) -> None:
        """Give the state a row for each version that only the table has, not yet as loaded."""
        with write_transaction(self._connection, self._ingestion_id):
            add_selected(
                self._connection,
                "UNDONE",
                _VERSION_COLUMNS,
                _VERSIONS,
                {
                    "tenant": tenant,
                    "unlisted": UNLISTED,
                    "found": FOUND,
                    "ingestion": self._ingestion_id,
                    "now": now(self._connection),
                },
            )

    def new(self) -> int:
        """Listed versions that neither the state nor the table has."""
        with self._connection.begin():
            return int(self._connection.scalar(text(_NEW), {"ingestion": self._ingestion_id}) or 0)

    def differences(self, *kinds: DifferenceKind) -> Iterator[Difference]:
        """The differences of the last comparison, streamed: by batch and path."""
        seq = 0
        while True:
            # No transaction is open while the caller prints them or asks Spark.
            with self._connection.begin():
                page = self._connection.execute(
                    _IN_ORDER.select()
                    .where(_IN_ORDER.c.kind.in_(kinds), _IN_ORDER.c.seq > seq)
                    .order_by(_IN_ORDER.c.seq)
                    .limit(_ROWS_AT_ONCE)
                ).all()
            for row in page:
                yield Difference(*row[1:])
            if len(page) < _ROWS_AT_ONCE:
                return
            seq = page[-1].seq

    def _run(self, statement: str) -> None:
        parameters = {"ingestion": self._ingestion_id} if ":ingestion" in statement else {}
        self._connection.execute(text(statement), parameters)


@contextmanager
def staged_rows(connection: Connection, in_table: Iterable[RowsOfFile]) -> Iterator[None]:
    """Hold the rows of a table in temporary tables for the block."""
    try:
        with connection.begin():
            connection.execute(CreateTable(_IN_TABLE))
            connection.execute(CreateTable(_DIFFERENCES))
            connection.execute(CreateTable(_IN_ORDER))
            connection.execute(CreateIndex(_BY_FILE))
        _fill(connection, in_table)
        with connection.begin():
            connection.execute(CreateIndex(_BY_PATH))
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"ANALYZE {_IN_TABLE.name}"))
        yield
        with connection.begin():
            connection.execute(DropTable(_IN_TABLE))
            connection.execute(DropTable(_DIFFERENCES))
            connection.execute(DropTable(_IN_ORDER))
    except BaseException:
        # The tables go with their connection, whatever state that is in.
        with suppress(SQLAlchemyError):
            connection.invalidate()
        raise


def _fill(connection: Connection, in_table: Iterable[RowsOfFile]) -> None:
    moment = moment_writer(connection)
    rows: list[tuple[object, ...]] = []
    for each in in_table:
        rows.append(
            (
                each.path,
                moment(each.modified_at),
                each.batch_id,
                each.partition_key,
                each.rows,
                each.bad_rows,
            )
        )
        if len(rows) == _ROWS_AT_ONCE:
            with connection.begin():
                bulk_insert(connection, _IN_TABLE, rows)
            rows.clear()
    if rows:
        with connection.begin():
            bulk_insert(connection, _IN_TABLE, rows)
