"""What every batch goes through, be it a load, an undo or a reload: attempts until one is in main.

An attempt has a branch of its own at main's head; publishing it is a compare-and-set from there.
What it writes and how that is audited is the caller's.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from autoloader_dagster import failpoints
from autoloader_dagster.batch_ids import attempt_name, branch_name
from autoloader_dagster.errors import (
    AutoloaderError,
    CommitUnknown,
    LeaseLost,
    LoadError,
    PublishConflict,
)
from autoloader_dagster.loading.batch.branches import drop_left_behind
from autoloader_dagster.loading.batch.files import FilesLeft
from autoloader_dagster.loading.batch.lease import Lease, taken_over
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.recovery.catch_up import CaughtUp, catch_up
from autoloader_dagster.spark.errors import short
from autoloader_dagster.spark.session import translate
from autoloader_dagster.state.records import Batch

_log = logging.getLogger(__name__)

# How often a batch is tried again because main moved or a file had to leave it.
MAX_ATTEMPTS = 12
# And because the catalog's answer to a write was lost.
_MAX_LOST = 2
LONGEST_PAUSE_SECONDS = 5.0
_UNSETTLED = "batch %s stays as it is until it can be settled: %s"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to bring a batch into main.

    Attributes:
        branch: Its branch, a name that no other attempt ever has.
        tag: Carried by its snapshots.
        base: Main's head, from which the branch was made.
    """

    branch: str
    tag: str
    base: int


def pause_after(conflicts: int) -> float:
    """Seconds until the next attempt, so that a writer that commits all the time leaves a gap.

    Two workers that met once need no pause. After that it doubles, and chance keeps them apart.
    """
    if conflicts < 2:
        return 0.0
    return random.uniform(0.5, 1) * min(0.1 * 2**conflicts, LONGEST_PAUSE_SECONDS)


class Attempts:
    """The attempts of one batch.

    Args:
        ingestion: Whose batch.
        table: Its table.
        batch: The claimed batch.
        lease: Is checked before publishing.
    """

    def __init__(
        self,
        ingestion: Ingestion,
        table: Table,
        batch: Batch,
        lease: Lease,
    ) -> None:
        self._ingestion = ingestion
        self._store = ingestion.store
        self._table = table
        self._batch = batch
        self._lease = lease
        self._branch: str | None = None
        self._caught_up = False
        # While this is set, main may hold the batch already, and only main can tell.
        self._publishing = False

    @contextmanager
    def or_release(self) -> Iterator[None]:
        """Release the batch if the block fails, unless it may be published already.

        Then it stays as it is until main can be read.

        Raises:
            LeaseLost: Instead of what the block failed with, if the batch was released by another
                worker meanwhile. That one has dropped the branch, and whatever failed for want of
                it would only mislead.
        """
        try:
            yield
        except Exception as error:
            if self._let_go(error) and not isinstance(error, LeaseLost):
                raise taken_over(self._batch.batch_id) from error
            raise
        except failpoints.Death:
            raise
        except BaseException as error:
            self._let_go(error)
            raise

    def until_published(self, attempt: Callable[[], T]) -> T:
        """Call ``attempt`` until it neither meets another writer nor loses a file.

        Attempts that lose files are not counted, because each leaves fewer files to the next.

        Raises:
            LoadError: The table kept changing.
            CommitUnknown: The answers to its writes were lost again and again.
        """
        lost = conflicts = 0
        while conflicts + lost < MAX_ATTEMPTS:
            pause = 0.0
            try:
                return attempt()
            except PublishConflict as conflict:
                _log.info("batch %s is tried again: %s", self._batch.batch_id, conflict)
                conflicts += 1
                pause = pause_after(conflicts)
            except CommitUnknown as unknown:
                # The next attempt has a branch of its own, whatever became of this one.
                lost += 1
                if lost > _MAX_LOST:
                    raise
                _log.warning("batch %s is tried again: %s", self._batch.batch_id, unknown)
            except FilesLeft:
                _log.info("batch %s is tried again with fewer files", self._batch.batch_id)
            self.drop_branch()
            time.sleep(pause)
        raise LoadError(
            f"batch {self._batch.batch_id} of {self._ingestion.id} could not be published in "
            f"{MAX_ATTEMPTS} attempts: {self._table.name} kept changing",
            "Its files wait for the next run. Let other writers of the table pause.",
        )

    def catch_up(self) -> CaughtUp:
        """Bring the state up to main; what is done to its files must be decided after this."""
        # Whatever made an earlier attempt fail, main is read as a whole after it.
        base = catch_up(self._ingestion, self._table, trust_agreement=not self._caught_up)
        self._caught_up = True
        failpoints.reach("caught-up")
        return base

    def begin(self, base: CaughtUp) -> Attempt:
        """Begin an attempt on what ``catch_up`` gave.

        Raises:
            LeaseLost: The batch was released or recorded meanwhile.
        """
        batch_id = self._batch.batch_id
        number = self._store.claims.begin_attempt(
            batch_id, self._batch.owner, base.head, base.table_id
        )
        branch = branch_name(batch_id, number)
        self._branch = branch
        self._table.create_branch(branch, base.head)
        failpoints.reach("branched")
        return Attempt(branch, attempt_name(batch_id, number), base.head)

    def publish(self, attempt: Attempt, snapshot_id: int, rows: int) -> None:
        """Point main to the attempt's branch, and see that it does.

        Raises:
            PublishConflict: Main has moved.
            LeaseLost: The batch was released or recorded meanwhile.
        """
        batch_id = self._batch.batch_id
        self._lease.check()
        self._store.claims.mark_written(batch_id, self._batch.owner, snapshot_id, rows)
        self._publishing = True
        failpoints.reach("publishing")
        try:
            now = self._table.fast_forward(attempt.branch)
        except PublishConflict:
            self._publishing = False
            raise
        failpoints.reach("published")
        # Main may have moved on since; then its history tells.
        if now != snapshot_id and not self._table.main_holds(snapshot_id):
            raise LoadError(
                f"snapshot {snapshot_id} of batch {batch_id} is not in main of "
                f"{self._table.name}, though publishing it was answered with success",
                "Run 'autoloader reconcile' before anything else loads this table.",
            )

    def recorded(self) -> None:
        """Note that the state holds the batch as recorded, so that its branch can go."""
        self._publishing = False
        failpoints.reach("recorded")
        self.drop_branch()
        try:
            drop_left_behind(self._store, self._table)
        except AutoloaderError as error:  # the next batch sees them too
            _log.info("branches of %s are left behind: %s", self._table.name, error)

    def drop_branch(self) -> None:
        """Drop the last attempt's branch, whose rows are in main or are not to be."""
        branch, self._branch = self._branch, None
        if branch is None:
            return
        self._table.branches_seen -= {branch}
        try:
            failpoints.reach("dropping")
            self._table.drop_branch(branch)
            failpoints.reach("dropped")
        except Exception as error:  # it holds disk space and nothing else
            _log.info("branch %s of %s is left behind: %s", branch, self._table.name, error)

    def _let_go(self, error: BaseException) -> bool:
        """Give the files back; whether another worker has done so already."""
        batch_id, taken_over = self._batch.batch_id, False
        # To ask a server that is gone takes seconds, and people wait for the error.
        gone = translate(error, "the Spark server") is not None
        try:
            if self._publishing:
                if gone:
                    _log.warning(_UNSETTLED, batch_id, short(error))
                    return False
                catch_up(self._ingestion, self._table)
            # What a signal raises has no message of its own.
            why = short(error) if isinstance(error, Exception) else "its run was interrupted"
            if not self._store.claims.release(batch_id, self._batch.owner, why):
                batch = self._store.batches.get(batch_id)
                taken_over = batch is not None and batch.status == "RELEASED"
            if not gone:
                self.drop_branch()
        except Exception as second:  # the first error is the one to show
            _log.warning(_UNSETTLED, batch_id, second)
        return taken_over
