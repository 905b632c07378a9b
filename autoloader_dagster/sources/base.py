"""What a source of files must offer; the rest of the package knows sources only through this.

A kind of source is a module, or a folder, with an object ``SOURCE``, and a line in
``autoloader_dagster.specs.registry``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Literal, Protocol, TypeVar, get_args

from autoloader_dagster.errors import UsageError
from autoloader_dagster.sources.copy_store import CopyStore
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.jar import Jar
from autoloader_dagster.specs.connection_section import ConnectionSection
from autoloader_dagster.specs.registry import source_of
from autoloader_dagster.specs.source_section import SourceSection
from autoloader_dagster.specs.tenants import Fence, TenantRules

Section = TypeVar("Section", bound=SourceSection)


@dataclass(frozen=True, slots=True)
class FileRef:
    """One version of one file, as the source listed it.

    Attributes:
        path: Full address in raw characters, never percent-encoded: ``s3://bucket/key`` or an
            absolute local path. It is the file's identity, and ``_source_file`` in the table.
        relative_path: The part below the spec's ``source.url``, with ``/`` between the parts.
        size: Bytes.
        modified_at: Last change, UTC, to the finest unit that the source gives.
        version: What tells this version from others of the same path: the etag where the source
            has one, else a digest of size and time.
        etag: As the source gave it, without quotes; None where it has none.
        version_id: The object version, on stores that keep versions and list them.
        content_encoding: A stored encoding (``gzip``) that the name does not show; usually None.
        unusable: Why the file can never be loaded as it is, in words: its name or its time cannot
            be recorded. Then ``path`` is an escaped form, under which it is quarantined.
    """

    path: str
    relative_path: str
    size: int
    modified_at: datetime
    version: str
    etag: str | None = None
    version_id: str | None = None
    content_encoding: str | None = None
    unusable: str | None = None


class FileSource(Protocol):
    """A place with files. Every method may be called from several threads at once.

    Every method raises a ``SourceError`` (``SourceNotFound``, ``SourceAccessDenied``,
    ``SourceUnavailable``) that names the address, and never answers 'empty' for an error.
    """

    @property
    def left_out(self) -> int:
        """Files that the last listing met and the filters did not choose."""
        ...

    @property
    def read_in_place(self) -> bool:
        """Whether Spark reads the files where they are; if not, each of them is staged first."""
        ...

    @property
    def lists_by_folder(self) -> bool:
        """Whether Spark may list the folders of this source instead of asking for each name.

        False until a listing has shown that no address has an empty part, '.' or '..', because
        Hadoop resolves these, and takes one file's length for that of another.
        """
        ...

    def list_pages(self) -> Iterator[list[FileRef]]:
        """List the files that the spec's filters choose, in pages of at most some thousands.

        Memory does not grow with the number of files. A folder marker (a key that ends in ``/``)
        is not a file.
        """
        ...

    def stat(self, paths: Sequence[str]) -> dict[str, FileRef | None]:
        """Look at these files again (in threads): what they are now; None for one that is gone."""
        ...

    def open(self, ref: FileRef, start: int = 0, length: int | None = None) -> IO[bytes]:
        """Open a byte range of exactly the listed version; a negative ``start`` is from the end.

        Raises:
            FileChanged: The file is not the listed version any more, where the store can tell.
        """
        ...

    def spark_path(self, ref: FileRef) -> str:
        """The path for Spark's readers: ``s3a://bucket/key`` or ``file:///…``, raw characters.

        Of a source that is not read in place it names the file, and Spark is never given it.
        """
        ...

    def spark_options(self) -> dict[str, str]:
        """Reader options that carry the connection's credentials and endpoint to Spark."""
        ...


@dataclass(frozen=True, slots=True)
class Refused:
    """What a tenant must not do with a source.

    Attributes:
        what: That, as ``read 's3://beta/in'``.
        by: The rules of ``_tenant.yaml`` that would allow it.
    """

    what: str
    by: Literal["buckets", "folders"]


class SourceKind(ABC, Generic[Section]):
    """One kind of source.

    Attributes:
        section: The model of the section ``source`` for this kind; its ``type`` is the name.
        connection: The model of an entry of ``_connections.yaml`` for this kind; None if it needs
            no connection.
        schemes: How its addresses begin, before ``://``; the first is that of the files' paths.
            Empty for folders.
        local: Whether it reads folders of this machine, which the Spark server sees too.
        dagster_kind: What Dagster shows on the asset of the files.
        hadoop_conf: Hadoop's settings that the embedded Spark server has for it, whatever the
            connection is; what differs by connection is in ``FileSource.spark_options``.
        jars: What the embedded Spark server needs to read its files.
    """

    section: ClassVar[type[SourceSection]]
    connection: ClassVar[type[ConnectionSection] | None] = None
    schemes: ClassVar[tuple[str, ...]] = ()
    local: ClassVar[bool] = False
    dagster_kind: ClassVar[str]
    hadoop_conf: ClassVar[Mapping[str, str]] = {}
    jars: ClassVar[tuple[Jar, ...]] = ()

    @property
    def name(self) -> str:
        """The kind, as ``source.type`` names it."""
        (name,) = get_args(self.section.model_fields["type"].annotation)
        return name

    def absolute_url(self, section: Section, file: Path) -> str:
        """The url, whole.

        Args:
            section: As it is written.
            file: The spec file, whose folder is where a relative path starts.
        """
        return section.url

    def relative_path(self, section: Section, path: str) -> str | None:
        """The part of a path below the address of the section; None if it is not below it.

        Args:
            section: With a whole url; of a single file, its name is the relative path.
            path: As in ``FileRef``.
        """
        root = section.url.rstrip("/")
        if path == root:
            return path.rpartition("/")[2]
        return path.removeprefix(f"{root}/") if path.startswith(f"{root}/") else None

    @abstractmethod
    def refused(self, section: Section, file: Path, rules: TenantRules) -> Refused | None:
        """What a tenant must not read; None if its rules allow the source.

        Args:
            section: As it is written.
            file: The spec file.
            rules: What the tenant may name.
        """

    @abstractmethod
    def open(
        self, section: Section, chosen: FileFilter, spec: str, connection: Any, fence: Fence | None
    ) -> FileSource:
        """The source. Nothing is read, and no SDK imported, before its first use.

        Args:
            section: With a whole url.
            chosen: The spec's filters.
            spec: Name of the spec, for messages.
            connection: What its connection was resolved to; None if the section names none.
            fence: Where local files may be; None for everywhere.
        """

    def copy_store(self, url: str, connection: Any) -> CopyStore:
        """The store for copies at an address of this kind; by default there is none.

        Args:
            url: ``AUTOLOADER_STAGING``, with a ``/`` at its end.
            connection: What ``AUTOLOADER_STAGING_CONNECTION`` was resolved to; None without one.

        Raises:
            UsageError: Copies cannot be kept in such a store.
        """
        raise UsageError(
            f"AUTOLOADER_STAGING is {url}, and copies cannot be kept in a store of kind "
            f"'{self.name}'",
            "Set it to an address such as s3://bucket/prefix/, or to a folder that each machine of "
            "the Spark cluster sees.",
        )


def source_kind(section: SourceSection) -> SourceKind:
    """The kind that opens the sources of a section."""
    return source_of(section.type)
