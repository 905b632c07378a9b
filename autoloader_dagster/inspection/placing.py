"""Names that Spark would misread, and the name under which such a file is staged instead."""

import posixpath
import re

from autoloader_dagster.inspection.compression import SUFFIXES, fits_name
from autoloader_dagster.inspection.outcome import Compression, SetAside
from autoloader_dagster.sources.base import FileRef

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[a-z][a-z0-9]*://")
# What uploaders leave behind that says nothing about the stored bytes.
_PLAIN_ENCODINGS = {None, "", "identity", "aws-chunked"}


def refuse_unreadable_name(ref: FileRef) -> None:
    """Refuse control characters, which Spark and the stores each alter in their own way.

    Raises:
        SetAside: ``UnreadableName``.
    """
    if _CONTROL.search(ref.path):
        raise SetAside(
            "UnreadableName",
            f"has a control character in its name ({ref.relative_path!a}); rename it",
        )


def stage_as(ref: FileRef, kind: str, compression: Compression) -> str | None:
    """The suffix to stage a file under; None for one that Spark reads well in place.

    Args:
        ref: The file.
        kind: The format: ``csv``, ``json`` or ``parquet``.
        compression: What the content is.
    """
    name = posixpath.basename(ref.path)
    scheme = _SCHEME.match(ref.path)
    below = ref.path[scheme.end() :] if scheme else ref.path
    misread = (
        # Spark takes these for hidden files and reads zero rows, without an error.
        name.startswith((".", "_"))
        or name.endswith("._COPYING_")
        # Hadoop makes '//' one '/', and then finds nothing.
        or "//" in below
        or (not scheme and ":" in below)
        or ref.content_encoding not in _PLAIN_ENCODINGS
    )
    # A Parquet reader goes by the content alone.
    if misread or (kind != "parquet" and not fits_name(compression, name)):
        return f".{kind}{SUFFIXES[compression]}"
    return None
