"""Large files, of which the look has read a part only and Spark checks the rest."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from autoloader_dagster.counts import counted
from autoloader_dagster.formats.base import Readable
from autoloader_dagster.formats.look import look_at
from autoloader_dagster.formats.outcome import Look
from autoloader_dagster.loading.lakehouse import Frames
from autoloader_dagster.loading.progress import Progress, no_progress
from autoloader_dagster.sources.base import FileSource
from autoloader_dagster.spark.errors import short
from autoloader_dagster.spark.session import translate
from autoloader_dagster.specs.section import FormatSection

_log = logging.getLogger(__name__)


def check_large(
    frames: Frames,
    source: FileSource,
    section: FormatSection,
    readable: Sequence[Readable],
    progress: Progress = no_progress,
    source_files: int = 0,
) -> dict[str, Look]:
    """The whole looks at large files of which only a part was read, by path.

    Spark checks all of them in one job. Those that it does not find ordinary are read here from end
    to end; they may be bad.

    Args:
        frames: Asks Spark.
        source: Opens the files.
        section: How they are written.
        readable: The files of a batch, large or not.
        progress: Told what is done now.
        source_files: How many files the source has, as far as is known.

    Raises:
        SparkUnavailable: The server went away.
        SourceError: The source cannot be read.
    """
    large = [item for item in readable if item.look.unchecked_bytes is not None]
    if not large:
        return {}
    progress("checking the large files")
    looks = _ordinary(frames, large, source_files)
    odd = [item for item in large if item.file.path not in looks]
    if odd:
        progress("reading large files whole")
        refs = [item.look.ref for item in odd]
        looks |= {look.ref.path: look for look in look_at(source, refs, section)}
    return looks


def with_looks(readable: Sequence[Readable], looks: dict[str, Look]) -> list[Readable]:
    """The files with these looks where there are some."""
    return [replace(item, look=looks.get(item.file.path, item.look)) for item in readable]


def _ordinary(frames: Frames, large: Sequence[Readable], source_files: int) -> dict[str, Look]:
    """What Spark finds; nothing if it cannot read one of them, because the look finds why."""
    try:
        return frames.checked_looks(large, source_files)
    except Exception as error:  # Spark's; one of the files may be damaged
        gone = translate(error, "the Spark server")
        if gone is not None:
            raise gone from error
        _log.info("Spark could not check %s: %s", counted(len(large), "large file"), short(error))
        return {}
