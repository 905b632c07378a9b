"""What a program does with one spec, without the command line.

The settings are those of the environment, as for the command line: ``AUTOLOADER_HOME``,
``AUTOLOADER_DATABASE_URL``, ``SPARK_REMOTE``.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from autoloader_dagster.settings import load_settings
from autoloader_dagster.specs.spec_set import SpecSet

if TYPE_CHECKING:
    from autoloader_dagster.loading.ingestion import Ingestion
    from autoloader_dagster.orchestration.runs.run_asset import RunReport


def run(
    specs: SpecSet,
    name: str,
    *,
    partition: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> "RunReport":
    """Load what waits for one spec, as a run of its Dagster asset in this process.

    The run is in the history of the Dagster instance, as that of a sensor is, and no other run
    loads the same file. ``DAGSTER_HOME`` is set for this process if it is not.

    Args:
        specs: The specs of a folder.
        name: Name of the spec, or ``tenant/name``.
        partition: Load only this partition; default all of them.
        progress: Called with what is being done.

    Returns:
        What became of the files. A run that failed has its ``failure``; nothing is raised then.

    Raises:
        SpecError: There is no good spec of this name.
        UsageError: There is no such partition, or the home cannot be used.
        SourceError: The source could not be listed; no run was started.
        StateError: The state cannot be used; no run was started.

    Example:
        >>> from autoloader_dagster import load_specs, run
        >>> report = run(load_specs("ingestion_specs"), "orders")
        >>> report.status, report.files.loaded, report.rows
        ('SUCCESS', 1, 2)
    """
    from autoloader_dagster.loading.progress import no_progress
    from autoloader_dagster.orchestration.home import ensure_dagster_home
    from autoloader_dagster.orchestration.runs.run_asset import run_now

    loaded = specs.get(name)
    ensure_dagster_home(load_settings())
    return run_now(loaded, specs.connections, partition, progress or no_progress)


@contextmanager
def open_ingestion(specs: SpecSet, name: str) -> "Iterator[Ingestion]":
    """Open the source and the state of one spec for the block; Dagster is not needed.

    ``loading.discover`` lists its source, ``loading.preview`` shows what a load would do, and
    ``loading.load`` loads without a run: the files are loaded once all the same, and the next tick
    of Dagster tells of them.

    Args:
        specs: The specs of a folder.
        name: Name of the spec, or ``tenant/name``.

    Yields:
        The ingestion; no Spark session is opened before something is loaded.

    Raises:
        SpecError: There is no good spec of this name, or a secret of its connection is missing.
        StateError: The state cannot be used.

    Example:
        >>> from autoloader_dagster import load_specs, open_ingestion
        >>> from autoloader_dagster.loading.discover import discover
        >>> with open_ingestion(load_specs("ingestion_specs"), "orders") as ingestion:
        ...     found = discover(ingestion)
        >>> found.listed, found.new
        (1, 1)
    """
    from autoloader_dagster.loading.ingestion import Ingestion
    from autoloader_dagster.sources.registry import copy_store_of, steady_source_of
    from autoloader_dagster.spark.session import connect
    from autoloader_dagster.state.store import ProcessedFiles

    settings = load_settings()
    loaded = specs.get(name)
    with closing(ProcessedFiles(settings.database_url)) as store:
        store.set_up()
        yield Ingestion(
            loaded=loaded,
            source=steady_source_of(loaded, specs.connections),
            store=store,
            connect=lambda: connect(settings),
            staging_dir=settings.staging_dir,
            copy_store=copy_store_of(settings, specs.connections),
        )
