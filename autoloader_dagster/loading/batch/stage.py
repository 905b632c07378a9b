"""Copies of the files that Spark cannot read where they are.

Some sources are out of its reach, so each of their files is copied. Of others only few are: a name
that begins with ``_`` or ``.`` gives Spark zero rows without a word, and a suffix that does not fit
the content makes it read garbage. The copy is exactly the listed version. JSON that is not one
record a line is split while it is copied. If Spark does not see the folder with the copies, each of
them goes on to an object store, and is removed here.
"""

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import AutoloaderError, FileChanged, UsageError
from autoloader_dagster.formats.base import Readable, file_format
from autoloader_dagster.formats.content import Content
from autoloader_dagster.formats.outcome import Bad, BadFile, Look
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.sources.base import FileSource
from autoloader_dagster.sources.copy_store import CopyStore
from autoloader_dagster.spark.errors import is_not_found, short
from autoloader_dagster.specs.section import FormatSection
from autoloader_dagster.state.store import ProcessedFiles

_log = logging.getLogger(__name__)

# What the names of a preview's folders begin with.
PREVIEW = "preview-"
_LEFTOVER_SECONDS = 24 * 3600
_THREADS = 8
_CHUNK = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Staged:
    """What came of staging the files of a batch.

    Attributes:
        copies: The copy of each staged path, as it was made.
        addresses: Where Spark reads the copy of each staged path.
        rows: How many records the copy holds, for files that were split.
        bad: Files that turned out to be bad as they were split.
    """

    copies: dict[str, Path] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
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
        copy = self.addresses.get(ref.path)
        return Readable(
            replace(look, rows=self.rows[ref.path]) if ref.path in self.rows else look,
            SourceFile(
                path=ref.path,
                modified_at=ref.modified_at,
                partition_key=partition_key,
                read_from=source.spark_path(ref) if copy is None else copy,
                lines=look.lines,
            ),
        )


def stage(
    source: FileSource,
    looks: Sequence[Look],
    folder: Path,
    section: FormatSection,
    store: CopyStore | None = None,
) -> Staged:
    """Copy what must be copied, in threads.

    Args:
        source: Opens the files.
        looks: The files of a batch; those without ``stage_as`` are left where they are, and those
            whose lines are here already need no copy.
        folder: The batch's staging folder; made if anything is staged.
        section: How the files are written, for those that are split.
        store: Where Spark reads the copies; None if it reads them in the folder.

    Raises:
        FileChanged: A file is not the listed version any more.
        SourceError: A file could not be read.
        UsageError: The folder cannot be written, for example because its disk is full, or the store
            does not take the copies.
    """
    needed = [look for look in looks if look.lines is None and not look.empty]
    needed = [look for look in needed if look.split or look.stage_as is not None]
    staged = Staged()
    if not needed:
        return staged

    def one(look: Look) -> None:
        path = look.ref.path
        if not look.split:
            target = _copy(source, look, folder)
        else:
            target = folder / f"{_name(look)}.{section.type}"
            try:
                staged.rows[path] = _split(source, look, target, section)
            except BadFile as fault:
                staged.bad[path] = fault.bad
                return
        staged.copies[path] = target
        if store is None:
            staged.addresses[path] = f"file://{target}"
        else:
            staged.addresses[path] = store.put(folder.name, target)
            target.unlink()

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
            f"{look.ref.path} has {counted(target.stat().st_size, 'byte')}, and {look.ref.size} "
            "were listed"
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


def copies_address(folder: Path, store: CopyStore | None) -> str:
    """How the addresses of a batch's copies begin, as Spark reads them."""
    return f"file://{folder}/" if store is None else f"{store.address}{folder.name}/"


@contextmanager
def naming_unseen_copies(address: str) -> Iterator[None]:
    """Turn an error of Spark about a copy that it does not find into one about the address.

    Each copy was made a moment ago, so it is there, and no file is bad because of it.

    Raises:
        UsageError: Spark does not see what is below ``address``.
    """
    try:
        yield
    except AutoloaderError:
        raise
    except Exception as error:  # Spark's; all others go on as they are
        text = unquote(str(error))
        if address.removeprefix("file://") not in text or not is_not_found(error):
            raise
        raise UsageError(
            f"the Spark server does not find the copies in {address}: {short(error)}",
            "Set AUTOLOADER_STAGING to an address on an object store, or to a folder that the "
            "driver and each executor see under the same path. 'autoloader doctor' checks it. The "
            "files wait for the next run.",
        ) from error


def unstage(folder: Path, store: CopyStore | None = None) -> None:
    """Remove a batch's copies. Those that an object store keeps now go with a later load."""
    # Without it nothing was copied.
    there = folder.exists()
    shutil.rmtree(folder, ignore_errors=True)
    if store is not None and there:
        try:
            store.remove(folder.name)
        except UsageError as error:
            _log.warning("copies are left in %s%s: %s", store.address, folder.name, error.what)


def unstage_leftovers(root: Path, state: ProcessedFiles, store: CopyStore | None = None) -> None:
    """Remove what killed workers have left: copies of settled batches, and old previews.

    A batch that the state does not know may be another project's, and goes after a day as well.

    Args:
        root: The folder with the staging folders of all batches.
        state: Knows which batches are settled.
        store: The object store with their copies, if there is one.
    """
    if root.is_dir():
        for folder in root.iterdir():
            # Another worker may be faster.
            with suppress(FileNotFoundError):
                if _is_left_over(folder.name, folder.stat().st_mtime, state):
                    unstage(folder)
    if store is not None:
        for name, stored in store.folders():
            if _is_left_over(name, stored, state):
                store.remove(name)


def _is_left_over(name: str, last_change: float, state: ProcessedFiles) -> bool:
    batch = None if name.startswith(PREVIEW) else state.batches.get(BatchId(name))
    if batch is not None:
        return batch.status in ("RECORDED", "RELEASED")
    return time.time() - last_change > _LEFTOVER_SECONDS
