"""From the names that a person gives to the recorded file versions they mean."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from autoloader_dagster.errors import NotLoaded
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.state.records import FileRow
from autoloader_dagster.state.store import ProcessedFiles

# No database takes these, so no recorded file has them in its name.
_NEVER_RECORDED = re.compile(r"[\x00\ud800-\udfff]")
_WORDS = {
    "DISCOVERED": "waits to be loaded",
    "HELD": "is held back",
    "PROCESSING": "is being loaded",
    "FAILED": "failed and is tried again",
    "QUARANTINED": "is quarantined",
    "SKIPPED": "was skipped",
    "REPLACED": "was replaced by a newer version",
    "UNDONE": "was undone",
    "SUCCESS": "is loaded",
}


@dataclass(frozen=True, slots=True)
class LeftAsItIs:
    """A file that was asked for, and with which nothing is done.

    Attributes:
        path: The source's address.
        status: Its status in the state.
        reason: Why, as the end of a sentence that begins with the path.
    """

    path: str
    status: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def versions_named(ingestion: Ingestion, names: Sequence[str]) -> list[FileRow]:
    """Every recorded version of the files of these names; see ``versions_in``."""
    base = f"{ingestion.spec.source.url.rstrip('/')}/"
    return versions_in(ingestion.store, ingestion.id, base, names)


def versions_in(
    store: ProcessedFiles, ingestion_id: str, base: str, names: Sequence[str]
) -> list[FileRow]:
    """Every recorded version of the files of these names, in the order of their discovery.

    Args:
        store: The state.
        ingestion_id: Whose files.
        base: What the addresses of its files begin with; empty if it is not known.
        names: Each the full address, the path below the source's address, its last part or parts
            as ``2026/a.csv``, or a pattern with ``*`` and ``?`` as in a shell, over folders too.
            The first of these that fits decides, so that a name selects the file of this name
            even if it is a pattern too, or the end of another file's path.

    Raises:
        NotLoaded: A name fits no recorded file.
    """
    found: dict[int, FileRow] = {}
    for name in names:
        versions = _named(store, ingestion_id, base, name)
        if not versions:
            raise NotLoaded(
                f"{ingestion_id} knows no file {name}",
                "See 'autoloader files' for the names; a new file is known once it was listed.",
            )
        found |= {row.id: row for row in versions}
    return [found[each] for each in sorted(found)]


def _named(store: ProcessedFiles, ingestion_id: str, base: str, name: str) -> list[FileRow]:
    if not name or _NEVER_RECORDED.search(name):
        return []
    # As written first, because the name of a file may hold a star. Commands show the second form.
    for path in (name, base + name):
        if exact := list(store.files.find(ingestion_id, paths=[path])):
            return exact
    below = f"/{name.lstrip('/')}"
    ends = list(store.files.find(ingestion_id, path_end=below))
    if ends or not any(character in name for character in "*?"):
        return ends
    return list(store.files.find(ingestion_id, path_like=f"*{below}")) or list(
        store.files.find(ingestion_id, path_like=name)
    )


def what_it_is(row: FileRow) -> str:
    """What became of a file version, as the end of a sentence."""
    said = _WORDS[row.status]
    return f"{said}: {row.reason}" if row.reason else said


def latest(rows: Sequence[FileRow]) -> list[FileRow]:
    """The version of each path that was seen last."""
    by_path: dict[str, FileRow] = {}
    for row in rows:
        known = by_path.get(row.file_path)
        if known is None or (row.discovered_at, row.id) > (known.discovered_at, known.id):
            by_path[row.file_path] = row
    return list(by_path.values())
