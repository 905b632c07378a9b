"""Dismiss: skip files for good that failed or were quarantined, so that nothing reports them.

A dismissed version keeps its reason, and only a retry by its name loads it. Another version of its
path is loaded as usual.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from autoloader_dagster.errors import UsageError
from autoloader_dagster.loading.changes.select_files import (
    LeftAsItIs,
    latest,
    versions_named,
    what_it_is,
)
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.state.records import DISMISSIBLE, FileRow


@dataclass(frozen=True, slots=True)
class Dismissed:
    """A file version that is skipped for good.

    Attributes:
        path: The source's address.
        partition_key: Its partition.
        was: Its status before.
        reason: Why it was not loaded.
    """

    path: str
    partition_key: str | None
    was: str
    reason: str


@dataclass(frozen=True, slots=True)
class DismissOutcome:
    """What a dismissal came to.

    Attributes:
        files: The file versions that are skipped now; for a plan, those that would be.
        left: Files that were asked for and were left as they are, with the reason.
    """

    files: tuple[Dismissed, ...]
    left: tuple[LeftAsItIs, ...]


def plan_dismiss(ingestion: Ingestion, names: Sequence[str]) -> DismissOutcome:
    """Say what ``dismiss`` would do, and change nothing."""
    return _dismiss(ingestion, names, really=False)


def dismiss(ingestion: Ingestion, names: Sequence[str]) -> DismissOutcome:
    """Skip the files of these names for good, whether or not the source still has them.

    Args:
        ingestion: Whose files.
        names: Files that failed or were quarantined: addresses, their last parts, or patterns; see
            ``versions_named``.

    Raises:
        UsageError: No file is named.
        NotLoaded: A name fits no recorded file.
    """
    return _dismiss(ingestion, names, really=True)


def _dismiss(ingestion: Ingestion, names: Sequence[str], *, really: bool) -> DismissOutcome:
    if not names:
        raise UsageError(
            "dismiss needs files",
            "Name them as 'autoloader files' shows them, or give a pattern. '*' dismisses all "
            "files that failed or are quarantined.",
        )
    bad: dict[int, FileRow] = {}
    left: list[LeftAsItIs] = []
    for name in names:
        rows = versions_named(ingestion, [name])
        found = {row.id: row for row in rows if row.status in DISMISSIBLE}
        bad |= found
        if not found:
            left += [LeftAsItIs(r.file_path, r.status, what_it_is(r)) for r in latest(rows)]
    if really:
        skipped = ingestion.store.files.dismiss(ingestion.id, set(bad))
        left += [
            LeftAsItIs(row.file_path, row.status, "was taken up by another worker meanwhile")
            for row in bad.values()
            if row.id not in skipped
        ]
        bad = {each: row for each, row in bad.items() if each in skipped}
    return DismissOutcome(
        tuple(
            Dismissed(
                row.file_path,
                row.partition_key,
                row.status,
                ": ".join(part for part in (row.error_type, row.reason) if part),
            )
            for row in bad.values()
        ),
        tuple(left),
    )
