"""What a command works on: the settings, the specs and the state of this project."""

from typing import TYPE_CHECKING

from autoloader_dagster.settings import Settings
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.specs.spec_set import LoadedSpec, SpecSet

if TYPE_CHECKING:
    from autoloader_dagster.loading.ingestion import Ingestion
    from autoloader_dagster.state.store import ProcessedFiles


def open_specs(settings: Settings) -> SpecSet:
    """Every spec.

    Raises:
        SpecError: The specs folder cannot be read.
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


def source_base(loaded: LoadedSpec) -> str:
    """What the addresses of a spec's files begin with; people are shown the rest."""
    return f"{loaded.spec.source.url.rstrip('/')}/"
