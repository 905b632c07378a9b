"""Checks that Spark can read the copies that are made for it, on the driver and on an executor."""

import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from autoloader_dagster.errors import SparkUnavailable, TableUnavailable, UsageError
from autoloader_dagster.loading.batch.stage import PREVIEW, copies_address, unstage
from autoloader_dagster.sources.copy_store import CopyStore
from autoloader_dagster.spark.errors import short
from autoloader_dagster.spark.waiting import WHAT_TO_DO, tell_of_waiting_tasks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_HINT = (
    "Set AUTOLOADER_STAGING to an address on an object store, or to a folder that the driver and "
    "each executor see under the same path, and let the Spark server read there."
)
# Each read is a task, so that several executors take part.
_READS = 8
# A cluster may have to start an executor first.
_PATIENCE_SECONDS = 60.0


def probe_staging(
    spark: "SparkSession", root: Path, store: CopyStore | None, patience: float = _PATIENCE_SECONDS
) -> str:
    """Make a copy as a load does, and have Spark read it.

    Args:
        spark: An open session.
        root: The folder with the staging folders of all batches.
        store: Where Spark reads copies; None if it reads them in ``root``.
        patience: How long to wait for a free executor, in seconds.

    Returns:
        The address below which the copy was.

    Raises:
        UsageError: The copy cannot be written.
        TableUnavailable: The driver or an executor cannot read it.
        SparkUnavailable: There was no free executor.
    """
    folder = root / f"{PREVIEW}probe-{secrets.token_hex(6)}"
    where = store.address if store else f"file://{root}/"
    try:
        try:
            folder.mkdir(parents=True, mode=0o700)
            copy = folder / "probe.txt"
            copy.write_text("a line\n")
        except OSError as error:
            raise UsageError(
                f"copies cannot be made in {root}: {error.strerror or error}",
                "Make room there, or set AUTOLOADER_HOME to a folder that this user may write.",
            ) from error
        address = f"{copies_address(folder, store)}{copy.name}"
        options = {}
        if store is not None:
            store.put(folder.name, copy)
            options = store.spark_options()
        _read(spark, address, options, where, patience)
    finally:
        unstage(folder, store)
    return where


def _read(
    spark: "SparkSession", address: str, options: dict[str, str], where: str, patience: float
) -> None:
    from pyspark.errors import PySparkException

    waited = threading.Event()

    def give_up(_: str) -> None:
        waited.set()
        spark.interruptAll()

    tell_of_waiting_tasks(spark, give_up, patience)
    who = "driver"
    try:
        frame = spark.read.options(**options).text(address)
        # The driver looks for the file to find out what its columns are.
        columns = frame.columns
        who = "executors"
        for _ in range(_READS.bit_length() - 1):
            frame = frame.union(frame)
        frame.select(*columns).write.format("noop").mode("overwrite").save()
    except PySparkException as error:
        if waited.is_set():
            raise SparkUnavailable(
                f"the Spark server had no free executor for {patience:g} s", WHAT_TO_DO
            ) from error
        raise TableUnavailable(
            f"the {who} of the Spark server cannot read copies in {where}: {short(error)}", _HINT
        ) from error
