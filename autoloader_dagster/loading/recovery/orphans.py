"""Ingestions that the state knows and that have no spec any more."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoloader_dagster.counts import counted
from autoloader_dagster.errors import SpecNotFound
from autoloader_dagster.specs.spec_set import LoadedSpec, SpecSet

if TYPE_CHECKING:
    from autoloader_dagster.state.store import ProcessedFiles

_BATCHES = 100


@dataclass(frozen=True, slots=True)
class Orphan:
    """What a deleted or renamed spec left behind.

    Attributes:
        ingestion: ``tenant/name``.
        tables: The tables that it has loaded.
        files: Its files that are loaded.
        rows: Their rows.
    """

    ingestion: str
    tables: tuple[str, ...]
    files: int
    rows: int

    def __str__(self) -> str:
        if not self.files:
            return f"{self.ingestion}: its spec is gone; no file of it is loaded"
        tables = f"its table {self.tables[0]}" if len(self.tables) == 1 else ", ".join(self.tables)
        keep = "keeps" if len(self.tables) == 1 else "keep"
        return (
            f"{self.ingestion}: its spec is gone; {tables} {keep} {counted(self.rows, 'row')} of "
            f"{counted(self.files, 'file')}"
        )

    @property
    def ingestion_id(self) -> str:
        """Its ingestion, under the name that a spec has for it."""
        return self.ingestion

    @property
    def advice(self) -> str:
        """What to do about it."""
        return (
            "Restore the spec, or hand its files over to a renamed one: "
            f"autoloader adopt NEW --from {self.ingestion}"
        )


def orphans_in(store: "ProcessedFiles", specs: SpecSet) -> list[Orphan]:
    """The ingestions of the state that no spec names, by name.

    Raises:
        StateError: The database is down.
    """
    named = {spec.ingestion_id for spec in (*specs.specs, *specs.broken)}
    found: list[Orphan] = []
    for ingestion, totals in sorted(store.totals.counts().items()):
        # The spec of an ingestion may be one of those that were not read.
        if ingestion in named or ingestion.partition("/")[0] in specs.unread:
            continue
        loaded = totals.get("SUCCESS")
        batches = store.batches.latest(ingestion, limit=_BATCHES)
        tables = {batch.table for batch in batches if batch.status == "RECORDED"}
        files, rows = (loaded.files, loaded.rows) if loaded else (0, 0)
        found.append(Orphan(ingestion, tuple(sorted(tables)), files, rows))
    return found


def spec_or_orphan(specs: SpecSet, name: str, store: "ProcessedFiles") -> LoadedSpec | Orphan:
    """The spec of a name, or what the state knows of the ingestion if its spec is gone.

    Args:
        specs: The specs that there are.
        name: The name of a spec, or ``tenant/name``.
        store: The state.

    Raises:
        SpecError: There is neither, the spec is broken, or several have the name.
        StateError: The database is down.
    """
    try:
        return specs.get(name)
    except SpecNotFound:
        orphan = orphan_named(orphans_in(store, specs), name)
        if orphan is None:
            raise
        return orphan


def orphan_named(orphans: Iterable[Orphan], name: str) -> Orphan | None:
    """The orphan of a name or ``tenant/name``; None if there is none, or more than one."""
    found = [each for each in orphans if name in (each.ingestion, each.ingestion.split("/")[-1])]
    return found[0] if len(found) == 1 else None
