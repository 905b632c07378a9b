"""Parquet as a format of files."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from autoloader_dagster.formats.base import FileFormat, Readable, files_by_group
from autoloader_dagster.formats.content import TAIL_BYTES, Content
from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.formats.outcome import Look, TakeSample
from autoloader_dagster.formats.parquet.columns import parquet_columns, parquet_names
from autoloader_dagster.formats.parquet.group import ParquetGroup
from autoloader_dagster.formats.parquet.look import look_at_parquet
from autoloader_dagster.formats.parquet.options import ParquetFormat
from autoloader_dagster.formats.parquet.read import prepare, read_parquet
from autoloader_dagster.formats.reading import ReadContext

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from autoloader_dagster.specs.model import IngestionSpec


class Parquet(FileFormat[ParquetFormat]):
    """Apache Parquet."""

    section = ParquetFormat
    # Small files are read at once, of others only the ends.
    head_bytes = TAIL_BYTES
    reads_by_suffix = False
    counted_by = "its footer"

    def look(
        self, content: Content, section: ParquetFormat, look: Look, rows: int
    ) -> tuple[Look, TakeSample | None]:
        return look_at_parquet(content, look), None

    def columns(
        self,
        context: ReadContext,
        spec: "IngestionSpec",
        readable: Sequence[Readable],
        hints: Mapping[str, str],
        format_version: Callable[[], int],
    ) -> FoundColumns:
        return parquet_columns(
            context, spec, files_by_group(readable, ParquetGroup), hints, format_version
        )

    def frames(
        self, context: ReadContext, spec: "IngestionSpec", readable: Sequence[Readable]
    ) -> list["DataFrame"]:
        groups = files_by_group(readable, ParquetGroup)
        prepare(context, groups)
        return [
            read_parquet(context, files, group, parquet_names(group, spec, context.columns))
            for group, files in groups.items()
        ]

    def reads_apart(self, look: Look) -> bool:
        # Files of 96-bit timestamps make Spark read a whole query with its other Parquet reader,
        # which fails on files that the usual one reads. No file may depend on what is beside it.
        return isinstance(look.group, ParquetGroup) and bool(look.group.old_times)


FORMAT = Parquet()
