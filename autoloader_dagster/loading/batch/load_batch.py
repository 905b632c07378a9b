"""One batch from claim to record: look, stage, branch, read, write, audit, publish, record.

Write-audit-publish is every batch's way. An attempt publishes only from the base on which it
proved that none of its files is in main, and publishing fails if main is no longer that base; so a
batch is in the table once, whatever is killed, repeated or paused.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autoloader_dagster import failpoints
from autoloader_dagster.errors import (
    AutoloaderError,
    FileChanged,
    LoadError,
    TableError,
    TableUnavailable,
)
from autoloader_dagster.formats.base import Readable
from autoloader_dagster.formats.found_columns import FoundColumns, found_columns
from autoloader_dagster.formats.frame import by_group, read_otherwise
from autoloader_dagster.formats.hints import apply_hints
from autoloader_dagster.formats.look import look_at
from autoloader_dagster.formats.outcome import Bad, Look
from autoloader_dagster.formats.placing import staged_suffix
from autoloader_dagster.formats.reading import LIST_FOLDERS_FROM, TOO_MANY_TO_LIST
from autoloader_dagster.iceberg.append import Written
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.history import KIND_PROPERTY
from autoloader_dagster.iceberg.lineage import PARTITION_KEY, SourceFile
from autoloader_dagster.iceberg.owner import maker_properties, owner_properties
from autoloader_dagster.loading.batch.attempts import Attempt, Attempts
from autoloader_dagster.loading.batch.audit import (
    BAD_ROWS,
    Audited,
    UnknownAddress,
    audit_attempt,
    own_chain,
    too_many_bad_rows,
)
from autoloader_dagster.loading.batch.bad_rows import ROWS_READ, name_bad_rows
from autoloader_dagster.loading.batch.files import FilesLeft, Members
from autoloader_dagster.loading.batch.find_bad_files import TryRead, find_unreadable
from autoloader_dagster.loading.batch.lease import Lease
from autoloader_dagster.loading.batch.partition_columns import check_partition_by
from autoloader_dagster.loading.batch.stage import stage, unstage
from autoloader_dagster.loading.ingestion import BatchOutcome, Ingestion
from autoloader_dagster.loading.notes import notes_on
from autoloader_dagster.spark.errors import is_environment, short
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
        step: Told what is done now, for progress.
        members: The batch's files, where they are not those of a plain load.
    """

    def __init__(
        self,
        ingestion: Ingestion,
        spark: "SparkSession",
        batch: Batch,
        lease: Lease,
        step: Callable[[str], None],
        members: Members | None = None,
    ) -> None:
        self._ingestion = ingestion
        self._spec = ingestion.spec
        self._store = ingestion.store
        self._batch = batch
        self._lease = lease
        self._step = step
        self._table = ingestion.table(spark)
        self._attempts = Attempts(ingestion, self._table, batch, lease)
        self._members = members or Members(ingestion, batch)
        self._staging = ingestion.staging_dir / batch.batch_id
        self._frames = ingestion.lakehouse.frames(
            spark, self._spec, ingestion.source.spark_options()
        )
        self._started = time.monotonic()
        self._files: list[Readable] = []
        # Files that Spark could not read, so far.
        self._unreadable = 0
        # As this attempt has found or left them.
        self._table_columns: tuple[Column, ...] = ()
        self._unmatched_hints: tuple[str, ...] = ()
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
                self._files = self._readable(self._look())
                self._give_back(read_otherwise(self._spec.format, self._files))
                return self._attempts.until_published(
                    lambda: self._attempt(
                        [r for r in self._files if r.file.path in self._members.here]
                    )
                )
        finally:
            unstage(self._staging)

    # --- look and stage -------------------------------------------------------------------------

    def _look(self) -> list[Look]:
        """Look into every file; what is bad or not what was listed leaves the batch."""
        self._step("checking the files")
        looks = list(look_at(self._ingestion.source, self._members.refs(), self._spec.format))
        denied = {look.ref.path: look.denied for look in looks if look.denied}
        # An empty file is not asked for, so it does not tell.
        if denied and len(denied) == sum(look.ref.size > 0 for look in looks):
            # Not a word about single files: it is the credentials that may not read.
            raise next(iter(denied.values()))
        self._members.fail({path: error.what for path, error in denied.items()}, "AccessDenied")
        self._members.take_out_changed([look.ref.path for look in looks if look.changed])
        self._members.quarantine(
            {
                look.ref.path: look.bad
                for look in looks
                if look.bad is not None and look.ref.path in self._members.here
            }
        )
        failpoints.reach("looked")
        good = [look for look in looks if look.ref.path in self._members.here]
        self._notes = notes_on(self._spec, good)
        return good

    def _readable(self, looks: Sequence[Look]) -> list[Readable]:
        """Stage what Spark cannot read in place, and say where it reads each file."""
        while True:
            looks = [look for look in looks if look.ref.path in self._members.here]
            try:
                staged = stage(self._ingestion.source, looks, self._staging, self._spec.format)
                break
            except FileChanged:
                if not self._members.take_out_changed():
                    raise
        failpoints.reach("staged")
        self._members.quarantine(staged.bad)
        return [
            Readable(
                staged.of(look),
                SourceFile(
                    path=look.ref.path,
                    modified_at=look.ref.modified_at,
                    partition_key=self._members.here[look.ref.path].partition_key,
                    read_from=staged.read_from(self._ingestion.source, look),
                    lines=look.lines,
                ),
            )
            for look in looks
            if look.ref.path in self._members.here
        ]

    def _give_back(self, some: Sequence[Readable]) -> bool:
        """Leave files to the load's next batch; a reload has none, so it keeps all.

        Returns:
            Whether any left.
        """
        if not some or self._batch.kind != "load":
            return False
        _log.info("batch %s leaves %d files to the next", self._batch.batch_id, len(some))
        self._members.give_back([r.file.path for r in some])
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
        return f"file://{self._staging}/"

    # --- one attempt ----------------------------------------------------------------------------

    def _attempt(self, readable: Sequence[Readable]) -> BatchOutcome:
        with_rows = [r for r in readable if not r.look.empty]
        if self._members.over:
            return self._give_up()
        if not with_rows and not self._members.to_go:
            self._members.leave_out_what_is_loaded()
            if not self._members.to_go:
                return self._record(Audited(None, {}, {}))
        self._step("preparing the table")
        self._lease.check()
        with self._finding_the_file_to_blame(with_rows, self._columns):
            self._prepare_table(with_rows)
        failpoints.reach("prepared")
        base = self._attempts.catch_up()
        self._members.leave_out_what_is_loaded()
        attempt = self._attempts.begin(base)
        audited = self._write(attempt, with_rows)
        failpoints.reach("audited")
        self._step("publishing")
        if audited.snapshot_id is not None:
            self._attempts.publish(attempt, audited.snapshot_id, sum(audited.rows.values()))
        return self._record(audited)

    def _prepare_table(self, readable: Sequence[Readable]) -> None:
        """Make the table, or add the columns that these files have and it has not.

        Raises:
            FilesLeft: Files that bring columns that no table can have, or rows that quarantine
                them, have left the batch, so that they decide no column.
        """
        known = self._table.columns_if_exists()
        found = self._columns(readable, known or ())
        self._leave_out(found.bad)
        hints = apply_hints(self._spec, found.hints, found.names, known or ())
        self._unmatched_hints = hints.unmatched
        have = {column.name.lower() for column in known or ()}
        new = [column for column in found.columns if column.name.lower() not in have]
        if (known is None or new) and self._spec.errors.bad_rows == "quarantine":
            self._leave_out(self._too_many_bad_rows(readable, [*(known or ()), *new]))
        try:
            if known is None:
                check_partition_by(self._spec, [column.name for column in new])
                self._table.create(
                    new,
                    self._spec.table.partition_by,
                    self._properties(),
                    self._spec.description,
                )
            else:
                for column, sql_type in hints.widen.items():
                    _log.info("column %s of %s becomes %s", column, self._table.name, sql_type)
                    self._table.widen(column, sql_type)
                if new:
                    _log.info("new columns in %s: %s", self._table.name, [c.name for c in new])
                    self._table.add_columns(new)
        except TableError as error:
            if type(error) is TableError:
                self._leave_out(self._impossible_columns(readable, known or ()))
            raise
        unchanged = known is not None and not new and not hints.widen
        self._table_columns = known if known is not None and unchanged else self._table.columns()

    def _properties(self) -> dict[str, str]:
        owner = {} if self._spec.table.shared else owner_properties(self._ingestion.id)
        return {**self._spec.table.properties, **owner}

    def _leave_out(self, bad: Mapping[str, Bad]) -> None:
        """Quarantine files, and begin the attempt again without them.

        Raises:
            FilesLeft: There were some.
        """
        if not bad:
            return
        # What was found may be of another version than was listed.
        if not self._members.take_out_changed():
            self._members.quarantine(bad)
        raise FilesLeft

    def _too_many_bad_rows(
        self, readable: Sequence[Readable], columns: Sequence[Column]
    ) -> dict[str, Bad]:
        """The files that the audit would quarantine, before they add columns to the table."""
        self._step("counting bad rows")
        counts = self._frames.bad_rows(self._frame(readable, columns), len(readable))
        bad = too_many_bad_rows(self._spec, counts)
        return self._with_a_bad_row(bad, readable, columns)

    def _with_a_bad_row(
        self, bad: Mapping[str, Bad], readable: Sequence[Readable], columns: Sequence[Column]
    ) -> dict[str, Bad]:
        """The reasons of files with too many bad rows, each with one of these rows."""

        def misfits(some: Sequence[Readable]) -> list[tuple[str, str]]:
            return self._frames.misfits(self._frame(some, columns), ROWS_READ)

        return name_bad_rows(self._spec, bad, readable, misfits, self._ingestion.source)

    def _impossible_columns(
        self, readable: Sequence[Readable], known: Sequence[Column]
    ) -> dict[str, Bad]:
        """The files with columns that the catalog refuses, tried a schema at a time."""
        have = {column.name.lower() for column in known}
        bad: dict[str, Bad] = {}
        for members in by_group(readable).values():
            found = self._columns(members, known)
            new = [column for column in found.columns if column.name.lower() not in have]
            refusal = self._frames.refusal(new) if new else None
            if refusal is not None:
                fault = Bad("UnsupportedType", f"has columns that no table can have: {refusal}")
                bad |= {item.file.path: fault for item in members}
        return bad

    def _columns(self, readable: Sequence[Readable], known: Sequence[Column] = ()) -> FoundColumns:
        return found_columns(self._frames.columns(readable, known))

    def _write(self, attempt: Attempt, readable: Sequence[Readable]) -> Audited:
        """Write to the branch and audit it.

        Raises:
            FilesLeft: Files that cannot be read or must not be published have left the batch.
            PublishConflict: The branch holds more than this attempt.
        """
        self._step("reading and writing")
        batch_id, branch = self._batch.batch_id, attempt.branch
        to_go = self._members.to_go
        properties = maker_properties(self._ingestion.id)
        if self._batch.kind != "load":
            properties[KIND_PROPERTY] = self._batch.kind
        with (
            self._finding_the_file_to_blame(readable, self._read_to_the_end),
            self._table.tagged(attempt.tag, batch_id if not readable else None, properties),
        ):
            if to_go:
                self._table.delete(branch, to_go)
                failpoints.reach("deleted")
            failpoints.reach("writing")
            written = (
                self._table.append_counted(
                    self._frame(readable),
                    branch,
                    batch_id,
                    [r.file for r in readable],
                    by_key=self._spec.table.partition_by == (PARTITION_KEY,),
                )
                if readable
                else Written({}, {}, 0)
            )
        failpoints.reach("written")
        self._step("checking the files again")
        if self._members.take_out_changed():
            raise FilesLeft
        # Last, for it asks where main is, and the less time passes until the publish the better.
        self._step("counting the rows")
        self._lease.check()
        chain = own_chain(
            self._table,
            branch,
            attempt.base,
            batch_id,
            attempt.tag,
            deletes=bool(to_go),
            appends=bool(readable),
        )
        if not readable:
            # A delete alone; none at all if the files had no rows in the table.
            head = chain[-1] if chain else None
            rows_now = head.table_rows if head else None
            return Audited(head.snapshot_id if head else None, {}, {}, table_rows=rows_now)
        try:
            audited = audit_attempt(
                self._table, branch, batch_id, chain[-1], written, readable, self._spec
            )
        except UnknownAddress as error:
            self._stage_unaccounted(error, len(readable))
            raise FilesLeft from error
        if audited.bad_files:
            rows = {p: bad for p, bad in audited.bad_files.items() if bad.error_type == BAD_ROWS}
            named = self._with_a_bad_row(rows, readable, self._table_columns)
            self._members.quarantine({**audited.bad_files, **named})
            raise FilesLeft
        return audited

    def _frame(self, readable: Sequence[Readable], columns: Sequence[Column] | None = None) -> Any:
        return self._frames.frame(
            readable,
            self._table_columns if columns is None else columns,
            self._batch.batch_id,
            self._known_files(),
        )

    def _known_files(self) -> int:
        """How many files the source has; not asked where the way of reading does not hang on it."""
        if len(self._members.here) < LIST_FOLDERS_FROM:
            return 0
        if not self._ingestion.source.lists_by_folder:
            return TOO_MANY_TO_LIST
        counts = self._store.totals.counts(self._ingestion.id).get(self._ingestion.id, {})
        return sum(total.files for total in counts.values())

    def _read_to_the_end(self, readable: Sequence[Readable]) -> None:
        self._frames.read_to_the_end(self._frame(readable))

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
        self._step("finding the bad file")
        if self._members.take_out_changed():
            return
        found = find_unreadable(error, readable, try_read, self._unreadable)
        if not found:
            # It may be all of them together, which must not keep each of them waiting for ever.
            half = readable[len(readable) // 2 :] if len(readable) > 1 else ()
            if not is_environment(error) and self._give_back(half):
                return
            kind = TableUnavailable if is_environment(error) else LoadError
            raise kind(
                f"batch {self._batch.batch_id} could not be written to {self._table.name}: "
                f"{short(error)}",
                "No file is to blame; all of them wait for the next run. See to what the message "
                "speaks of: the credentials, the network, the disk or the Spark server.",
            ) from error
        self._unreadable += len(found)
        self._members.fail(found, "Unreadable")

    def _give_up(self) -> BatchOutcome:
        """End a batch that all files have left, and that has nothing to be recorded."""
        why = "none of its files could be loaded again"
        self._store.claims.release(self._batch.batch_id, self._batch.owner, why)
        seconds = time.monotonic() - self._started
        return BatchOutcome(self._batch.batch_id, None, self._members.outcomes, seconds)

    def _record(self, audited: Audited) -> BatchOutcome:
        """Record the batch; main was seen to hold its snapshot."""
        self._step("recording")
        rows, bad_rows = audited.rows, audited.bad_rows
        seconds = time.monotonic() - self._started
        self._store.batch_files.record(
            self._batch.batch_id,
            audited.snapshot_id,
            [
                LoadedFile(file.id, rows.get(path, 0), bad_rows.get(path, 0))
                for path, file in self._members.here.items()
            ],
            seconds=seconds,
            replace=self._members.replaces,
        )
        self._attempts.recorded()
        self._members.loaded(rows, bad_rows)
        return BatchOutcome(
            self._batch.batch_id,
            audited.snapshot_id,
            self._members.outcomes,
            seconds,
            self._table_columns if rows else (),
            self._unmatched_hints if rows else (),
            audited.table_rows,
            self._notes if rows else (),
        )
