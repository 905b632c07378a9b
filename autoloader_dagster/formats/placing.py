"""Names that Spark would misread, and the name under which such a file is staged instead."""

import posixpath
import re

from autoloader_dagster.formats.compression import SUFFIXES, fits_name
from autoloader_dagster.formats.outcome import BadFile, Compression
from autoloader_dagster.sources.base import FileRef

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The answers of S3 are XML, which has no such characters: Spark's client fails on them.
_NOT_IN_XML = re.compile(r"[\ufffe\uffff]")
# Spark takes such a name for a pattern, and Hadoop cannot match one with a colon.
_PATTERN = re.compile(r"[\\\[\]{}*?]")
_SCHEME = re.compile(r"[a-z][a-z0-9]*://")
# What uploaders leave behind that says nothing about the stored bytes.
_PLAIN_ENCODINGS = {None, "", "identity", "aws-chunked"}


def refuse_unreadable_name(ref: FileRef) -> None:
    """Refuse control characters, which Spark and the stores each alter in their own way.

    Raises:
        BadFile: ``UnreadableName``.
    """
    if _CONTROL.search(ref.path):
        raise BadFile(
            "UnreadableName",
            f"has a control character in its name ({ref.relative_path!a}); rename it",
        )


def is_misread(path: str) -> bool:
    """Whether Spark would find nothing under this address, or another file.

    Hadoop makes '//' one '/', resolves '.' and '..', and so would read another file than the one
    that is named, one outside of the source too.

    Args:
        path: A full address in raw characters.
    """
    scheme = _SCHEME.match(path)
    below = path[scheme.end() :] if scheme else path[1:]
    *folders, name = below.split("/")
    return bool(
        # Spark takes these for hidden files and reads zero rows, without an error.
        name.startswith((".", "_"))
        or name.endswith("._COPYING_")
        or not name
        or any(folder in ("", ".", "..") for folder in folders)
        or (":" in below and (not scheme or _PATTERN.search(below)))
        or (scheme and _NOT_IN_XML.search(path))
    )


def stage_as(
    ref: FileRef,
    kind: str,
    compression: Compression,
    by_suffix: bool = True,
    in_place: bool = True,
) -> str | None:
    """The suffix to stage a file under; None for one that Spark reads well in place.

    Args:
        ref: The file.
        kind: The format's name.
        compression: What the content is.
        by_suffix: Spark decompresses such a file as its name says.
        in_place: Spark reads files of this source where they are.
    """
    misread = is_misread(ref.path) or ref.content_encoding not in _PLAIN_ENCODINGS
    name = posixpath.basename(ref.path)
    if not in_place or misread or (by_suffix and not fits_name(compression, name)):
        return staged_suffix(kind, compression)
    return None


def staged_suffix(kind: str, compression: Compression) -> str:
    """The suffix under which Spark reads a copy of such a file."""
    return f".{kind}{SUFFIXES[compression]}"
