"""The kinds of sources and formats, each by the module that has everything about it.

A new kind is one module or folder, and one line here. The modules are imported by name, because
they belong to rooms above this one: the section that a person writes and the code that reads the
files are kept together.
"""

from importlib import import_module
from typing import Any

SOURCES = {
    "local": "autoloader_dagster.sources.local.kind",
    "s3": "autoloader_dagster.sources.s3.kind",
}
FORMATS = {
    "csv": "autoloader_dagster.formats.csv.format",
    "json": "autoloader_dagster.formats.json.format",
    "parquet": "autoloader_dagster.formats.parquet.format",
    "text": "autoloader_dagster.formats.text_format",
}

# Names that mean something, and are not built yet.
UNSUPPORTED_SOURCES = tuple({"azure", "gcs", "sftp", "ftp"} - SOURCES.keys())
UNSUPPORTED_FORMATS = tuple({"avro", "orc", "xml", "text", "binary"} - FORMATS.keys())


def source_of(kind: str) -> Any:
    """The ``SourceKind`` of a kind.

    Raises:
        KeyError: There is no such kind.
    """
    return import_module(SOURCES[kind]).SOURCE


def source_of_address(url: str) -> Any | None:
    """The ``SourceKind`` whose addresses have the scheme of this one; None for a folder."""
    scheme, found, _ = url.partition("://")
    kinds = map(source_of, SOURCES) if found else ()
    return next((kind for kind in kinds if scheme in kind.schemes), None)


def format_of(kind: str) -> Any:
    """The ``FileFormat`` of a kind.

    Raises:
        KeyError: There is no such kind.
    """
    return import_module(FORMATS[kind]).FORMAT
