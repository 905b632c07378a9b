"""From a spec to its source, by its kind."""

from typing import TYPE_CHECKING, Any

from autoloader_dagster.sources.base import FileSource, source_kind
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.steady import PATIENCE_SECONDS, SteadySource
from autoloader_dagster.specs.tenants import Fence

if TYPE_CHECKING:
    from autoloader_dagster.specs.connections import Connections
    from autoloader_dagster.specs.model import IngestionSpec
    from autoloader_dagster.specs.spec_set import LoadedSpec


def open_source_of(loaded: "LoadedSpec", connections: "Connections") -> FileSource:
    """The source of a loaded spec; the secrets of its connection are read now.

    Raises:
        SpecError: A secret is missing, or a glob of the spec is impossible.
    """
    name = loaded.spec.source.named_connection
    connection = None if name is None else connections.get(loaded.tenant, name).resolve()
    return open_source(loaded.spec, connection, loaded.fence)


def steady_source_of(
    loaded: "LoadedSpec", connections: "Connections", patience: float = PATIENCE_SECONDS
) -> SteadySource:
    """The same source, which is given up when it does not answer for ``patience`` seconds.

    Raises:
        SpecError: As ``open_source_of``.
    """
    return SteadySource(open_source_of(loaded, connections), loaded.spec.source.url, patience)


def open_source(
    spec: "IngestionSpec", connection: Any = None, fence: Fence | None = None
) -> FileSource:
    """The source of a spec. Nothing is read, and no SDK imported, before its first use.

    Args:
        spec: A loaded spec; its url is whole.
        connection: What ``source.connection`` was resolved to; None if the spec names none.
        fence: Where local files may be; None for everywhere.

    Raises:
        SpecError: A glob of the spec is impossible.
    """
    source = spec.source
    chosen = FileFilter(source.include, source.exclude, source.modified_after)
    return source_kind(source).open(source, chosen, spec.name, connection, fence)
