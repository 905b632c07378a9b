"""The steps that the tests of the state are told in: list, claim, load."""

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state import (
    Batch,
    Claim,
    Discovery,
    FileRow,
    LoadedFile,
    OnChange,
    Partitions,
    Place,
    Placement,
    ProcessedFiles,
)

INGESTION = "acme/orders"
TABLE = "lake.shop.orders"
BASE_TIME = datetime(2026, 11, 1, tzinfo=timezone.utc)
LEASE = timedelta(minutes=5)
RETRIES = 1


def ref(name: str, version: str = "v1", size: int = 100, minutes: int = 0) -> FileRef:
    return FileRef(
        path=f"s3://landing/orders/{name}",
        relative_path=name,
        size=size,
        modified_at=BASE_TIME + timedelta(minutes=minutes),
        version=version,
        etag=version,
    )


def by_day(file: FileRef) -> Placement:
    return Placement(f"{file.modified_at:%Y-%m-%d}")


def discover(
    state: ProcessedFiles,
    *refs: FileRef,
    on_change: OnChange = "ignore",
    place: Place = by_day,
    ingestion_id: str = INGESTION,
    complete: bool = False,
) -> Discovery:
    return state.discovery.discover(
        ingestion_id, "acme", [list(refs)], place, on_change, complete=complete
    )


def claim(
    state: ProcessedFiles,
    owner: str = "worker",
    *,
    partitions: Partitions = None,
    max_files: int = 1_000,
    max_bytes: int = 10**9,
    run_id: str = "run-1",
    now: datetime | None = None,
) -> Batch | None:
    wanted = Claim(
        INGESTION,
        "acme",
        TABLE,
        partitions,
        max_files,
        max_bytes,
        RETRIES,
        owner,
        run_id,
        LEASE,
    )
    return state.claims.claim(wanted, now)


def claimed(state: ProcessedFiles, owner: str = "worker", run_id: str = "run-1") -> Batch:
    batch = claim(state, owner, run_id=run_id)
    assert batch is not None
    return batch


def load(state: ProcessedFiles, snapshot_id: int = 7, *, replace: bool = False) -> Batch:
    """Claim all that is pending and record it as loaded, ten rows a file."""
    batch = claimed(state)
    files = [LoadedFile(file.id, 10) for file in batch.files]
    state.batch_files.record(batch.batch_id, snapshot_id, files, 1.5, replace=replace)
    return batch


def versions(state: ProcessedFiles, name: str) -> dict[str, FileRow]:
    """Rows of one path by version."""
    rows = state.files.find(INGESTION, paths=[ref(name).path])
    return {row.file_version: row for row in rows}


def statuses(state: ProcessedFiles, name: str) -> dict[str, str]:
    return {version: row.status for version, row in versions(state, name).items()}


def names(files: Iterable[str]) -> list[str]:
    return [path.rsplit("/", 1)[1] for path in files]
