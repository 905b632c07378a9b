"""The look at many files before Spark reads them: which are bad, and which belong together."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from posixpath import basename

from autoloader_dagster.errors import FileChanged, SourceAccessDenied
from autoloader_dagster.formats.compression import detect
from autoloader_dagster.formats.content import HEAD_BYTES, TAIL_BYTES, Content
from autoloader_dagster.formats.csv.group import CsvGroup
from autoloader_dagster.formats.csv.lines import INLINE_BATCH_BYTES
from autoloader_dagster.formats.csv.look import look_at_csv
from autoloader_dagster.formats.csv.options import CsvFormat
from autoloader_dagster.formats.json.group import JsonGroup
from autoloader_dagster.formats.json.look import look_at_json
from autoloader_dagster.formats.json.options import JsonFormat
from autoloader_dagster.formats.outcome import (
    Bad,
    Compression,
    Group,
    Look,
    SetAside,
    TakeSample,
    Value,
)
from autoloader_dagster.formats.parallel import each
from autoloader_dagster.formats.parquet.group import ParquetGroup
from autoloader_dagster.formats.parquet.look import look_at_parquet
from autoloader_dagster.formats.placing import refuse_unreadable_name, stage_as
from autoloader_dagster.sources.base import FileRef, FileSource
from autoloader_dagster.specs.format import Format

__all__ = [
    "Bad",
    "Compression",
    "CsvGroup",
    "Group",
    "JsonGroup",
    "Look",
    "ParquetGroup",
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
    format: Format,
    threads: int = 16,
    sample_files: int = 200,
) -> Iterator[Look]:
    """Look at files, and yield what was found in the order of ``refs``.

    Memory is bounded: a few chunks a thread, the lines of small files up to a limit, and samples
    of some files only. These are spread evenly over ``refs``, with the first ones of every group
    besides.

    Args:
        source: Where the files are.
        refs: The listed versions.
        format: How they should be written.
        threads: Files that are looked at at the same time where they are waited for.
        sample_files: About how many looks carry a sample.

    Raises:
        SourceError: The source cannot be read. A file that has changed or may not be read is no
            such error but a look with ``changed`` or ``denied``.
    """
    every = max(len(refs) // max(sample_files, 1), 1)
    rows = max(_SAMPLE_ROWS // max(min(len(refs), sample_files), 1), _LEAST_ROWS)
    samples_of: dict[Group | None, int] = {}
    room = INLINE_BATCH_BYTES
    found = each(lambda ref: _look_at_one(source, ref, format, rows), refs, threads)
    for i, (look, take_sample) in enumerate(found):
        if look.lines is not None:
            if len(look.lines.text) > room and not look.lines.needed:
                look = replace(look, lines=None)
            else:
                room -= len(look.lines.text)
        count = samples_of.get(look.group, 0)
        if look.group is None or (i % every and count >= _SAMPLES_A_GROUP):
            yield replace(look, sample=())
            continue
        samples_of[look.group] = count + 1
        yield replace(look, sample=take_sample(rows)) if take_sample else look


def _look_at_one(
    source: FileSource, ref: FileRef, format: Format, rows: int
) -> tuple[Look, TakeSample | None]:
    """Look at one file.

    Returns:
        The look, and what takes its sample where that is put off until it is wanted.
    """
    look = Look(ref)
    try:
        refuse_unreadable_name(ref)
        if not ref.size:
            raise SetAside("EmptyFile", "is empty (0 bytes)")
        is_text = isinstance(format, CsvFormat | JsonFormat)
        # Small Parquet files are read at once, of others only the ends.
        content = Content(source, ref, HEAD_BYTES if is_text else TAIL_BYTES)
        if not is_text:
            look = replace(look, stage_as=stage_as(ref, format.type, "none"))
            return look_at_parquet(content, look), None
        compression = detect(content.head, basename(ref.path))
        look = replace(
            look, compression=compression, stage_as=stage_as(ref, format.type, compression)
        )
        if isinstance(format, CsvFormat):
            return look_at_csv(content, format.options, look)
        return look_at_json(content, format.options, look, rows), None
    except SetAside as fault:
        return replace(look, bad=fault.bad), None
    except SourceAccessDenied as error:
        return replace(look, bad=Bad("AccessDenied", error.what), denied=error), None
    except FileChanged as error:
        bad = Bad("FileChanged", "was replaced, changed or deleted after it was listed")
        return replace(
            look, bad=replace(bad, message=f"{bad.message} ({error.what})"), changed=True
        ), None
