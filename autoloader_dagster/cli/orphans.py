"""Ingestions that the state knows and that have no spec any more."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloader_dagster.cli.output import say
from autoloader_dagster.errors import StateError
from autoloader_dagster.settings import Settings
from autoloader_dagster.specs.loader import SpecSet

if TYPE_CHECKING:
    from autoloader_dagster.processed_files.store import ProcessedFiles

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
            f"{self.ingestion}: its spec is gone; {tables} {keep} {self.rows:,} rows of "
            f"{self.files:,} files"
        )


def orphans_in(store: "ProcessedFiles", specs: SpecSet) -> list[Orphan]:
    """The ingestions of the state that no spec names, by name.

    Raises:
        StateError: The database is down.
    """
    named = {spec.ingestion_id for spec in (*specs.specs, *specs.broken)}
    found: list[Orphan] = []
    for ingestion, totals in sorted(store.counts().items()):
        if ingestion in named:
            continue
        loaded = totals.get("SUCCESS")
        batches = store.batches(ingestion, limit=_BATCHES)
        tables = {batch.table for batch in batches if batch.status == "RECORDED"}
        files, rows = (loaded.files, loaded.rows) if loaded else (0, 0)
        found.append(Orphan(ingestion, tuple(sorted(tables)), files, rows))
    return found


def orphans_if_known(settings: Settings, specs: SpecSet) -> list[Orphan] | None:
    """The same without touching the database; None if it cannot be read or is not up to date."""
    path = settings.database_url.partition("sqlite:///")[2]
    if path and not Path(path).is_file():
        return []
    from autoloader_dagster.processed_files.database import REVISIONS
    from autoloader_dagster.processed_files.store import ProcessedFiles

    store = ProcessedFiles(settings.database_url)
    try:
        return orphans_in(store, specs) if store.current() == REVISIONS[-1] else None
    except StateError:
        return None
    finally:
        store.close()


def print_orphans(orphans: list[Orphan] | None) -> None:
    """A line for each, and what to do about them."""
    for orphan in orphans or ():
        say(str(orphan))
    if orphans:
        say(f"  -> {advice(orphans)}")


def advice(orphans: list[Orphan]) -> str:
    """What to do about them."""
    return (
        "Restore the spec, or hand its files over to a renamed one: "
        f"autoloader adopt NEW --from {orphans[0].ingestion}"
    )


def orphans_json(orphans: list[Orphan] | None) -> list[dict[str, Any]] | None:
    """The same for programs; None if they are not known."""
    if orphans is None:
        return None
    return [asdict(orphan) | {"tables": list(orphan.tables)} for orphan in orphans]
