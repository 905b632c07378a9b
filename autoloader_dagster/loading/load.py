"""Claim and load batch after batch, until nothing of the asked partitions is pending."""

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

from autoloader_dagster import failpoints
from autoloader_dagster.errors import AutoloaderError, SparkBroken, StateError
from autoloader_dagster.loading.batch.lease import LEASE, Lease, new_owner
from autoloader_dagster.loading.batch.load_batch import BatchLoad
from autoloader_dagster.loading.batch.stage import unstage_leftovers
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import BatchOutcome, Ingestion
from autoloader_dagster.loading.progress import LoadProgress, Progress, no_progress
from autoloader_dagster.loading.recovery.moved_table import refuse_moved_table
from autoloader_dagster.loading.recovery.ownership import owner_in_state, refuse_other_owner
from autoloader_dagster.loading.recovery.recover import recover
from autoloader_dagster.spark.session import after_a_restart
from autoloader_dagster.state.records import (
    Batch,
    Claim,
    PartitionKeys,
    PartitionRange,
    Partitions,
    PendingPartition,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_log = logging.getLogger(__name__)

# A file that changes again and again while it is loaded waits for the next run after this many.
_MAX_IDLE_BATCHES = 3
# Between two tries to take files that others hold, and how long they are tried.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
_LOCKED_SECONDS = 60.0


def load(
    ingestion: Ingestion,
    partitions: Partitions,
    run_id: str,
    ended_runs: Collection[str] = (),
    progress: Progress = no_progress,
    lease: timedelta = LEASE,
) -> Iterator[BatchOutcome]:
    """Load what is pending in these partitions; yields each batch once it is recorded.

    Args:
        ingestion: What to load.
        partitions: Which of its partitions; None for all.
        run_id: Recorded with the files and batches.
        ended_runs: Runs that have ended; their batches are settled without waiting for the lease.
        progress: Told how far the load is and what is done now.
        lease: How long a batch belongs to a worker that is not heard of any more.

    No Spark session is opened if there is nothing to load or to settle. If the Spark server is
    found broken, it is restarted once, and the load goes on.

    Raises:
        AutoloaderError: The environment failed, or what a dead run left cannot be settled now.
    """
    progress = LoadProgress(progress)
    try:
        yield from _load(ingestion, partitions, run_id, ended_runs, progress, lease)
    except SparkBroken as broken:
        _log.warning("%s; it is restarted and the load goes on", broken.what)
        progress("restarting Spark")
        with after_a_restart():
            yield from _load(ingestion, partitions, run_id, ended_runs, progress, lease)


def _load(
    ingestion: Ingestion,
    partitions: Partitions,
    run_id: str,
    ended_runs: Collection[str],
    progress: LoadProgress,
    lease: timedelta,
) -> Iterator[BatchOutcome]:
    owner = new_owner()
    wanted = Claim(
        ingestion.id,
        ingestion.loaded.tenant,
        ingestion.spec.table.name,
        partitions,
        max_files=ingestion.spec.batch.max_files,
        max_bytes=ingestion.spec.batch.max_bytes,
        retries=ingestion.spec.errors.retries,
        owner=owner,
        run_id=run_id,
        lease=lease,
    )
    with ExitStack() as stack:
        opened: list[SparkSession] = []

        def spark() -> "SparkSession":
            if not opened:
                progress("connecting to Spark")
                opened.append(stack.enter_context(ingestion.connect()))
                ingestion.lakehouse.watch(opened[0], progress)
            return opened[0]

        faults: list[AutoloaderError] = []

        def left(batch: Batch, error: AutoloaderError) -> None:
            # A table of an earlier spec may be gone for good, and must keep no file waiting.
            if batch.table == ingestion.spec.table.name:
                faults.append(error)

        if recover(ingestion, lambda name: ingestion.table(spark(), name), ended_runs, left):
            # The listing before left files alone of which another version was in such a batch.
            progress("listing again")
            discover(ingestion)
        # After the recovery, which may have recorded a load that began before the spec was changed.
        refuse_moved_table(ingestion, lambda: ingestion.table(spark()))
        unstage_leftovers(ingestion.staging_dir, ingestion.store, ingestion.copy_store)
        idle = 0
        locked = _Locked(ingestion.id)
        while idle < _MAX_IDLE_BATCHES and (pending := _waiting(ingestion, partitions, owner)):
            progress.waits(pending)
            # Before the claim, so that nothing is held while a server starts, or is not there.
            session = spark()
            _refuse_other_owner(ingestion, session)
            batch = ingestion.store.claims.claim(wanted)
            if batch is None:
                # Another worker takes them just now, or another transaction holds their rows.
                locked.pause()
                continue
            locked = _Locked(ingestion.id)
            failpoints.reach("claimed")
            progress.claimed(batch)
            with Lease(ingestion.store, batch.batch_id, owner, lease).kept() as kept:
                outcome = BatchLoad(ingestion, session, batch, kept, progress).run()
            settled = any(file.status != "DISCOVERED" for file in outcome.files)
            progress.ended(outcome)
            idle = 0 if settled else idle + 1
            faults.clear()
            yield outcome
        if faults:
            # Files wait in that batch, and nothing else has shown that the table can be read.
            raise faults[0]


def _refuse_other_owner(ingestion: Ingestion, session: "SparkSession") -> None:
    """Refuse a table of another ingestion before a file is looked at; catch-up refuses the rest."""
    if owner_in_state(ingestion) is not None:
        table = ingestion.table(session)
        if table.exists():
            refuse_other_owner(ingestion, table, table.table_id())


class _Locked:
    """Waits for files that wait to be loaded and cannot be taken, longer each time.

    Args:
        ingestion_id: Whose files, for the message.
    """

    def __init__(self, ingestion_id: str) -> None:
        self._ingestion_id = ingestion_id
        self._since: float | None = None
        self._pause = _FIRST_PAUSE_SECONDS

    def pause(self) -> None:
        """Wait a little.

        Raises:
            StateError: They could not be taken for too long.
        """
        now = time.monotonic()
        # From the first pause: a batch before it may have taken any time.
        self._since = now if self._since is None else self._since
        if now - self._since > _LOCKED_SECONDS:
            raise StateError(
                f"Files of {self._ingestion_id} wait to be loaded, and another transaction of the "
                f"state database has held their rows for {_LOCKED_SECONDS:.0f} s",
                "End that transaction (PostgreSQL lists it in pg_stat_activity); the next run "
                "loads the files.",
            )
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)


def _waiting(ingestion: Ingestion, partitions: Partitions, owner: str) -> list[PendingPartition]:
    """What waits in these partitions, apart from what failed with this worker."""
    pending = ingestion.store.files.pending(ingestion.id, ingestion.spec.errors.retries, owner)
    if isinstance(partitions, PartitionRange):
        first, last = partitions.start, partitions.end
        return [p for p in pending if p.partition_key and first <= p.partition_key <= last]
    if isinstance(partitions, PartitionKeys):
        return [p for p in pending if p.partition_key in partitions.keys]
    return list(pending)
