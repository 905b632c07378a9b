"""From a spec to its source, by its kind."""

from typing import TYPE_CHECKING, Any

from autoloader_dagster.errors import UsageError
from autoloader_dagster.settings import Settings
from autoloader_dagster.sources.base import FileSource, source_kind
from autoloader_dagster.sources.copy_store import CopyStore
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.steady import PATIENCE_SECONDS, SteadySource
from autoloader_dagster.specs.dagster_names import DEFAULT_TENANT
from autoloader_dagster.specs.registry import SOURCES, source_of
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


def copy_store_of(settings: Settings, connections: "Connections") -> CopyStore | None:
    """The object store that Spark reads copies from; None if it reads them from a folder.

    Nothing is read, and no SDK imported, before its first use.

    Args:
        settings: Their ``staging_url`` is where.
        connections: Those of the project; a tenant's own are not asked.

    Raises:
        UsageError: No kind of source has such addresses, or the connection is of another kind.
        SpecError: There is no such connection, or a secret of it is missing.
    """
    url = settings.staging_url
    if url is None:
        return None
    scheme = url.partition("://")[0]
    kinds = [kind for kind in SOURCES if scheme in source_of(kind).schemes]
    if not kinds:
        raise UsageError(
            f"AUTOLOADER_STAGING is {url}, and '{scheme}' is not the scheme of an object store",
            "Set it to an address such as s3://bucket/prefix/, or to a folder.",
        )
    connection = None
    if (name := settings.staging_connection) is not None:
        named = connections.get(DEFAULT_TENANT, name)
        if named.type != kinds[0]:
            raise UsageError(
                f"AUTOLOADER_STAGING is {url}, and the connection '{name}' is of kind "
                f"'{named.type}'",
                f"Set AUTOLOADER_STAGING_CONNECTION to a connection of kind '{kinds[0]}'.",
            )
        connection = named.resolve()
    return source_of(kinds[0]).copy_store(url, connection)


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
