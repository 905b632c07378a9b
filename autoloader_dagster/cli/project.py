"""What a command works on: the settings, the specs and the state of this project."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from autoloader_dagster.cli.output import warn
from autoloader_dagster.settings import Settings
from autoloader_dagster.specs.fault import shown_path
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.specs.spec_set import LoadedSpec, SpecSet

if TYPE_CHECKING:
    from autoloader_dagster.loading.ingestion import Ingestion
    from autoloader_dagster.state.store import ProcessedFiles


def open_specs(settings: Settings) -> SpecSet:
    """Every spec.

    Raises:
        SpecsNotReadable: The specs folder is missing or cannot be read.
    """
    return load_specs(settings.specs_dir)


def open_state(settings: Settings) -> "ProcessedFiles":
    """The state, with its tables; close it after use.

    Only an empty database gets tables here; one that is in use is upgraded by 'db upgrade' alone.

    Raises:
        StateError: The database is down, or of a version that this package cannot use.
    """
    from autoloader_dagster.state.store import ProcessedFiles

    store = ProcessedFiles(settings.database_url)
    store.set_up()
    return store


def open_ingestion(loaded: LoadedSpec, specs: SpecSet, settings: Settings) -> "Ingestion":
    """One ingestion with its source and the state, as a run of its asset would have it.

    Raises:
        SpecError: A secret of its connection is missing.
        StateError: The state cannot be opened.
    """
    # Imports Dagster; the resources are the same as the runs'.
    from autoloader_dagster.orchestration import resources

    return resources.open_ingestion(
        loaded, specs.connections, resources.resources_of_environment(), settings, steady=True
    )


def say_if_empty(specs: SpecSet) -> None:
    """Say on stderr that the folder has no spec, because it may be the wrong folder."""
    if not specs.specs and not specs.broken:
        warn(f"there is no spec in {shown_path(specs.folder)}")


def left_out(specs: SpecSet, chosen: Collection[LoadedSpec], none: str, undone: str) -> int:
    """Say on stderr what a command for all specs leaves out.

    Args:
        specs: All of them.
        chosen: Those that it works on.
        none: What to say if these are none, such as 'no spec is active'.
        undone: What it does not do with broken ones, such as 'not loaded'.

    Returns:
        The exit code because of it.
    """
    if specs.broken:
        ids = ", ".join(spec.ingestion_id for spec in specs.broken)
        warn(f"broken and {undone}: {ids}; 'autoloader validate' shows why")
        return 1
    if not chosen:
        warn(f"{none} in {shown_path(specs.folder)}")
    return 0


def source_base(loaded: LoadedSpec) -> str:
    """What the addresses of a spec's files begin with; people are shown the rest."""
    return f"{loaded.spec.source.url.rstrip('/')}/"
