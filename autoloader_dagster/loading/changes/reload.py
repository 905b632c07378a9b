"""Reload: load files again, each batch putting its rows in the place of those that are there.

What a path's current version in the source holds takes the place of what is loaded of it. Until a
batch is recorded its files are loaded as they were; a file that cannot be loaded again keeps its
rows, and is named.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from autoloader_dagster import failpoints
from autoloader_dagster.batch_ids import NO_BATCH, BatchId
from autoloader_dagster.errors import NotLoaded
from autoloader_dagster.loading.batch.lease import LEASE, Lease, new_owner
from autoloader_dagster.loading.batch.load_batch import BatchLoad
from autoloader_dagster.loading.changes.reload_files import ReloadMembers
from autoloader_dagster.loading.changes.select_files import LeftAsItIs, versions_named, what_it_is
from autoloader_dagster.loading.ingestion import BatchOutcome, FileOutcome, Ingestion
from autoloader_dagster.loading.placement import fitting, placer
from autoloader_dagster.loading.progress import Progress, no_progress
from autoloader_dagster.loading.recovery.catch_up import catch_up
from autoloader_dagster.loading.recovery.moved_table import refuse_moved_table
from autoloader_dagster.loading.recovery.recover import recover
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state.records import Amendment, FileRow, Partitions


@dataclass(frozen=True, slots=True)
class ToReload:
    """A loaded file that is to be loaded again.

    Attributes:
        path: The source's address.
        partition_key: Its partition.
        batch_id: The batch that loaded its rows.
        rows: The rows that are loaded.
        bytes: Its size in the source now.
        changed: Whether the source has another version now, which comes in their place.
    """

    path: str
    partition_key: str | None
    batch_id: BatchId | None
    rows: int
    bytes: int
    changed: bool


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """What a reload would do.

    Attributes:
        ingestion_id: ``tenant/name``.
        table: The table's full name.
        files: The files that would be loaded again.
        left: Loaded files that would keep their rows, with the reason.
        batches: About how many batches, each a snapshot.
    """

    ingestion_id: str
    table: str
    files: tuple[ToReload, ...]
    left: tuple[LeftAsItIs, ...]
    batches: int

    @property
    def rows(self) -> int:
        """Rows that would be replaced."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes that would be read."""
        return sum(file.bytes for file in self.files)

    @property
    def partitions(self) -> tuple[str | None, ...]:
        """The partitions that would get new rows."""
        return tuple(sorted({f.partition_key for f in self.files}, key=lambda key: key or ""))


def plan_reload(
    ingestion: Ingestion, partitions: Partitions = None, names: Sequence[str] = ()
) -> ReloadPlan:
    """Say what a reload would do, and change nothing.

    Args:
        ingestion: What to load again.
        partitions: Which of its partitions; None for all.
        names: Or files: addresses, their last parts, or patterns; see ``versions_named``.

    Raises:
        NotLoaded: Nothing of this is loaded.
        SourceError: The source cannot be asked.
    """
    files: list[ToReload] = []
    left: list[LeftAsItIs] = []
    chunks = 0
    for known in _chunks(ingestion, _loaded_ids(ingestion, partitions, names)):
        chunks += 1
        rows, not_loaded = _still_loaded(known)
        fit, not_fit = _with_their_source(ingestion, rows)
        left += [*not_loaded, *not_fit]
        files += [
            ToReload(
                row.file_path,
                row.partition_key,
                row.batch_id,
                row.rows or 0,
                ref.size,
                ref.version != row.file_version,
            )
            for row, ref in fit
        ]
    return ReloadPlan(ingestion.id, ingestion.spec.table.name, tuple(files), tuple(left), chunks)


def reload(
    ingestion: Ingestion,
    partitions: Partitions = None,
    names: Sequence[str] = (),
    *,
    run_id: str,
    ended_runs: Collection[str] = (),
    progress: Progress = no_progress,
    lease: timedelta = LEASE,
) -> Iterator[BatchOutcome]:
    """Load what is loaded of these partitions or files again; yields each batch once recorded.

    A file that is not loaded again has the status KEPT in the outcome, with the reason, and its
    rows are in the table as before.

    Args:
        ingestion: What to load again.
        partitions: Which of its partitions; None for all.
        names: Or files: addresses, their last parts, or patterns; see ``versions_named``.
        run_id: Recorded with the batches.
        ended_runs: Runs that have ended; their batches are settled without waiting for the lease.
        progress: Told what is done now.
        lease: How long a batch belongs to a worker that is not heard of any more.

    Raises:
        NotLoaded: Nothing of this is loaded.
        FilesInUse: Another undo or reload is at work on one of the files.
        SourceError: The source cannot be asked.
    """
    owner = new_owner()
    chosen = _loaded_ids(ingestion, partitions, names)
    progress("connecting to Spark")
    with ingestion.connect() as spark:
        table = ingestion.table(spark)
        refuse_moved_table(ingestion, lambda: table)
        table.columns()
        recover(ingestion, lambda name: ingestion.table(spark, name), ended_runs)
        catch_up(ingestion, table)
        for known in _chunks(ingestion, chosen):
            rows, not_loaded = _still_loaded(known)
            members, left = _members(ingestion, rows)
            kept = tuple(
                FileOutcome(each.path, None, "KEPT", 0, reason=each.reason)
                for each in (*not_loaded, *left)
            )
            if not members:
                yield BatchOutcome(NO_BATCH, None, kept, 0.0)
                continue
            wanted = Amendment(
                "reload", ingestion.id, ingestion.loaded.tenant, table.name, tuple(members)
            )
            batch = ingestion.store.claims.claim_amendment(wanted, owner, run_id, lease)
            failpoints.reach("claimed")
            with Lease(ingestion.store, batch.batch_id, owner, lease).kept() as held:
                outcome = BatchLoad(
                    ingestion, spark, batch, held, progress, ReloadMembers(ingestion, batch, rows)
                ).run()
            yield replace(outcome, files=(*outcome.files, *kept))


def _loaded_ids(
    ingestion: Ingestion, partitions: Partitions, names: Sequence[str]
) -> list[tuple[int, int]]:
    """Id and size of each loaded file version that was asked for, by partition."""
    if names:
        asked = versions_named(ingestion, names)
        chosen = [(row.id, row.file_size_bytes) for row in asked if row.status == "SUCCESS"]
        said = "; ".join(f"{row.file_path} {what_it_is(row)}" for row in asked[:5])
    else:
        chosen = ingestion.store.files.loaded_ids(ingestion.id, partitions)
        said = "the partitions that were asked for have no loaded files"
    if not chosen:
        raise NotLoaded(
            f"nothing of this is loaded in {ingestion.spec.table.name}, so there is nothing to "
            f"load again: {said}",
            f"'autoloader run {ingestion.spec.name}' loads what is new.",
        )
    return chosen


def _chunks(ingestion: Ingestion, chosen: Sequence[tuple[int, int]]) -> Iterator[list[FileRow]]:
    """The rows in chunks that each fit one batch, read when their turn comes."""
    bounds = ingestion.spec.batch
    ids: list[int] = []
    size = 0
    for file_id, file_size in chosen:
        if ids and (len(ids) >= bounds.max_files or size + file_size > bounds.max_bytes):
            yield list(ingestion.store.files.find(ingestion.id, ids=ids))
            ids, size = [], 0
        ids.append(file_id)
        size += file_size
    yield list(ingestion.store.files.find(ingestion.id, ids=ids))


def _still_loaded(rows: Sequence[FileRow]) -> tuple[list[FileRow], list[LeftAsItIs]]:
    """Those of the chosen versions that are loaded; the others, which were when they were chosen.

    A restored state may know only once it is brought up to the table that a newer version took the
    place of one.
    """
    loaded = [row for row in rows if row.status == "SUCCESS"]
    left = [
        LeftAsItIs(
            row.file_path,
            row.status,
            f"{what_it_is(row)}; the state was behind the table. Ask again to reload what is "
            "loaded now",
        )
        for row in rows
        if row.status != "SUCCESS"
    ]
    return loaded, left


def _with_their_source(
    ingestion: Ingestion, rows: Sequence[FileRow]
) -> tuple[list[tuple[FileRow, FileRef]], list[LeftAsItIs]]:
    """Each loaded version with what the source has of its path now; those to be kept apart."""
    there = ingestion.source.stat([row.file_path for row in rows]) if rows else {}
    fit: list[tuple[FileRow, FileRef]] = []
    left: list[LeftAsItIs] = []
    for row in rows:
        ref = there.get(row.file_path)
        reason = None
        if ref is None:
            reason = "is not in the source any more"
        elif ref.version != row.file_version and ingestion.spec.source.on_change == "append":
            # Both versions belong into the table; the source cannot give this one again.
            reason = "has another version in the source by now, which is loaded beside this one"
        if reason is not None or ref is None:
            left.append(LeftAsItIs(row.file_path, row.status, f"{reason}; its rows are kept"))
        else:
            fit.append((row, ref))
    return fit, left


def _members(ingestion: Ingestion, rows: Sequence[FileRow]) -> tuple[list[int], list[LeftAsItIs]]:
    """Ids of the versions to load; a version that is new to the state is recorded first."""
    fit, left = _with_their_source(ingestion, rows)
    changed = [ref for row, ref in fit if ref.version != row.file_version]
    if changed:
        ingestion.store.discovery.discover(
            ingestion.id,
            ingestion.loaded.tenant,
            [changed],
            placer(ingestion.spec),
            ingestion.spec.source.on_change,
            fitting(ingestion.spec),
        )
    paths = [ref.path for ref in changed]
    found = {
        (row.file_path, row.file_version): row
        for row in ingestion.store.files.find(ingestion.id, paths=paths)
    }
    members: list[int] = []
    for row, ref in fit:
        version = row if ref.version == row.file_version else found.get((ref.path, ref.version))
        if version is None:
            reason = "is being loaded in another version just now; its rows are kept"
            left.append(LeftAsItIs(ref.path, row.status, reason))
        elif version.id not in members:
            members.append(version.id)
    return members, left
