"""Retry: requeue files that failed or were quarantined, skipped or undone.

A retry loads nothing by itself, and asks the source first: a file that is not there any more, or is
another version by now, would only be quarantined once more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from autoloader_dagster.loading.changes.select_files import (
    LeftAsItIs,
    latest,
    versions_named,
    what_it_is,
)
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.placement import placer
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state.records import NO_PARTITION, RETRIABLE, FileRow

_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Retried:
    """A file version that waits to be loaded again.

    Attributes:
        path: The source's address.
        partition_key: Its partition.
        was: Its status before.
    """

    path: str
    partition_key: str | None
    was: str


@dataclass(frozen=True, slots=True)
class RetryOutcome:
    """What a retry came to.

    Attributes:
        files: The file versions that wait now; for a plan, those that would.
        left: Files that were asked for and were left as they are, with the reason.
    """

    files: tuple[Retried, ...]
    left: tuple[LeftAsItIs, ...]

    @property
    def partitions(self) -> tuple[str | None, ...]:
        """The partitions to load."""
        return tuple(sorted({f.partition_key for f in self.files}, key=lambda key: key or ""))


def plan_retry(ingestion: Ingestion, names: Sequence[str] = ()) -> RetryOutcome:
    """Say what ``retry`` would do, and change nothing."""
    return _retry(ingestion, names, really=False)


def retry(ingestion: Ingestion, names: Sequence[str] = ()) -> RetryOutcome:
    """Requeue files, with all their tries.

    Args:
        ingestion: Whose files.
        names: Files that failed or were quarantined, skipped or undone: addresses, their last
            parts, or patterns; see ``versions_named``. Without any, all that failed or were
            quarantined.

    Raises:
        NotLoaded: A name fits no recorded file.
        SourceError: The source cannot be asked; then what was not looked at yet is left as it is.
    """
    return _retry(ingestion, names, really=True)


def _retry(ingestion: Ingestion, names: Sequence[str], *, really: bool) -> RetryOutcome:
    if names:
        asked: Iterable[FileRow] = latest(versions_named(ingestion, names))
    else:
        asked = ingestion.store.files.find(ingestion.id, ("FAILED", "QUARANTINED"))
    files: list[Retried] = []
    left: list[LeftAsItIs] = []
    for rows in _chunks(asked):
        fit = _fit(ingestion, rows, left)
        if really:
            waiting = ingestion.store.files.retry(
                ingestion.id, {row.id: key for row, key in fit.values()}
            )
            left += [
                LeftAsItIs(row.file_path, row.status, "was taken up by another worker meanwhile")
                for row, _ in fit.values()
                if row.id not in waiting
            ]
            fit = {path: each for path, each in fit.items() if each[0].id in waiting}
        files += [Retried(row.file_path, key, row.status) for row, key in fit.values()]
    return RetryOutcome(tuple(files), tuple(left))


def _fit(
    ingestion: Ingestion, rows: Sequence[FileRow], left: list[LeftAsItIs]
) -> dict[str, tuple[FileRow, str | None]]:
    """Those that can be loaded, each with its partition; the others go to ``left``."""
    loaded = {
        row.file_path: row
        for row in ingestion.store.files.find(
            ingestion.id, ("SUCCESS",), paths={row.file_path for row in rows}
        )
    }
    asked = [row for row in rows if row.status in RETRIABLE]
    there = ingestion.source.stat([row.file_path for row in asked]) if asked else {}
    fit: dict[str, tuple[FileRow, str | None]] = {}
    for row in rows:
        key, reason = _placed(ingestion, row, there.get(row.file_path))
        reason = _why_not(ingestion, row, loaded.get(row.file_path), there) or reason
        if reason is None:
            fit[row.file_path] = (row, key)
        else:
            left.append(LeftAsItIs(row.file_path, row.status, reason))
    return fit


def _why_not(
    ingestion: Ingestion,
    row: FileRow,
    loaded: FileRow | None,
    there: Mapping[str, FileRef | None],
) -> str | None:
    if row.status == "SUCCESS":
        return "is loaded; use 'autoloader reload' to load it again"
    if row.status not in RETRIABLE:
        return what_it_is(row)
    now = there.get(row.file_path)
    if now is None:
        return "is not in the source any more"
    if now.version != row.file_version:
        return "was changed in the source since; the next listing finds that version"
    on_change = ingestion.spec.source.on_change
    if loaded is not None and on_change in ("ignore", "fail"):
        return (
            f"has another version that is loaded, and source.on_change is '{on_change}'; use "
            "'autoloader reload' to put this one in its place"
        )
    return None


def _placed(
    ingestion: Ingestion, row: FileRow, now: FileRef | None
) -> tuple[str | None, str | None]:
    """The partition to load into, and what is against it."""
    # A version that was never placed is placed now, whatever became of it since.
    if now is None or (row.partition_key is not None and row.error_type != NO_PARTITION):
        return row.partition_key, None
    placement = placer(ingestion.spec)(now)
    if placement.status == "DISCOVERED":
        return placement.partition_key, None
    return None, placement.reason or "has no partition"


def _chunks(rows: Iterable[FileRow]) -> Iterator[list[FileRow]]:
    """Some at a time, so that neither the state nor the source is asked for all at once."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, _AT_ONCE)):
        yield chunk
