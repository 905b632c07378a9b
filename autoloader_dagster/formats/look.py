"""The look at many files before Spark reads them: which are bad, and which belong together."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from posixpath import basename

from autoloader_dagster.errors import FileChanged, SourceAccessDenied
from autoloader_dagster.formats.base import file_format
from autoloader_dagster.formats.compression import detect
from autoloader_dagster.formats.content import Content
from autoloader_dagster.formats.csv.lines import INLINE_BATCH_BYTES
from autoloader_dagster.formats.outcome import (
    Bad,
    BadFile,
    Compression,
    Group,
    Look,
    TakeSample,
    Value,
)
from autoloader_dagster.formats.parallel import each
from autoloader_dagster.formats.placing import refuse_unreadable_name, stage_as
from autoloader_dagster.sources.base import FileRef, FileSource
from autoloader_dagster.specs.section import FormatSection

__all__ = [
    "Bad",
    "Compression",
    "Group",
    "Look",
    "Value",
    "look_at",
]

# Samples that each group has, however few of its files would be sampled otherwise.
_SAMPLES_A_GROUP = 3
# Rows of all samples together, and of each at least: enough to meet the odd value, and typed in
# a fraction of a second.
_SAMPLE_ROWS, _LEAST_ROWS = 8_000, 50


def look_at(
    source: FileSource,
    refs: Sequence[FileRef],
    section: FormatSection,
    threads: int = 16,
    sample_files: int = 200,
    large_bytes: int | None = None,
) -> Iterator[Look]:
    """Look at files, and yield what was found in the order of ``refs``.

    Memory is bounded: a few chunks a thread, the lines of small files up to a limit, and samples
    of some files only. These are spread evenly over ``refs``, with the first ones of every group
    besides.

    Args:
        source: Where the files are.
        refs: The listed versions.
        section: How they should be written.
        threads: Files that are looked at at the same time where they are waited for.
        sample_files: About how many looks carry a sample.
        large_bytes: Of texts from this size on only a part is read, where Spark can check the rest;
            None to read every file whole.

    Raises:
        SourceError: The source cannot be read. A file that has changed or cannot be read is no
            such error but a look with ``changed`` or ``denied``.
    """
    every = max(len(refs) // max(sample_files, 1), 1)
    rows = max(_SAMPLE_ROWS // max(min(len(refs), sample_files), 1), _LEAST_ROWS)
    spread = {ref.path for ref in refs[::every]}
    samples_of: dict[Group | None, int] = {}
    room = INLINE_BATCH_BYTES

    def is_sampled(look: Look) -> bool:
        if look.group is None:
            return False
        return look.ref.path in spread or samples_of.get(look.group, 0) < _SAMPLES_A_GROUP

    def work(ref: FileRef) -> Look:
        look, take_sample = _look_at_one(source, ref, section, rows, large_bytes)
        # At once, because what a sample is taken from is large. Files before this one may still be
        # worked on, so that this is asked once more below.
        return replace(look, sample=take_sample(rows)) if take_sample and is_sampled(look) else look

    for look in each(work, refs, threads):
        if look.lines is not None:
            if len(look.lines.text) > room and not look.lines.needed:
                look = replace(look, lines=None)
            else:
                room -= len(look.lines.text)
        if is_sampled(look):
            samples_of[look.group] = samples_of.get(look.group, 0) + 1
            yield look
        else:
            yield replace(look, sample=())


def _look_at_one(
    source: FileSource, ref: FileRef, section: FormatSection, rows: int, large_bytes: int | None
) -> tuple[Look, TakeSample | None]:
    """Look at one file.

    Returns:
        The look, and what takes its sample where that is put off until it is wanted.
    """
    look, reader = Look(ref), file_format(section)
    try:
        refuse_unreadable_name(ref)
        if not ref.size:
            raise BadFile("EmptyFile", "is empty (0 bytes)")
        content = Content(source, ref, reader.head_bytes, large_bytes)
        compression: Compression = "none"
        if reader.reads_by_suffix:
            compression = detect(content.head, basename(ref.path))
        suffix = stage_as(
            ref, section.type, compression, reader.reads_by_suffix, source.read_in_place
        )
        look = replace(look, compression=compression, stage_as=suffix)
        return reader.look(content, section, look, rows)
    except BadFile as fault:
        return replace(look, bad=fault.bad), None
    except SourceAccessDenied as error:
        return replace(look, bad=Bad("AccessDenied", error.what), denied=error), None
    except FileChanged as error:
        bad = Bad("FileChanged", "was replaced, changed or deleted after it was listed")
        return replace(
            look, bad=replace(bad, message=f"{bad.message} ({error.what})"), changed=True
        ), None
