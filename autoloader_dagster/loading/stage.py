"""Copies of the few files that Spark cannot read where they are.

A name that begins with ``_`` or ``.`` gives Spark zero rows without a word, and a suffix that does
not fit the content makes it read garbage. Such a file is copied, exactly the listed version. JSON
that is not one record a line is split while it is copied.
"""

import hashlib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from autoloader_dagster.errors import FileChanged
from autoloader_dagster.inspection.compression import decompressed
from autoloader_dagster.inspection.content import Content
from autoloader_dagster.inspection.json_records import Records
from autoloader_dagster.inspection.outcome import Bad, Look, SetAside
from autoloader_dagster.inspection.text import checked_text
from autoloader_dagster.sources.base import FileSource

_THREADS = 8
_CHUNK = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Staged:
    """What came of staging the files of a batch.

    Attributes:
        copies: The copy of each staged path.
        rows: How many records the copy holds, for files that were split.
        bad: Files that turned out to be bad as they were split.
    """

    copies: dict[str, Path] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    bad: dict[str, Bad] = field(default_factory=dict)

    def of(self, look: Look) -> Look:
        """A look with what is known of its copy."""
        return replace(look, rows=self.rows[look.ref.path]) if look.ref.path in self.rows else look


def stage(
    source: FileSource, looks: Sequence[Look], folder: Path, record_path: str | None = None
) -> Staged:
    """Copy what must be copied, in threads.

    Args:
        source: Opens the files.
        looks: The files of a batch; those without ``stage_as`` are left where they are, and those
            whose lines are here already need no copy.
        folder: The batch's staging folder; made if anything is staged.
        record_path: Where JSON that is split keeps its records.

    Raises:
        FileChanged: A file is not the listed version any more.
        SourceError: A file could not be read.
    """
    needed = [look for look in looks if look.lines is None and not look.empty]
    needed = [look for look in needed if look.split or look.stage_as is not None]
    staged = Staged()
    if not needed:
        return staged
    folder.mkdir(parents=True, exist_ok=True)

    def one(look: Look) -> None:
        path = look.ref.path
        if not look.split:
            staged.copies[path] = _copy(source, look, folder)
            return
        target = folder / f"{_name(look)}.json"
        try:
            staged.rows[path] = _split(source, look, target, record_path)
            staged.copies[path] = target
        except SetAside as fault:
            staged.bad[path] = fault.bad

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(one, needed):
            pass
    return staged


def _name(look: Look) -> str:
    return hashlib.blake2b(look.ref.path.encode(), digest_size=16).hexdigest()


def _copy(source: FileSource, look: Look, folder: Path) -> Path:
    target = folder / f"{_name(look)}{look.stage_as}"
    with source.open(look.ref) as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, _CHUNK)
    if target.stat().st_size != look.ref.size:
        raise FileChanged(
            f"{look.ref.path} has {target.stat().st_size} bytes, and {look.ref.size} were listed"
        )
    return target


def _split(source: FileSource, look: Look, target: Path, record_path: str | None) -> int:
    """Write one record a line; returns how many.

    Raises:
        SetAside: The file is bad.
    """
    content = Content(source, look.ref)
    chunks = checked_text(decompressed(content.chunks(), look.compression), "utf-8")
    records = Records(chunks, record_path)
    with target.open("w", encoding="utf-8", newline="\n", buffering=_CHUNK) as writer:
        for written, _ in records:
            writer.write(written)
            writer.write("\n")
    return records.count


def unstage(folder: Path) -> None:
    """Remove a batch's copies."""
    shutil.rmtree(folder, ignore_errors=True)
