"""Shows what deleted specs left behind."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from autoloader_dagster.cli.output import say
from autoloader_dagster.cli.project import say_if_empty
from autoloader_dagster.errors import SpecGone, SpecNotFound, StateError
from autoloader_dagster.loading.recovery.orphans import Orphan, orphan_named, orphans_in
from autoloader_dagster.settings import Settings
from autoloader_dagster.specs.spec_set import LoadedSpec, SpecSet


def orphans_if_known(settings: Settings, specs: SpecSet) -> list[Orphan] | None:
    """The orphans without a change of the database; None if it cannot be used as it is."""
    path = settings.database_url.partition("sqlite:///")[2]
    if path and not Path(path).is_file():
        return []
    from autoloader_dagster.state.store import ProcessedFiles

    store = ProcessedFiles(settings.database_url)
    try:
        return orphans_in(store, specs) if store.is_usable() else None
    except StateError:
        return None
    finally:
        store.close()


def spec_named(specs: SpecSet, settings: Settings, name: str) -> LoadedSpec:
    """The spec of a name or ``tenant/name``.

    Raises:
        SpecGone: The spec is gone; the message says what the state knows of it.
        SpecError: There is none, it is broken, or several tenants have one of this name.
    """
    try:
        return specs.get(name)
    except SpecNotFound:
        orphan = orphan_named(orphans_if_known(settings, specs) or (), name)
        if orphan is None:
            raise
        say_if_empty(specs)
        raise SpecGone(str(orphan), orphan.advice) from None


def print_orphans(orphans: list[Orphan] | None) -> None:
    """Print a line for each, and what to do about them."""
    for orphan in orphans or ():
        say(str(orphan))
    if orphans:
        say(f"  -> {orphans[0].advice}")


def orphan_json(orphan: Orphan | None) -> dict[str, Any] | None:
    """One for programs; None for a spec that is there."""
    return None if orphan is None else asdict(orphan) | {"tables": list(orphan.tables)}


def orphans_json(orphans: list[Orphan] | None) -> list[dict[str, Any] | None] | None:
    """The same for all of them; None if they are not known."""
    return None if orphans is None else [orphan_json(orphan) for orphan in orphans]
