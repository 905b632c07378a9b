"""The state of loading: which file versions are known, and what became of each.

``ProcessedFiles`` is the whole of what the rest of the package sees of the state database. The work
is done in the modules beside this one, by concern; here is what each call means.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state import (
    adopting,
    amending,
    batches,
    claims,
    comparison,
    discovery,
    forgetting,
    handover,
    other_tables,
    queries,
    totals,
    upgrade,
    withdrawals,
)
from autoloader_dagster.state import batch_files as results
from autoloader_dagster.state import tables as table_states
from autoloader_dagster.state.database import Database
from autoloader_dagster.state.records import (
    Amendment,
    BadFile,
    BadRows,
    Batch,
    BatchKind,
    BatchRow,
    Claim,
    Discovery,
    DisplacedFile,
    FileRow,
    FileStatus,
    Fits,
    Guard,
    HandOver,
    KnownBatch,
    LoadedElsewhere,
    LoadedFile,
    OnChange,
    Partitions,
    PartitionTotals,
    PendingPartition,
    Place,
    RowsOfFile,
    SetAside,
    StatusTotals,
    TableState,
    UndoneFile,
    Withdrawal,
    no_guard,
)


class ProcessedFiles:
    """The state database. One object may serve several threads.

    Every method raises ``StateError`` when the database is down, locked, full, read-only, not set
    up or of another version; no other error of the database comes out, and never a password.
    Times are aware and in UTC, sizes in bytes. An ingestion is named ``tenant/name``.

    Args:
        database_url: ``sqlite:////folder/state.db`` or ``postgresql://user:password@host:port/name``;
            nothing is opened before the first call.

    Raises:
        UsageError: The URL is not one of those.
    """

    def __init__(self, database_url: str) -> None:
        self._database = Database(database_url)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._database.close()

    # --- schema ---------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Create the schema in an empty database; one that is in use is only checked.

        Several processes may do so at once. A schema that is older or newer than this package's
        is accepted if this package can use it as it is.
        """
        upgrade.set_up(self._database)

    def upgrade(self) -> None:
        """Create the schema or bring it up to date; several processes may do so at once."""
        upgrade.upgrade(self._database)

    def current(self) -> str | None:
        """The schema's revision; None for a database without one, or none at all."""
        return upgrade.current(self._database).revision

    def is_usable(self) -> bool:
        """Whether this package can use the database as it is."""
        return upgrade.current(self._database).is_usable

    # --- discovery and planning -----------------------------------------------------------------

    def discover(
        self,
        ingestion_id: str,
        tenant: str,
        pages: Iterable[Sequence[FileRef]],
        place: Place,
        on_change: OnChange = "ignore",
        fits: Fits = lambda key: True,
        *,
        complete: bool = False,
    ) -> Discovery:
        """Compare a listing of the source with what is recorded, and record what is new.

        Nothing is recorded before the listing is complete: what ``pages`` raises passes through and
        leaves the state as it was. No lock is held while the source is listed.

        A path keeps the partition of its first version. A version that was set aside because of
        its place (HELD, or ``NoPartition``) is placed again each time it is listed, and so is one
        that waits in a partition that is none any more. A version that was skipped because the
        source did not have it is new when it is listed again.

        Args:
            ingestion_id: ``tenant/name``.
            tenant: The part before the slash, for filtering.
            pages: The listing; of two entries of one path the last one counts.
            place: Tells where a new version belongs; not asked where that is settled.
            on_change: What to do with a new version of a path that was loaded.
            fits: Tells whether a recorded partition is still one.
            complete: Whether the pages are all that the spec chooses. Then every version that
                waits, or was never placed, and whose path is not listed becomes SKIPPED.
        """
        return discovery.discover(
            self._database, ingestion_id, tenant, pages, place, on_change, fits, complete=complete
        )

    def pending(
        self, ingestion_id: str, retries: int, but_failed_with: str | None = None
    ) -> list[PendingPartition]:
        """What waits to be loaded, by partition: DISCOVERED, and FAILED with tries left.

        Args:
            ingestion_id: ``tenant/name``.
            retries: How often a file may fail before it is given up.
            but_failed_with: Leave out files that failed in batches of this worker.
        """
        return queries.pending(self._database, ingestion_id, retries, but_failed_with)

    # --- the life of a batch --------------------------------------------------------------------

    def claim(self, wanted: Claim, now: datetime | None = None) -> Batch | None:
        """Take pending files, by partition and age, as one batch that nobody else gets.

        Args:
            wanted: Which ones.
            now: The time; the database's own clock by default.

        Returns:
            The batch; None if nothing is pending that another worker is not just taking.
        """
        return claims.claim(self._database, wanted, now)

    def renew(self, batch_id: str, owner: str, lease: timedelta) -> bool:
        """Prolong the lease from now; False if the batch was released or recorded meanwhile."""
        return claims.renew(self._database, batch_id, owner, lease)

    def begin_attempt(
        self, batch_id: str, owner: str, base_snapshot_id: int | None, table_uuid: str | None
    ) -> int:
        """Count one more attempt on this base, and return its number, from 1.

        Raises:
            LeaseLost: The batch was released or recorded meanwhile.
        """
        return claims.begin_attempt(self._database, batch_id, owner, base_snapshot_id, table_uuid)

    def mark_written(self, batch_id: str, owner: str, snapshot_id: int, rows: int) -> None:
        """Note the commit that the attempt made on its branch, before it is published.

        Raises:
            LeaseLost: The batch was released or recorded meanwhile.
        """
        claims.mark_written(self._database, batch_id, owner, snapshot_id, rows)

    def set_aside(
        self, batch_id: str, owner: str, outcomes: Sequence[SetAside], retries: int
    ) -> None:
        """Take files out of the batch without loading them.

        A FAILED file whose tries are used up becomes QUARANTINED.

        Raises:
            LeaseLost: The batch was released or recorded meanwhile.
        """
        results.set_aside(self._database, batch_id, owner, outcomes, retries)

    def record(
        self,
        batch_id: str,
        snapshot_id: int | None,
        files: Sequence[LoadedFile],
        seconds: float,
        *,
        replace: bool = False,
        kind: BatchKind = "load",
        ingestion_id: str | None = None,
        tenant: str | None = None,
        table: str | None = None,
        own_snapshot: bool = True,
        guard: Guard = no_guard,
    ) -> None:
        """Note that the batch is in the table. The table is the truth, so this needs no lease.

        A file that another batch holds by now leaves it. Recording the same again does nothing.

        Args:
            batch_id: The batch, open or released, or not known (a state restored from a backup).
            snapshot_id: Its snapshot in main; None if its files had no rows, so that it made none.
            files: Every file that the commit holds, those without rows included.
            seconds: How long the batch took.
            replace: Other loaded versions of the same paths went with this commit.
            kind: For a batch that is not known.
            ingestion_id: The same.
            tenant: The same.
            table: The same.
            own_snapshot: Whether the batch made this snapshot; else it is known only that the
                batch's rows are in it.
            guard: Called before anything is written, without a transaction. If it raises, nothing
                is written. It is called again if other workers recorded something of this
                ingestion before this is written.

        Raises:
            StateError: The files are not those of the batch, or it is recorded with another
                snapshot.
            MainMoved: Other workers recorded something each time that the guard had passed.
        """
        results.record(
            self._database,
            batch_id,
            snapshot_id,
            files,
            seconds,
            replace=replace,
            kind=kind,
            ingestion_id=ingestion_id,
            tenant=tenant,
            table=table,
            own_snapshot=own_snapshot,
            guard=guard,
        )

    def release(self, batch_id: str, owner: str | None, error: str | None = None) -> bool:
        """Give the files that are still in the batch back; they are pending again.

        Args:
            batch_id: The batch.
            owner: Who holds it; None to release it whoever does, once it is known
                not to be in main.
            error: Why, for people.

        Returns:
            False if it was not ours, or was released or recorded before.
        """
        return claims.release(self._database, batch_id, owner, error)

    # --- amending what is loaded -----------------------------------------------------------------

    def claim_amendment(
        self, wanted: Amendment, owner: str, run_id: str, lease: timedelta
    ) -> Batch:
        """Begin an undo or a reload. Its files keep their status until it is recorded.

        Raises:
            FilesInUse: An open undo or reload has one of the files, in whatever version.
        """
        return amending.claim_amendment(self._database, wanted, owner, run_id, lease)

    def leave_out(self, batch_id: str, owner: str, file_ids: Collection[int]) -> None:
        """Take files out of an undo or a reload; they stay as they are.

        Raises:
            LeaseLost: The batch was released or recorded meanwhile.
        """
        amending.leave_out_of(self._database, batch_id, owner, file_ids)

    def record_undo(
        self,
        batch_id: str,
        snapshot_id: int | None,
        files: Sequence[UndoneFile],
        rows: int,
        *,
        ingestion_id: str,
        tenant: str,
        table: str,
    ) -> None:
        """Note that the rows of these files are gone from the table. This needs no lease.

        A file that another batch has loaded since is left as it is. Recording the same again does
        nothing.

        Args:
            batch_id: The undo, open or released, or not known (a state restored from a backup).
            snapshot_id: Its snapshot in main.
            files: The file versions.
            rows: How many rows it took out.
            ingestion_id: Whose files they are.
            tenant: For a batch that is not known.
            table: The table.
        """
        amending.record_undo(
            self._database,
            batch_id,
            snapshot_id,
            files,
            rows,
            ingestion_id=ingestion_id,
            tenant=tenant,
            table=table,
        )

    def retry(self, ingestion_id: str, partition_of: Mapping[int, str | None]) -> set[int]:
        """Let those of the files wait again, with all their tries, that were set aside or undone.

        Args:
            ingestion_id: ``tenant/name``.
            partition_of: The partition into which each file is to be loaded, by its id.

        Returns:
            The ids of those that wait now.
        """
        return amending.retry(self._database, ingestion_id, partition_of)

    def dismiss(self, ingestion_id: str, file_ids: Collection[int]) -> set[int]:
        """Skip those of the files for good that failed or were quarantined; the reason is kept.

        A dismissed version is not loaded unless somebody retries it. Another version of its path
        is treated as if this one had been skipped.

        Returns:
            The ids of those that are skipped now.
        """
        return amending.dismiss(self._database, ingestion_id, file_ids)

    # --- recovery -------------------------------------------------------------------------------

    def stale_batches(
        self,
        ingestion_id: str | None = None,
        now: datetime | None = None,
        over_runs: Collection[str] = (),
    ) -> list[Batch]:
        """Open batches whose lease ran out, or whose run is one of ``over_runs``; oldest first."""
        return batches.stale_batches(self._database, ingestion_id, now, over_runs)

    def open_run_ids(self) -> set[str]:
        """The runs that hold open batches."""
        return queries.open_run_ids(self._database)

    def has_open_batch(self, ingestion_id: str) -> bool:
        """Whether a worker is at a batch of this ingestion, or was when it died."""
        return queries.has_open_batch(self._database, ingestion_id)

    def batch(self, batch_id: str) -> Batch | None:
        """One batch with its files."""
        return batches.batch(self._database, batch_id)

    def batches_of(self, ingestion_id: str, file_ids: Collection[int]) -> list[str]:
        """The recorded batches that loaded these file versions or took them out, oldest first.

        Args:
            ingestion_id: Whose files and batches.
            file_ids: Ids of the versions. Of a version that was loaded before batches noted
                their files, only the last batch is known.
        """
        return batches.batches_of(self._database, ingestion_id, file_ids)

    def known_batches(self, ids: Collection[str]) -> dict[str, KnownBatch]:
        """Whose they are and what became of them, for those batches that the state knows."""
        return queries.known_batches(self._database, ids)

    def same_content(
        self, *, batch_id: str | None = None, run_id: str | None = None
    ) -> dict[str, str]:
        """Of the files of a batch or a run, those whose content was loaded under another name.

        Told by etag and size, so only of sources that give etags.

        Returns:
            For the path of each such file, that of the first one with the same content.
        """
        return queries.same_content(self._database, batch_id, run_id)

    # --- batches that are not in the table any more ---------------------------------------------

    def loaded_batches(self, table: str, but_table_uuid: str | None = None) -> dict[str, int]:
        """The recorded batches of a table that have loaded files, and how many rows these have.

        Args:
            table: The table, whichever ingestions load it.
            but_table_uuid: Leave out the batches that went to this table of that name.
        """
        return withdrawals.loaded_batches(self._database, table, but_table_uuid)

    def displaced_by(self, batch_id: str) -> list[DisplacedFile]:
        """The file versions whose rows this batch took out: it replaced or undid them."""
        return withdrawals.displaced_by(self._database, batch_id)

    def withdraw(
        self,
        batch_id: str,
        snapshot_id: int | None,
        reason: str,
        back_again: Collection[int] = (),
        guard: Guard = no_guard,
    ) -> Withdrawal | None:
        """Take back a batch that was taken out of main: its files become UNDONE.

        It is recorded again by ``record`` if it turns up in main again.

        Args:
            batch_id: The batch.
            snapshot_id: The snapshot that it is recorded with; None for any.
            reason: For people.
            back_again: Ids of replaced or undone versions whose rows are in main again.
            guard: As for ``record``.

        Returns:
            None if it is not recorded, or with another snapshot.
        """
        return withdrawals.withdraw(
            self._database, batch_id, snapshot_id, reason, back_again, guard
        )

    def comparison(
        self,
        ingestion_id: str,
        shared: bool,
        in_table: Iterable[RowsOfFile],
        listing: Iterable[Sequence[FileRef]],
        of_others: Collection[str] = (),
    ) -> AbstractContextManager[comparison.Comparison]:
        """Hold a table's rows and a listing against the state; see ``Comparison``.

        Args:
            ingestion_id: Whose files.
            shared: The table has rows of other ingestions as well.
            in_table: The rows, counted by file version and batch; streamed.
            listing: The source; streamed.
            of_others: Batches of other ingestions by their snapshots, if the state has lost them.
        """
        return comparison.comparison(
            self._database, ingestion_id, shared, in_table, listing, of_others
        )

    def add_versions(
        self,
        ingestion_id: str,
        tenant: str,
        versions: Sequence[tuple[str, datetime, str | None]],
    ) -> None:
        """Add those of these versions that are not known: path, time of last change, partition.

        Nothing else is known of them, for the table has their rows, and they were not listed. They
        are UNDONE until they are recorded, and get their identity from the listing that shows a
        file of this path and time.
        """
        adopting.add_versions(self._database, ingestion_id, tenant, versions)

    def reinstate(
        self,
        ingestion_id: str,
        batch_id: str,
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
        return adopting.reinstate(self._database, ingestion_id, batch_id, files, seen, guard)

    def files_wait_again(
        self,
        ingestion_id: str,
        loaded_by: Mapping[int, str],
        reason: str,
        guard: Guard = no_guard,
    ) -> int:
        """Requeue loaded files whose rows are gone, as ``wait_again`` does for batches.

        Args:
            ingestion_id: ``tenant/name``.
            loaded_by: For each file the batch whose rows are gone. A file that is not loaded by
                this batch any more stays as it is.
            reason: For people.
            guard: As for ``record``.

        Returns:
            How many files were loaded by those batches.
        """
        return withdrawals.files_wait_again(self._database, ingestion_id, loaded_by, reason, guard)

    def wait_again(self, batch_ids: Collection[str], reason: str, guard: Guard = no_guard) -> int:
        """Take back batches whose table is gone: their files become DISCOVERED, to be loaded again.

        Where the source has shown a newer version since, that one waits instead, also if it was
        left out because the older one was loaded.

        Returns:
            How many files are not loaded any more.
        """
        return withdrawals.wait_again(self._database, batch_ids, reason, guard)

    # --- tables ---------------------------------------------------------------------------------

    def table_state(self, table: str, ingestion_id: str) -> TableState | None:
        """How far this ingestion has followed this table; None if never."""
        return table_states.table_state(self._database, table, ingestion_id)

    def save_table_state(self, table: str, ingestion_id: str, state: TableState) -> None:
        """Note how far; a ``table_uuid`` of None leaves the known one."""
        table_states.save_table_state(self._database, table, ingestion_id, state)

    def loaders_of(self, table: str, but: str) -> dict[str, set[str | None]]:
        """The other ingestions with loaded files in a table, and the ids of these tables."""
        return handover.loaders_of(self._database, table, but)

    def loaded_elsewhere(
        self, ingestion_id: str, table: str, table_id: str | None = None
    ) -> list[LoadedElsewhere]:
        """Count the loaded files of an ingestion whose rows are not in this table, by table.

        Args:
            ingestion_id: Whose files.
            table: The table that its spec names.
            table_id: Which table that is, whatever its name was; default the id that is known.
        """
        return other_tables.loaded_elsewhere(self._database, ingestion_id, table, table_id)

    def waiting_paths_of(self, ingestion_id: str, others: Collection[str]) -> str | None:
        """One of the other ingestions that has loaded a path which waits in this one."""
        return handover.waiting_paths_of(self._database, ingestion_id, others)

    def hand_over(self, old: str, new: str, tenant: str, *, really: bool) -> HandOver:
        """Give all that is known of one ingestion to another, in one transaction.

        Args:
            old: Whose it is.
            new: Whose it becomes. What it has only listed of the same files is forgotten.
            tenant: Of the new one.
            really: If not, only say what is known.

        Raises:
            FilesInUse: One of both has an open batch.
            LoadError: Both have loaded the same file.
        """
        return handover.hand_over(self._database, old, new, tenant, really)

    # --- for people and programs ----------------------------------------------------------------

    def files(
        self,
        ingestion_id: str,
        statuses: Collection[FileStatus] | None = None,
        batch_id: str | None = None,
        run_id: str | None = None,
        path_like: str | None = None,
        limit: int | None = None,
        *,
        paths: Collection[str] | None = None,
        ids: Collection[int] | None = None,
        path_end: str | None = None,
    ) -> Iterator[FileRow]:
        """Recorded file versions in the order of their discovery, streamed.

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
        return queries.files(
            self._database,
            ingestion_id,
            statuses,
            batch_id,
            run_id,
            path_like,
            paths,
            ids,
            limit,
            path_end,
        )

    def partition_keys(self, ingestion_id: str) -> list[str]:
        """The partitions that have files which wait, are loaded, or once were or failed; sorted.

        A partition whose files were all left out or held back is not among them.
        """
        return queries.partition_keys(self._database, ingestion_id)

    def loaded_ids(self, ingestion_id: str, partitions: Partitions) -> list[tuple[int, int]]:
        """Id and bytes of each loaded file version of these partitions, by partition."""
        return queries.loaded_ids(self._database, ingestion_id, partitions)

    def counts(self, ingestion_id: str | None = None) -> dict[str, dict[FileStatus, StatusTotals]]:
        """Files, bytes and rows by status, for one ingestion or all of them."""
        return queries.counts(self._database, ingestion_id)

    def batches(
        self, ingestion_id: str | None = None, run_id: str | None = None, limit: int = 100
    ) -> list[BatchRow]:
        """The latest batches, the newest first."""
        return queries.batches(self._database, ingestion_id, run_id, limit)

    def batches_since(
        self, ingestion_id: str, moment: datetime | None, also: Collection[str], limit: int
    ) -> list[BatchRow]:
        """The batches that began at a moment or later, the oldest first.

        Args:
            ingestion_id: Whose batches.
            moment: None for all of them.
            also: Ids of earlier batches that are wanted too; they come first.
            limit: The most that are given of those from the moment on.
        """
        return queries.batches_since(self._database, ingestion_id, moment, also, limit)

    def number_of_files(self, ingestion_id: str, statuses: Collection[FileStatus]) -> int:
        """How many file versions have one of these statuses; cheap, however many there are."""
        return totals.number_of_files(self._database, ingestion_id, statuses)

    def bad_rows(self, ingestion_id: str) -> BadRows:
        """Rows in the table with something in ``_rescued``, over all loaded files."""
        return totals.bad_rows(self._database, ingestion_id)

    def bad_files(self, ingestion_id: str, limit: int) -> list[BadFile]:
        """The loaded files with something in ``_rescued``, those with the most such rows first."""
        return totals.bad_files(self._database, ingestion_id, limit)

    def partition_totals(
        self, ingestion_id: str, keys: Collection[str | None] | None = None
    ) -> dict[str | None, PartitionTotals]:
        """Files and rows that are loaded, for each of these partitions.

        Without keys for each partition that has loaded files.
        """
        return totals.partition_totals(self._database, ingestion_id, keys)

    def partition_statuses(
        self, ingestion_id: str, keys: Collection[str]
    ) -> dict[str, dict[FileStatus, int]]:
        """Files by status, for those of these partitions that have recorded files."""
        return totals.partition_statuses(self._database, ingestion_id, keys)

    # --- starting from nothing ------------------------------------------------------------------

    def forget(self, ingestion_id: str) -> None:
        """Delete all that is known of an ingestion's files and batches.

        Drop its table first: every file is new again, and would be loaded once more.
        """
        forgetting.forget(self._database, ingestion_id)

    def forget_table(self, table: str) -> None:
        """Delete how far the state has followed a table, once the table was dropped."""
        forgetting.forget_table(self._database, table)
