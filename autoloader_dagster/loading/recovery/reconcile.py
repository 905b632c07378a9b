"""Compares source, state and table of one ingestion, names what differs, and corrects the state.

The table is the truth: what it has rows of is loaded, and what it has no rows of is not. Rows are
never deleted here; where the table has too many, how to remove them is told.
"""

import itertools
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from autoloader_dagster.errors import MainMoved
from autoloader_dagster.loading.batch.branches import drop_branches, left_behind
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.recovery.catch_up import catch_up
from autoloader_dagster.loading.recovery.main_read import MainRead
from autoloader_dagster.loading.recovery.moved_table import refuse_files_of_other_sources
from autoloader_dagster.loading.recovery.recover import recover
from autoloader_dagster.loading.recovery.whose_batches import of_others, owners_in
from autoloader_dagster.state.comparison import Comparison
from autoloader_dagster.state.records import (
    Difference,
    DifferenceKind,
    FileStatus,
    LoadedFile,
)

_log = logging.getLogger(__name__)

# Kinds that are a fault; a file that is gone from the source is not one.
FAULTS: tuple[DifferenceKind, ...] = ("missing", "fewer", "double", "unrecorded", "unknown")
SHOWN = 100
# How often the table is read while main keeps moving.
_READINGS = 3


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a comparison of source, state and table found, and what was corrected.

    Attributes:
        ingestion_id: ``tenant/name``.
        table: The table's name.
        table_exists: False if the catalog has none.
        listed: Files of the source.
        new: Listed versions that are neither recorded nor in the table; no fault.
        files_in_table: File versions that the table has rows of.
        rows_in_table: Their rows.
        found: Differences by kind, before anything was corrected.
        left: The same after it; equal to ``found`` if nothing was to be corrected.
        findings: The first of the differences found, at most ``SHOWN`` of a kind.
        stale_batches: Open batches that nobody works on.
        leftover_branches: Branches of settled batches.
        applied: Whether it was to be corrected.
        seconds: How long it took.
    """

    ingestion_id: str
    table: str
    table_exists: bool
    listed: int = 0
    new: int = 0
    files_in_table: int = 0
    rows_in_table: int = 0
    found: Mapping[DifferenceKind, int] = field(default_factory=dict)
    left: Mapping[DifferenceKind, int] = field(default_factory=dict)
    findings: tuple[Difference, ...] = ()
    stale_batches: tuple[str, ...] = ()
    leftover_branches: tuple[str, ...] = ()
    applied: bool = False
    seconds: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong now."""
        wrong = any(self.left.get(kind) for kind in FAULTS)
        undone = not self.applied and (self.stale_batches or self.leftover_branches)
        return not wrong and not undone


def reconcile(
    ingestion: Ingestion,
    apply: bool = False,
    ended_runs: Collection[str] = (),
    on_difference: Callable[[Difference], None] | None = None,
) -> Reconciliation:
    """Compare source, state and table.

    Args:
        ingestion: Whose.
        apply: Update the state: settle stale batches, record what the table has rows of, requeue
            what it has no row of, drop leftover branches. Without it nothing is changed.
        ended_runs: Runs that have ended; their batches are stale without waiting for the lease.
        on_difference: Given every difference as it was found, because there may be more than the
            result holds.

    Raises:
        SourceError: The source cannot be listed. Nothing is changed but stale batches settled.
        TableError: The table or its catalog cannot be read, or it is not one of this loader's.
            Nothing is changed.
        TableMoved: The state knows files of another source in another table. Nothing is changed.
    """
    if apply:
        refuse_files_of_other_sources(ingestion)
    began = time.monotonic()
    store, spec = ingestion.store, ingestion.spec
    with ingestion.connect() as spark:
        table = ingestion.table(spark)
        stale = tuple(
            batch.batch_id for batch in store.batches.stale(ingestion.id, ended_runs=ended_runs)
        )
        exists = table.columns_if_exists() is not None
        branches = left_behind(store, list(table.branches())) if exists else []
        read = MainRead(table, None)
        if apply:
            recover(ingestion, lambda name: ingestion.table(spark, name), ended_runs)
            read = _read_main(ingestion, table)
            exists = read.head is not None
        with store.rebuild.compare(
            ingestion.id,
            spec.table.shared,
            table.rows_of_files(read.head) if exists else (),
            ingestion.source.list_pages(),
            _of_others(ingestion, table) if exists else (),
        ) as comparison:
            found, read = _compare(ingestion, comparison, read, apply)
            left = found
            findings = _tell(comparison, on_difference)
            if apply:
                read = _mend(ingestion, comparison, read)
                exists = read.head is not None
                left = comparison.compare()
            result = Reconciliation(
                ingestion_id=ingestion.id,
                table=table.name,
                table_exists=exists,
                listed=comparison.listed,
                new=comparison.new(),
                files_in_table=comparison.files_in_table,
                rows_in_table=comparison.rows_in_table,
                found=found,
                left=left,
                findings=findings,
                stale_batches=stale,
                leftover_branches=tuple(branches),
                applied=apply,
                seconds=time.monotonic() - began,
            )
        if apply:
            # After the table's versions are known, so that each file's changes follow the policy.
            discover(ingestion)
            if exists:
                catch_up(ingestion, table)
                drop_branches(table, branches)
    return result


def _tell(
    comparison: Comparison, on_difference: Callable[[Difference], None] | None
) -> tuple[Difference, ...]:
    kept: list[Difference] = []
    for _, of_kind in itertools.groupby(
        comparison.differences(*FAULTS, "gone"), key=lambda each: each.kind
    ):
        for number, difference in enumerate(of_kind):
            if number < SHOWN:
                kept.append(difference)
            elif on_difference is None:
                break
            if on_difference is not None:
                on_difference(difference)
    return tuple(kept)


def _read_main(ingestion: Ingestion, table: Table) -> MainRead:
    """Bring the state up to main, and say where main is. It is read as of there."""
    if table.columns_if_exists() is None:
        return MainRead(table, None)
    # What the state does not know at all is found by one look at all rows.
    return MainRead(table, catch_up(ingestion, table, False).head)


def _of_others(ingestion: Ingestion, table: Table) -> Collection[str]:
    return of_others(ingestion, owners_in(table.history())) if ingestion.spec.table.shared else ()


def _compare(
    ingestion: Ingestion, comparison: Comparison, read: MainRead, apply: bool
) -> tuple[dict[DifferenceKind, int], MainRead]:
    """Compare, and again if main may have moved: what others load or take out is no difference.

    Returns:
        The differences by kind, and the reading that the comparison holds.
    """
    found = comparison.compare()
    for _ in range(_READINGS - 1):
        if not any(found.get(kind) for kind in FAULTS) or (apply and read.is_current()):
            break
        before, read = found, _read_again(ingestion, comparison, read.table, apply)
        found = comparison.compare()
        # Nothing is written because of it, so two readings that agree are enough.
        if not apply and found == before:
            break
    return found, read


def _read_again(
    ingestion: Ingestion, comparison: Comparison, table: Table, apply: bool
) -> MainRead:
    """Put the rows that the table has now in the place of those that were read before."""
    read = _read_main(ingestion, table) if apply else MainRead(table, None)
    there = read.head is not None or (not apply and table.columns_if_exists() is not None)
    comparison.read_table(
        table.rows_of_files(read.head) if there else (),
        _of_others(ingestion, table) if there else (),
    )
    return read


def _mend(ingestion: Ingestion, comparison: Comparison, read: MainRead) -> MainRead:
    """Bring the state up to the table. If main moves meanwhile, the table is read again.

    Returns:
        The reading that the comparison holds at the end.
    """
    for number in range(_READINGS):
        if number:
            read = _read_again(ingestion, comparison, read.table, True)
        try:
            _mend_by(ingestion, comparison, read)
            break
        except MainMoved as moved:
            _log.warning("%s is compared again: %s", read.table.name, moved)
    return read


def _mend_by(ingestion: Ingestion, comparison: Comparison, read: MainRead) -> None:
    """Write what one reading of the table says to the state, as long as main stays there.

    Raises:
        MainMoved: It did not. What was written before that is right.
    """
    comparison.compare()
    comparison.add_versions(ingestion.loaded.tenant)
    comparison.compare()
    if read.head is not None:
        _record(ingestion, comparison, read, read.head)
        comparison.compare()
    nameless = {each.batch_id for each in comparison.differences("unknown") if not each.path}
    loaded_by = {
        each.file_id: each.batch_id
        for each in comparison.differences("missing")
        if each.file_id is not None
    }
    kept = {batch_id for batch_id in loaded_by.values() if batch_id in nameless}
    if kept:
        loaded_by = {file: batch for file, batch in loaded_by.items() if batch not in kept}
        _log.warning(
            "%s has rows without _source_file of %s; they may be those of its missing files, which "
            "are not loaded again. Delete these rows by _batch_id, and run it again",
            read.table.name,
            ", ".join(sorted(kept)),
        )
    if loaded_by:
        gone = "has no row of it any more" if read.head is not None else "was dropped"
        reason = f"it was loaded, and table {read.table.name} {gone}"
        ingestion.store.rollbacks.requeue_files(ingestion.id, loaded_by, reason, read.unchanged)


def _record(ingestion: Ingestion, comparison: Comparison, read: MainRead, head: int) -> None:
    """Record what the table has rows of, batch by batch."""
    store = ingestion.store
    main, _ = read.table.history().main()
    snapshot_of = {s.batch_id: s.snapshot_id for s in main if s.batch_id}
    unrecorded = list(comparison.differences("unrecorded"))
    status = store.batches.known({each.batch_id for each in unrecorded})
    for batch_id, of_batch in itertools.groupby(unrecorded, key=lambda each: each.batch_id):
        # Of a version with rows of two batches both are recorded in turn; then it is a double.
        group = [each for each in of_batch if each.file_id is not None]
        files = [LoadedFile(each.file_id or 0, each.rows, each.bad_rows) for each in group]
        known = status.get(batch_id)
        if known is not None and known.status == "RECORDED":
            seen: dict[int, FileStatus | None] = {each.file_id or 0: each.status for each in group}
            store.rebuild.reinstate(ingestion.id, batch_id, files, seen, read.unchanged)
            continue
        store.batch_files.record(
            batch_id,
            snapshot_of.get(batch_id, head),
            files,
            seconds=0.0,
            ingestion_id=ingestion.id,
            tenant=ingestion.loaded.tenant,
            table=read.table.name,
            own_snapshot=batch_id in snapshot_of,
            guard=read.unchanged,
        )
        _log.info("batch %s is in %s, and is recorded now", batch_id, read.table.name)
