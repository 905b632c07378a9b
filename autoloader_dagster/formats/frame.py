"""From the looks of a batch to the table's columns and the DataFrame to append."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.batch_ids import NO_BATCH, BatchId
from autoloader_dagster.formats.base import Readable, file_format
from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.formats.hints import hint_types
from autoloader_dagster.formats.large_text import check_lines
from autoloader_dagster.formats.outcome import Look
from autoloader_dagster.formats.reading import ReadContext, united
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.specs.section import FormatSection

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from autoloader_dagster.specs.model import IngestionSpec


def columns_of_files(
    spark: "SparkSession",
    spec: "IngestionSpec",
    readable: Sequence[Readable],
    options: dict[str, str],
    known: Sequence[Column],
    format_version: Callable[[], int],
) -> FoundColumns:
    """The columns that these files have, in order of appearance, with inferred types and hints.

    Args:
        spark: The session.
        spec: Style of names, hints.
        readable: The files.
        options: Reader options of the source.
        known: The table's columns.
        format_version: Asked for that of Iceberg, that the table has or will have.

    Raises:
        SpecError: A hint is no type, or none that the table can have.
    """
    hints = hint_types(spark, spec, format_version)
    context = ReadContext(spark, tuple(known), options, NO_BATCH)
    return file_format(spec.format).columns(context, spec, readable, hints, format_version)


def checked_looks(
    spark: "SparkSession",
    spec: "IngestionSpec",
    readable: Sequence[Readable],
    options: dict[str, str],
    source_files: int = 0,
) -> dict[str, Look]:
    """Have Spark check large files of which the look has read a part only, in one job.

    Returns:
        The whole looks of those that are ordinary to their last byte, by path; the others must be
        looked at whole.
    """
    context = ReadContext(spark, (), options, NO_BATCH, source_files)
    own = file_format(spec.format)
    found = check_lines(context, own.line_check(spec.format), [r.file for r in readable])
    checked = {}
    for item in readable:
        facts, text_bytes = found.get(item.file.path), item.look.unchecked_bytes
        if facts and text_bytes is not None and facts.ordinary and facts.is_whole(text_bytes):
            checked[item.file.path] = own.checked(spec.format, item.look, facts)
    return checked


def batch_frame(
    spark: "SparkSession",
    spec: "IngestionSpec",
    readable: Sequence[Readable],
    options: dict[str, str],
    columns: Sequence[Column],
    batch_id: BatchId,
    source_files: int = 0,
) -> "DataFrame":
    """A new DataFrame of all rows of these files, with exactly the table's columns.

    It must be made again for each attempt: Spark Connect keeps the file listing of a DataFrame.
    """
    context = ReadContext(spark, tuple(columns), options, batch_id, source_files)
    return united(file_format(spec.format).frames(context, spec, readable))


def by_group(readable: Sequence[Readable]) -> Mapping[object, list[Readable]]:
    """The files that one reader may read together."""
    groups: dict[object, list[Readable]] = defaultdict(list)
    for item in readable:
        groups[item.look.group].append(item)
    return groups


def read_otherwise(section: FormatSection, readable: Sequence[Readable]) -> list[Readable]:
    """The files that must not be read together with the others; the fewer of the two kinds."""
    reader = file_format(section)
    kinds: dict[bool, list[Readable]] = defaultdict(list)
    for item in readable:
        if not item.look.empty:
            kinds[reader.reads_apart(item.look)].append(item)
    return min(kinds[True], kinds[False], key=len)
