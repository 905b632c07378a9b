"""What an undo would take out: the dry run, and what an undo itself makes sure of first."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import NotAsLoaded, NotLoaded, UsageError
from autoloader_dagster.iceberg.delete import Rows
from autoloader_dagster.loading.changes.select_files import LeftAsItIs, versions_named, what_it_is
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.state.records import FileRow

_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A loaded file version that is to go.

    Attributes:
        file_id: Stands for the version in the state.
        path: The source's address.
        modified_at: When that version was last changed, UTC.
        partition_key: Its partition.
        batch_id: The batch that loaded it.
        rows: The rows that were loaded.
        rows_in_table: The rows that the table has of it now.
    """

    file_id: int
    path: str
    modified_at: datetime
    partition_key: str | None
    batch_id: BatchId
    rows: int
    rows_in_table: int


@dataclass(frozen=True, slots=True)
class StrayRows:
    """Rows of a batch that the state does not hold as loaded by it.

    Attributes:
        path: The file that the rows name; None if they name none.
    """

    batch_id: BatchId
    path: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """What an undo would take out.

    Attributes:
        ingestion_id: ``tenant/name``.
        table: The table's full name.
        snapshot_id: Main's snapshot in which the rows were counted.
        files: The file versions whose rows would go.
        strays: Further rows that would go; only if a whole batch was asked for.
        left: Files that were asked for and are not loaded.
    """

    ingestion_id: str
    table: str
    snapshot_id: int
    files: tuple[LoadedVersion, ...]
    strays: tuple[StrayRows, ...] = ()
    left: tuple[LeftAsItIs, ...] = ()

    @property
    def rows(self) -> int:
        """Rows that the table would lose."""
        return sum(f.rows_in_table for f in self.files) + sum(s.rows for s in self.strays)

    @property
    def batches(self) -> tuple[str, ...]:
        """The batches that loaded them."""
        return tuple(sorted({f.batch_id for f in self.files} | {s.batch_id for s in self.strays}))

    @property
    def partitions(self) -> tuple[str | None, ...]:
        """The partitions that would lose rows."""
        return tuple(sorted({f.partition_key for f in self.files}, key=lambda key: key or ""))

    @property
    def differences(self) -> tuple[str, ...]:
        """In which files the table does not hold what was loaded, as sentences; else empty."""
        changed = [
            f"{f.path} has {counted(f.rows_in_table, 'row')} in the table, and {f.rows} were loaded"
            for f in self.files
            if f.rows_in_table != f.rows
        ]
        strays = [
            f"{s.path or 'no file'} has {counted(s.rows, 'row')} of batch {s.batch_id} in the "
            "table, and by the state that batch has none of it"
            for s in self.strays
        ]
        return (*changed, *strays)


def plan_undo(
    ingestion: Ingestion, names: Sequence[str] = (), batch_id: BatchId | None = None
) -> UndoPlan:
    """Say what an undo would take out, and change nothing.

    Args:
        ingestion: Whose files.
        names: The files: addresses, their last parts, or patterns; see ``versions_named``.
        batch_id: Or the batch, all of whose files are meant.

    Raises:
        NotLoaded: Nothing of this is loaded.
        UsageError: Neither files nor a batch are named, or both.
        TableError: The table is gone or cannot be read.
    """
    check_asked(ingestion, names, batch_id)
    with ingestion.connect() as spark:
        table = ingestion.table(spark)
        table.columns()
        return make_plan(ingestion, table, names, batch_id)


def check_asked(ingestion: Ingestion, names: Sequence[str], batch_id: BatchId | None) -> None:
    if bool(names) == (batch_id is not None):
        raise UsageError(
            f"an undo in {ingestion.id} needs files or a batch, and not both",
            "Name files, or a batch id as 'autoloader history' shows it.",
        )


def make_plan(
    ingestion: Ingestion, table: Table, names: Sequence[str], batch_id: BatchId | None
) -> UndoPlan:
    if batch_id is not None:
        asked = _files_of_batch(ingestion, batch_id)
    else:
        asked = versions_named(ingestion, names)
    chosen = [
        _loaded(row, row.batch_id) for row in asked if row.status == "SUCCESS" and row.batch_id
    ]
    loaded = {file.path for file in chosen}
    left = {
        row.file_path: LeftAsItIs(row.file_path, row.status, what_it_is(row))
        for row in asked
        if row.file_path not in loaded
    }
    head = table.head()
    found: dict[tuple[BatchId, str], int] = {}
    if chosen or batch_id is not None:
        found = table.count("main", rows_of(chosen, [batch_id] if batch_id else []))
    if not chosen and not found:
        what = "; ".join(str(each) for each in list(left.values())[:_NAMED_AT_MOST])
        raise NotLoaded(
            f"nothing of this is loaded in {table.name}, so there is nothing to undo: "
            + (what or f"batch {batch_id} has no rows there"),
            "'autoloader files' shows what is loaded.",
        )
    plan = with_counts(ingestion, table, head, chosen, found)
    return replace(plan, left=tuple(left.values()))


def _files_of_batch(ingestion: Ingestion, batch_id: BatchId) -> list[FileRow]:
    batch = ingestion.store.batches.get(batch_id)
    if batch is None or batch.ingestion_id != ingestion.id:
        whose = f"; it is one of {batch.ingestion_id}" if batch else ""
        raise NotLoaded(
            f"{ingestion.id} has no batch {batch_id}{whose}", "See 'autoloader history'."
        )
    if batch.kind == "undo":
        raise NotLoaded(
            f"batch {batch_id} of {ingestion.id} is an undo itself, and has loaded nothing",
            "To have its files in the table again, retry them.",
        )
    return list(ingestion.store.files.find(ingestion.id, batch_id=batch_id))


def _loaded(row: FileRow, batch_id: BatchId) -> LoadedVersion:
    return LoadedVersion(
        file_id=row.id,
        path=row.file_path,
        modified_at=row.file_modified_at,
        partition_key=row.partition_key,
        batch_id=batch_id,
        rows=row.rows or 0,
        rows_in_table=0,
    )


def rows_of(files: Collection[LoadedVersion], whole: Sequence[BatchId]) -> Rows:
    paths: dict[BatchId, list[str]] = {}
    for file in files:
        paths.setdefault(file.batch_id, []).append(file.path)
    return Rows(paths, whole)


def with_counts(
    ingestion: Ingestion,
    table: Table,
    snapshot_id: int,
    files: Collection[LoadedVersion],
    found: Mapping[tuple[BatchId, str], int],
) -> UndoPlan:
    rest = dict(found)
    counted = tuple(
        replace(file, rows_in_table=rest.pop((file.batch_id, file.path), 0)) for file in files
    )
    strays = tuple(StrayRows(batch, path, rows) for (batch, path), rows in rest.items())
    return UndoPlan(ingestion.id, table.name, snapshot_id, counted, strays)


def refuse_differences(plan: UndoPlan) -> None:
    differences = plan.differences
    if not differences:
        return
    more = len(differences) - _NAMED_AT_MOST
    raise NotAsLoaded(
        f"{plan.table} does not hold what was loaded: "
        + "; ".join(differences[:_NAMED_AT_MOST])
        + (f"; and {more} more" if more > 0 else ""),
        "Rows were changed, deleted or added there by others since. Nothing was changed now; look "
        "at them, and ask for the undo again with differences accepted to take out what is there.",
    )
