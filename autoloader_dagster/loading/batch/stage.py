"""Copies of the files that Spark cannot read where they are.

Some sources are out of its reach, so each of their files is copied. Of others only few are: a name
that begins with ``_`` or ``.`` gives Spark zero rows without a word, and a suffix that does not fit
the content makes it read garbage. The copy is exactly the listed version. JSON that is not one
record a line is split while it is copied.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.errors import FileChanged, UsageError
from autoloader_dagster.formats.base import Readable, file_format
from autoloader_dagster.formats.content import Content
from autoloader_dagster.formats.outcome import Bad, BadFile, Look
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.sources.base import FileSource
from autoloader_dagster.specs.section import FormatSection
from autoloader_dagster.state.store import ProcessedFiles

# What the names of a preview's folders begin with.
PREVIEW = "preview-"
_LEFTOVER_SECONDS = 24 * 3600
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

    def readable(self, source: FileSource, look: Look, partition_key: str | None) -> Readable:
        """A file with where Spark reads it: its copy, or else the file itself.

        Args:
            source: Opens the file.
            look: What was found in it.
            partition_key: Its partition.
        """
        ref = look.ref
        copy = self.copies.get(ref.path)
        return Readable(
            replace(look, rows=self.rows[ref.path]) if ref.path in self.rows else look,
            SourceFile(
                path=ref.path,
                modified_at=ref.modified_at,
                partition_key=partition_key,
                read_from=source.spark_path(ref) if copy is None else f"file://{copy}",
                lines=look.lines,
            ),
        )


def stage(
    source: FileSource, looks: Sequence[Look], folder: Path, section: FormatSection
) -> Staged:
    """Copy what must be copied, in threads.

    Args:
        source: Opens the files.
        looks: The files of a batch; those without ``stage_as`` are left where they are, and those
            whose lines are here already need no copy.
        folder: The batch's staging folder; made if anything is staged.
        section: How the files are written, for those that are split.

    Raises:
        FileChanged: A file is not the listed version any more.
        SourceError: A file could not be read.
        UsageError: The folder cannot be written, for example because its disk is full.
    """
    needed = [look for look in looks if look.lines is None and not look.empty]
    needed = [look for look in needed if look.split or look.stage_as is not None]
    staged = Staged()
    if not needed:
        return staged

    def one(look: Look) -> None:
        path = look.ref.path
        if not look.split:
            staged.copies[path] = _copy(source, look, folder)
            return
        target = folder / f"{_name(look)}.{section.type}"
        try:
            staged.rows[path] = _split(source, look, target, section)
            staged.copies[path] = target
        except BadFile as fault:
            staged.bad[path] = fault.bad

    try:
        # Copies of what the source may keep from others: for this user alone.
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(one, needed):
                pass
    except OSError as error:
        raise UsageError(
            f"files cannot be copied to {folder}: {error.strerror or error}",
            "Make room there, or set AUTOLOADER_HOME to a folder that this user may write. The "
            "files wait for the next run.",
        ) from error
    return staged


def _name(look: Look) -> str:
    return hashlib.blake2b(look.ref.path.encode(), digest_size=16).hexdigest()


def _copy(source: FileSource, look: Look, folder: Path) -> Path:
    target = folder / f"{_name(look)}{look.stage_as}"
    with (
        source.open(look.ref) as reader,
        open(target, "wb", opener=_for_us_alone) as writer,
    ):
        shutil.copyfileobj(reader, writer, _CHUNK)
    if target.stat().st_size != look.ref.size:
        raise FileChanged(
            f"{look.ref.path} has {target.stat().st_size} bytes, and {look.ref.size} were listed"
        )
    return target


def _split(source: FileSource, look: Look, target: Path, section: FormatSection) -> int:
    """Write one record a line; returns how many.

    Raises:
        BadFile: The file is bad.
    """
    count = 0
    records = file_format(section).split(Content(source, look.ref), section, look)
    with open(target, "w", _CHUNK, encoding="utf-8", newline="\n", opener=_for_us_alone) as writer:
        for record in records:
            writer.write(record)
            writer.write("\n")
            count += 1
    return count


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def unstage(folder: Path) -> None:
    """Remove a batch's copies."""
    shutil.rmtree(folder, ignore_errors=True)


def unstage_leftovers(root: Path, store: ProcessedFiles) -> None:
    """Remove what killed workers have left: copies of settled batches, and old previews.

    A batch that the state does not know may be another project's, and goes after a day as well.

    Args:
        root: The folder with the staging folders of all batches.
        store: Knows which batches are settled.
    """
    if not root.is_dir():
        return
    for folder in root.iterdir():
        is_preview = folder.name.startswith(PREVIEW)
        batch = None if is_preview else store.batches.get(BatchId(folder.name))
        # Another worker may be faster.
        with suppress(FileNotFoundError):
            age = time.time() - folder.stat().st_mtime
            settled = batch is not None and batch.status in ("RECORDED", "RELEASED")
            if settled or (batch is None and age > _LEFTOVER_SECONDS):
                unstage(folder)
