"""From a spec to its source: the one place that knows which kinds there are."""

from autoloader_dagster.sources.base import FileSource
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.local import LocalFileSource
from autoloader_dagster.sources.s3.source import S3FileSource
from autoloader_dagster.specs.connections import ResolvedConnection
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.source import LocalSource
from autoloader_dagster.specs.tenants import Fence


def open_source(
    spec: IngestionSpec, connection: ResolvedConnection | None, fence: Fence | None = None
) -> FileSource:
    """The source of a spec. Nothing is read, and no SDK imported, before its first use.

    Args:
        spec: A loaded spec; a local url is absolute in it.
        connection: What ``source.connection`` stands for; None if the spec names none.
        fence: Where local files may be; None for everywhere.

    Raises:
        SpecError: A glob of the spec is impossible.
    """
    source = spec.source
    chosen = FileFilter(source.include, source.exclude, source.modified_after)
    if isinstance(source, LocalSource):
        return LocalFileSource(source.url, chosen, spec.name, fence)
    return S3FileSource(source.url, chosen, spec.name, connection)
