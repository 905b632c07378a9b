"""Copies of the few files that Spark cannot read where they are.

A name that begins with ``_`` or ``.`` gives Spark zero rows without a word, and a suffix that does
not fit the content makes it read garbage. Such a file is copied, exactly the listed version.
"""

import hashlib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from autoloader_dagster.errors import FileChanged
from autoloader_dagster.inspection.outcome import Look
from autoloader_dagster.sources.base import FileSource

_THREADS = 8
_CHUNK = 4 * 2**20


def stage(source: FileSource, looks: Sequence[Look], folder: Path) -> dict[str, Path]:
    """Copy what must be copied, in threads.

    Args:
        source: Opens the files.
        looks: The files of a batch; those without ``stage_as`` are left where they are, and those
            whose lines are here already need no copy.
        folder: The batch's staging folder; made if anything is staged.

    Returns:
        The copy of each staged path.

    Raises:
        FileChanged: A file is not the listed version any more.
        SourceError: A file could not be read.
    """
    needed = [look for look in looks if look.stage_as is not None and look.lines is None]
    if not needed:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_THREADS) as pool:
        copies = list(pool.map(lambda look: _copy(source, look, folder), needed))
    return {look.ref.path: copy for look, copy in zip(needed, copies, strict=True)}


def _copy(source: FileSource, look: Look, folder: Path) -> Path:
    name = hashlib.blake2b(look.ref.path.encode(), digest_size=16).hexdigest()
    target = folder / f"{name}{look.stage_as}"
    with source.open(look.ref) as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, _CHUNK)
    if target.stat().st_size != look.ref.size:
        raise FileChanged(
            f"{look.ref.path} has {target.stat().st_size} bytes, and {look.ref.size} were listed"
        )
    return target


def unstage(folder: Path) -> None:
    """Remove a batch's copies."""
    shutil.rmtree(folder, ignore_errors=True)
