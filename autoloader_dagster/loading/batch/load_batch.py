"""One batch from claim to record: look, stage, branch, read, write, audit, publish, record.

Write-audit-publish is every batch's way. An attempt publishes only from the base on which it
proved that none of its files is in main, and publishing fails if main is no longer that base; so a
batch is in the table once, whatever is killed, repeated or paused.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autoloader_dagster import failpoints
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import (
    AutoloaderError,
    FileChanged,
    LoadError,
    TableUnavailable,
)
from autoloader_dagster.formats.base import Readable
from autoloader_dagster.formats.frame import read_otherwise
from autoloader_dagster.formats.look import look_at
from autoloader_dagster.formats.outcome import Bad, Look
from autoloader_dagster.formats.placing import staged_suffix
from autoloader_dagster.iceberg.lineage import PARTITION_KEY
from autoloader_dagster.iceberg.required import is_refused_null
from autoloader_dagster.loading.batch.attempts import Attempt, Attempts
from autoloader_dagster.loading.batch.audit import (
    BAD_ROWS,
    Audited,
    UnknownAddress,
    audit_attempt,
)
from autoloader_dagster.loading.batch.files import FilesLeft, Members
from autoloader_dagster.loading.batch.find_bad_files import (
    TryRead,
    find_unreadable,
    may_come_with_every_file,
)
from autoloader_dagster.loading.batch.large_files import with_looks
from autoloader_dagster.loading.batch.lease import Lease
from autoloader_dagster.loading.batch.prepare_table import PreparedTable, prepare_table
from autoloader_dagster.loading.batch.reader import BatchReader
from autoloader_dagster.loading.batch.stage import (
    copies_address,
    naming_unseen_copies,
    stage,
    unstage,
)
from autoloader_dagster.loading.batch.write import write
from autoloader_dagster.loading.ingestion import BatchOutcome, Ingestion
from autoloader_dagster.loading.notes import notes_on
from autoloader_dagster.loading.progress import Progress
from autoloader_dagster.loading.write_plan import plan_load
from autoloader_dagster.spark.errors import advice, is_environment, short
from autoloader_dagster.spark.session import translate
from autoloader_dagster.state.records import Batch, LoadedFile

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_log = logging.getLogger(__name__)

# Of so few files, each may have a name that Spark gives back as another one.
_FEW_FILES = 8


class BatchLoad:
    """The loading of one batch.

    Args:
        ingestion: What is loaded.
        spark: An open session.
        batch: The claimed batch.
        lease: Is checked between the steps.
        progress: Told what is done now.
        members: The batch's files, where they are not those of a plain load.
    """

    def __init__(
        self,
        ingestion: Ingestion,
        spark: "SparkSession",
        batch: Batch,
        lease: Lease,
        progress: Progress,
        members: Members | None = None,
    ) -> None:
        self._ingestion = ingestion
        self._spec = ingestion.spec
        self._store = ingestion.store
        self._batch = batch
        self._lease = lease
        self._progress = progress
        self._table = ingestion.table(spark)
        self._attempts = Attempts(ingestion, self._table, batch, lease)
        self._members = members or Members(ingestion, batch)
        self._staging = ingestion.staging_dir / batch.batch_id
        self._reader = BatchReader(ingestion, spark, batch.batch_id, self._members)
        self._started = time.monotonic()
        self._files: list[Readable] = []
        # Files that Spark could not read, so far.
        self._unreadable = 0
        # The table as this attempt has found or left it.
        self._prepared = PreparedTable((), ())
        self._notes: tuple[str, ...] = ()

    def run(self) -> BatchOutcome:
        """Load the batch.

        Raises:
            LeaseLost: Another worker has taken the batch over; it is left to that worker.
            AutoloaderError: The environment failed. The batch is released, unless it may be
                published already; then it stays as it is until main can be read.
        """
        try:
            with self._attempts.or_release():
                self._members.leave_out_of_other_sources()
                if self._batch.kind == "load":
                    self._members.leave_out_what_was_loaded_from_elsewhere()
                self._files = self._check_large(self._readable(self._look()))
                self._requeue(read_otherwise(self._spec.format, self._files))
                return self._attempts.until_published(
                    lambda: self._attempt(
                        [r for r in self._files if r.file.path in self._members.files]
                    )
                )
        finally:
            unstage(self._staging, self._ingestion.copy_store)

    # --- look and stage -------------------------------------------------------------------------

    def _look(self) -> list[Look]:
        """Look into every file; what is bad or not what was listed leaves the batch."""
        self._progress("checking the files")
        refs = self._members.refs()
        large = self._reader.large_bytes(refs)
        good = self._sort_out(
            list(look_at(self._ingestion.source, refs, self._spec.format, large_bytes=large))
        )
        failpoints.reach("looked")
        self._notes = notes_on(self._spec, good)
        return good

    def _sort_out(self, looks: Sequence[Look]) -> list[Look]:
        """Take what is bad or not what was listed out of the batch; the looks at the other files.

        Raises:
            SourceAccessDenied: None of the files can be read.
        """
        denied = {look.ref.path: look.denied for look in looks if look.denied}
        # An empty file is not asked for, so it does not tell.
        if denied and len(denied) == sum(look.ref.size > 0 for look in looks):
            # Not a word about single files: the credentials have no permission to read.
            raise next(iter(denied.values()))
        self._members.fail({path: error.what for path, error in denied.items()}, "AccessDenied")
        self._members.take_out_changed([look.ref.path for look in looks if look.changed])
        self._members.quarantine(
            {
                look.ref.path: look.bad
                for look in looks
                if look.bad is not None and look.ref.path in self._members.files
            }
        )
        return [look for look in looks if look.ref.path in self._members.files]

    def _readable(self, looks: Sequence[Look]) -> list[Readable]:
        """Stage what Spark cannot read in place, and say where it reads each file."""
        while True:
            looks = [look for look in looks if look.ref.path in self._members.files]
            try:
                staged = stage(
                    self._ingestion.source,
                    looks,
                    self._staging,
                    self._spec.format,
                    self._ingestion.copy_store,
                )
                break
            except FileChanged:
                if not self._members.take_out_changed():
                    raise
        failpoints.reach("staged")
        self._members.quarantine(staged.bad)
        source, claimed = self._ingestion.source, self._members.files
        return [
            staged.readable(source, look, claimed[look.ref.path].partition_key)
            for look in looks
            if look.ref.path in claimed
        ]

    def _check_large(self, readable: list[Readable]) -> list[Readable]:
        """Find out the rest of large files; those that are bad leave the batch."""
        looks = self._reader.check_large(readable, self._progress)
        self._sort_out(list(looks.values()))
        claimed = self._members.files
        return with_looks([r for r in readable if r.file.path in claimed], looks)

    def _requeue(self, some: Sequence[Readable]) -> bool:
        """Leave files to the load's next batch; a reload has none, so it keeps all.

        Returns:
            Whether any left.
        """
        if not some or self._batch.kind != "load":
            return False
        _log.info(
            "batch %s leaves %s to the next", self._batch.batch_id, counted(len(some), "file")
        )
        self._members.requeue([r.file.path for r in some])
        return True

    def _stage_unaccounted(self, error: UnknownAddress, files: int) -> None:
        """Have Spark read copies, under names of ours, of the files whose rows were not found.

        Raises:
            UnknownAddress: It is not a matter of single names.
        """
        copied = [r for r in error.unaccounted if r.file.read_from.startswith(self._copies)]
        others = [r for r in error.unaccounted if r not in copied]
        if not error.unaccounted or len(error.unaccounted) == files > _FEW_FILES:
            raise error
        self._members.quarantine(
            {
                r.file.path: Bad(
                    "UnknownAddress", "has a name that Spark gives back as another one; rename it"
                )
                for r in copied
            }
        )
        kind = self._spec.format.type
        looks = [
            replace(r.look, stage_as=staged_suffix(kind, r.look.compression), lines=None)
            for r in others
        ]
        kept = [r for r in self._files if r not in error.unaccounted]
        self._files = kept + self._readable(looks)

    @property
    def _copies(self) -> str:
        return copies_address(self._staging, self._ingestion.copy_store)

    # --- one attempt ----------------------------------------------------------------------------

    def _attempt(self, readable: Sequence[Readable]) -> BatchOutcome:
        with_rows = [r for r in readable if not r.look.empty]
        if self._members.is_empty:
            return self._give_up()
        if not with_rows and not self._members.rows_to_delete:
            self._members.leave_out_what_is_loaded()
            if not self._members.rows_to_delete:
                return self._record(Audited(None, {}, {}))
        self._progress("preparing the table")
        self._lease.check()
        with self._finding_the_file_to_blame(with_rows, self._reader.columns):
            self._prepared = prepare_table(
                self._ingestion, self._table, self._reader, self._members, with_rows, self._progress
            )
        failpoints.reach("prepared")
        base = self._attempts.catch_up()
        self._members.leave_out_what_is_loaded()
        # Once more, because a state that was lost has learned only now what is loaded.
        if self._batch.kind == "load" and self._members.leave_out_what_was_loaded_from_elsewhere():
            raise FilesLeft
        attempt = self._attempts.begin(base)
        audited = self._write(attempt, with_rows)
        failpoints.reach("audited")
        self._progress("publishing")
        if audited.snapshot_id is not None:
            self._attempts.publish(attempt, audited.snapshot_id, sum(audited.rows.values()))
        return self._record(audited, attempt.base)

    def _write(self, attempt: Attempt, readable: Sequence[Readable]) -> Audited:
        """Write to the branch and audit it.

        Raises:
            FilesLeft: Files that cannot be read or must not be published have left the batch.
            PublishConflict: The branch holds more than this attempt.
        """
        self._progress("reading and writing")
        plan = plan_load(self._batch, self._members.rows_to_delete, readable)
        with self._finding_the_file_to_blame(readable, self._read_to_the_end):
            by_key = self._spec.table.partition_by == (PARTITION_KEY,)
            written = write(
                self._table, attempt, plan, lambda: self._frame(readable), by_key=by_key
            )
        failpoints.reach("written")
        self._progress("checking the files again")
        if self._members.take_out_changed():
            raise FilesLeft
        # Last, because it asks where main is; the less time passes until the publish the better.
        self._progress("counting the rows")
        self._lease.check()
        try:
            audited = audit_attempt(self._table, attempt, plan, written, self._spec)
        except UnknownAddress as error:
            self._stage_unaccounted(error, len(readable))
            raise FilesLeft from error
        if audited.bad_files:
            rows = {p: bad for p, bad in audited.bad_files.items() if bad.error_type == BAD_ROWS}
            named = self._reader.with_a_bad_row(rows, readable, self._prepared.columns)
            self._members.quarantine({**audited.bad_files, **named})
            raise FilesLeft
        return audited

    def _frame(self, readable: Sequence[Readable]) -> Any:
        return self._reader.frame(readable, self._prepared.columns)

    def _read_to_the_end(self, readable: Sequence[Readable]) -> None:
        self._reader.read_to_the_end(readable, self._prepared.columns)

    @contextmanager
    def _finding_the_file_to_blame(
        self, readable: Sequence[Readable], try_read: TryRead
    ) -> Iterator[None]:
        """Take the files out of the batch that make the block fail, by trying to read them.

        Raises:
            FilesLeft: Instead of the error, once files have left the batch.
            LoadError: It is no file's fault.
        """
        try:
            with naming_unseen_copies(self._copies):
                yield
        except (AutoloaderError, FilesLeft):
            raise
        except Exception as error:  # Spark's; whose fault it is must be found out
            gone = translate(error, "the Spark server")
            if gone is not None:
                raise gone from error
            self._isolate(error, readable, try_read)
            raise FilesLeft from error

    def _isolate(self, error: Exception, readable: Sequence[Readable], try_read: TryRead) -> None:
        self._progress("finding the bad file")
        if self._members.take_out_changed():
            return
        found = find_unreadable(error, readable, try_read, self._unreadable)
        if not found and is_refused_null(error):
            refused = self._reader.refused_by_table(readable, self._prepared.columns)
            self._members.quarantine(refused)
            if refused:
                return
        if not found:
            # It may be all of them together, which must not keep each of them waiting for ever.
            half = readable[len(readable) // 2 :] if len(readable) > 1 else ()
            if not may_come_with_every_file(error) and self._requeue(half):
                return
            kind = TableUnavailable if is_environment(error) else LoadError
            raise kind(
                f"batch {self._batch.batch_id} could not be written to {self._table.name}: "
                f"{short(error)}",
                f"No file has caused the failure; all files wait for the next run. {advice(error)}",
            ) from error
        self._unreadable += len(found)
        self._members.fail(found, "Unreadable")

    def _give_up(self) -> BatchOutcome:
        """End a batch that all files have left, and that has nothing to be recorded."""
        why = "none of its files could be loaded again"
        self._store.claims.release(self._batch.batch_id, self._batch.owner, why)
        seconds = time.monotonic() - self._started
        return BatchOutcome(self._batch.batch_id, None, self._members.outcomes, seconds)

    def _record(self, audited: Audited, base: int | None = None) -> BatchOutcome:
        """Record the batch; main was seen to hold its snapshot."""
        self._progress("recording")
        rows, bad_rows = audited.rows, audited.bad_rows
        seconds = time.monotonic() - self._started
        self._store.batch_files.record(
            self._batch.batch_id,
            audited.snapshot_id,
            [
                LoadedFile(file.id, rows.get(path, 0), bad_rows.get(path, 0))
                for path, file in self._members.files.items()
            ],
            seconds=seconds,
            replace=self._members.replaces,
            base=base,
        )
        self._attempts.recorded()
        self._members.loaded(rows, bad_rows)
        return BatchOutcome(
            self._batch.batch_id,
            audited.snapshot_id,
            self._members.outcomes,
            seconds,
            self._prepared.columns if rows else (),
            self._prepared.unmatched_hints if rows else (),
            audited.table_rows,
            self._notes if rows else (),
        )
