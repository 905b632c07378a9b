"""Step one and two: list the source, and record what is new."""

from collections.abc import Callable, Iterator

from autoloader_dagster import failpoints
from autoloader_dagster.counts import counted
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.placement import fitting, placer
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state.records import Discovery, Guard, no_guard


def discover(
    ingestion: Ingestion,
    progress: Callable[[int], None] | None = None,
    guard: Guard = no_guard,
) -> Discovery:
    """List the source as a stream of pages and record new and changed files.

    Args:
        ingestion: What to list.
        progress: Called with the number of files listed so far, after each page.
        guard: Called before each step of recording what was listed; raises to record no more.

    Raises:
        SourceError: The source could not be listed to its end; then nothing is recorded.
        StateError: The state could not be written; then nothing is recorded.
    """
    found = ingestion.store.discovery.discover(
        ingestion.id,
        ingestion.loaded.tenant,
        _counted(ingestion.source.list_pages(), progress),
        placer(ingestion.spec),
        ingestion.spec.source.on_change,
        fitting(ingestion.spec),
        complete=True,
        guard=guard,
    )
    failpoints.reach("discovered")
    return found


def _counted(
    pages: Iterator[list[FileRef]], progress: Callable[[int], None] | None
) -> Iterator[list[FileRef]]:
    listed = 0
    for page in pages:
        listed += len(page)
        if progress:
            progress(listed)
        yield page
    failpoints.reach("listed")


def why_nothing_was_listed(ingestion: Ingestion) -> str:
    """After a listing without files: whether there are none, or none is chosen, in words."""
    source = ingestion.spec.source
    left_out = ingestion.source.left_out
    if not left_out:
        return f"there are no files below {source.url}"
    filters = [f"include {', '.join(source.include)}"]
    # The default exclude would only distract.
    if "exclude" in source.model_fields_set:
        filters.append(f"exclude {', '.join(source.exclude)}")
    if source.modified_after:
        filters.append(f"modified_after {source.modified_after}")
    return (
        f"{counted(left_out, 'file is', 'files are')} below {source.url}, and none is chosen by "
        "the filters of source "
        f"({'; '.join(filters)}); correct them in {ingestion.loaded.path.name}"
    )
