"""What the progress of a load says: counts and bytes of all that waits, in words."""

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, cast

from autoloader_dagster.loading.ingestion import BatchOutcome, FileOutcome
from autoloader_dagster.loading.progress import LoadProgress
from autoloader_dagster.state.records import PendingPartition

_TIME = datetime(2026, 11, 1, tzinfo=timezone.utc)


def test_progress_counts_files_and_bytes_over_all_batches() -> None:
    said: list[str] = []
    tell = LoadProgress(said.append)
    tell("connecting to Spark")
    tell.waits([_pending(3, 3_000_000), _pending(2, 2_000_000)])
    tell.claimed(cast(Any, SimpleNamespace(files=(1, 2, 3))))
    tell("reading and writing")
    tell.ended(_outcome("SUCCESS", "QUARANTINED", "DISCOVERED"))
    tell.waits([_pending(1, 1_000_000), _pending(2, 2_000_000)])
    tell.claimed(cast(Any, SimpleNamespace(files=(1,))))
    tell("publishing")
    assert said == [
        "connecting to Spark",
        "0 of 5 files done, 0 B of 5.0 MB; 3 files: reading and writing",
        "2 of 5 files done, 2.0 MB of 5.0 MB; 1 file: publishing",
    ]


def _pending(files: int, size: int) -> PendingPartition:
    return PendingPartition("2026-11-01", files, size, "x", _TIME, _TIME)


def _outcome(*statuses: str) -> BatchOutcome:
    files = tuple(FileOutcome(f"{i}.csv", None, s, 1_000_000) for i, s in enumerate(statuses))
    return BatchOutcome("b", None, files, 1.0)
