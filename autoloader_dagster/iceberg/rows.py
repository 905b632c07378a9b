"""What a table holds, by its rows: of which files and of which batches they are.

Each query reads lineage columns only, and passes over data files by their statistics.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any, NamedTuple

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.errors import TableError
from autoloader_dagster.iceberg.lineage import (
    BATCH_ID,
    LINEAGE_COLUMNS,
    PARTITION_KEY,
    RESCUED,
    SOURCE_FILE,
    SOURCE_MODIFIED_AT,
    moment_of,
)
from autoloader_dagster.iceberg.sql import literal
from autoloader_dagster.iceberg.table import IcebergTable


class RowsOfFile(NamedTuple):
    """Rows that a table has of one version of a file from one batch.

    Attributes:
        path: The source's address.
        modified_at: When that version was last changed, UTC.
        bad_rows: How many of the rows have something in ``_rescued``.
    """

    path: str
    modified_at: datetime
    batch_id: BatchId
    partition_key: str | None
    rows: int
    bad_rows: int


def rows_by_file(table: IcebergTable, ref: str, batch_id: BatchId) -> dict[str, int]:
    """Rows of a batch for each source file, on a branch or on ``main``."""
    return _counts(table, ref, f"{BATCH_ID} = {literal(batch_id)}")


def bad_rows_by_file(table: IcebergTable, ref: str, batch_id: BatchId) -> dict[str, int]:
    """Rows of a batch with something in ``_rescued``, for each source file that has any.

    Data files without one are left out by their statistics, so for clean data this reads nothing.
    """
    where = f"{BATCH_ID} = {literal(batch_id)} and {RESCUED} is not null"
    return _counts(table, ref, where)


def rows_like(table: IcebergTable, ref: str, batch_id: BatchId, rescued: str) -> dict[str, int]:
    """Rows of a batch with exactly this in ``_rescued``, for each source file."""
    where = f"{BATCH_ID} = {literal(batch_id)} and {RESCUED} = {literal(rescued)}"
    return _counts(table, ref, where)


def batch_ids(table: IcebergTable, at: int | None = None) -> list[BatchId]:
    """Every batch that main, or a snapshot, has rows of. This reads one column of the table."""
    rows = _query_as_of(table, at, f"select distinct {BATCH_ID} as b from {{}}")
    return [row["b"] for row in rows if row["b"] is not None]


def files_of_batch(
    table: IcebergTable, batch_id: BatchId, at: int | None = None
) -> list[RowsOfFile]:
    """The source files that main, or a snapshot, has rows of from a batch."""
    rows = _query_as_of(
        table,
        at,
        f"select {SOURCE_FILE} as f, unix_micros({SOURCE_MODIFIED_AT}) as m, "
        f"count(*) as n, max({PARTITION_KEY}) as k, count_if({RESCUED} is not null) as bad "
        f"from {{}} where {BATCH_ID} = {literal(batch_id)} "
        # Rows that a person has written need not have them.
        f"and {SOURCE_FILE} is not null and {SOURCE_MODIFIED_AT} is not null group by 1, 2",
    )
    return [RowsOfFile(r["f"], moment_of(r["m"]), batch_id, r["k"], r["n"], r["bad"]) for r in rows]


def rows_of_files(table: IcebergTable, at: int | None = None) -> Iterator[RowsOfFile]:
    """The rows that main, or a snapshot, has of each file version from each batch, streamed.

    Rows that somebody put there without saying where from come as of a file without a name.
    """
    statement = (
        f"select coalesce({SOURCE_FILE}, '') as f, "
        f"coalesce(unix_micros({SOURCE_MODIFIED_AT}), 0) as m, "
        f"coalesce({BATCH_ID}, '') as b, max({PARTITION_KEY}) as k, count(*) as n, "
        f"count_if({RESCUED} is not null) as bad from {{}} group by 1, 2, 3"
    )
    try:
        rows = table.stream("read", statement.format(table.as_of(at)))
        first = list(islice(rows, 1))
    except TableError as error:
        rows = table.stream("read", statement.format(_with_added_columns(table, at, error)))
        first = []
    for r in chain(first, rows):
        yield RowsOfFile(r["f"], moment_of(r["m"]), r["b"], r["k"], r["n"], r["bad"])


def _query_as_of(table: IcebergTable, at: int | None, statement: str) -> list[Any]:
    """Run a statement on main or a snapshot; ``{}`` in it is the table."""
    # Not by format: names of files and batches may have braces.
    before, after = statement.split("{}", 1)
    try:
        return table.query("read", f"{before}{table.as_of(at)}{after}")
    except TableError as error:
        there = _with_added_columns(table, at, error)
        return table.query("read", f"{before}{there}{after}")


def _with_added_columns(table: IcebergTable, at: int | None, error: TableError) -> str:
    """A snapshot in SQL, with nulls in the lineage columns that were added to the table since.

    A snapshot has the columns of its time.

    Raises:
        TableError: The error, where these columns are not its cause.
    """
    if at is None or "UNRESOLVED_COLUMN" not in error.what:
        raise error
    there = table.columns_as_of(at)
    added = [
        f"cast(null as {kind}) as {name}"
        for name, (kind, _) in LINEAGE_COLUMNS.items()
        if name not in there
    ]
    if not added:
        raise error
    return f"(select *, {', '.join(added)} from {table.as_of(at)})"


def _counts(table: IcebergTable, ref: str, where: str) -> dict[str, int]:
    counts = f"select {SOURCE_FILE} as f, count(*) as n from {table.named(ref)}"
    rows = table.query("count rows of", f"{counts} where {where} group by 1")
    return {row["f"]: row["n"] for row in rows}
