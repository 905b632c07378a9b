"""CSV as a format of files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from autoloader_dagster.counts import counted
from autoloader_dagster.formats.base import (
    FileFormat,
    Readable,
    by_original,
    files_by_group,
    names_of_cells,
)
from autoloader_dagster.formats.columns import CellNames, found_in_samples
from autoloader_dagster.formats.content import Content
from autoloader_dagster.formats.csv.delimiter import delimiter_note
from autoloader_dagster.formats.csv.group import CsvGroup
from autoloader_dagster.formats.csv.line_check import csv_line_check
from autoloader_dagster.formats.csv.look import look_at_csv
from autoloader_dagster.formats.csv.options import CsvFormat
from autoloader_dagster.formats.csv.read import read_csv
from autoloader_dagster.formats.csv.row_numbers import row_in_lines, row_in_text
from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.formats.large_text import LineCheck, TextFacts
from autoloader_dagster.formats.outcome import Bad, Cell, Look, TakeSample
from autoloader_dagster.formats.reading import ReadContext

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from autoloader_dagster.specs.model import IngestionSpec


class Csv(FileFormat[CsvFormat]):
    """Delimited text."""

    section = CsvFormat
    broken_record = "it has not the cells of the header:"

    def look(
        self, content: Content, section: CsvFormat, look: Look, rows: int
    ) -> tuple[Look, TakeSample | None]:
        return look_at_csv(content, section.options, look)

    def line_check(self, section: CsvFormat) -> LineCheck:
        return csv_line_check(section.options)

    def checked(self, section: CsvFormat, look: Look, facts: TextFacts) -> Look:
        rows = facts.records - section.options.header
        return replace(look, rows=rows, empty=not rows, unchecked_bytes=None)

    def notes(self, section: CsvFormat, looks: Sequence[Look]) -> tuple[str, ...]:
        note = delimiter_note(looks, section.options.delimiter)
        return () if note is None else (note,)

    def columns(
        self,
        context: ReadContext,
        spec: "IngestionSpec",
        readable: Sequence[Readable],
        hints: Mapping[str, str],
        format_version: Callable[[], int],
    ) -> FoundColumns:
        formats = self.own(spec).options.timestamp_formats
        names = CellNames(spec.columns.names, by_original(context.columns), context.columns)
        return found_in_samples([r.look for r in readable], spec, names, hints, formats)

    def frames(
        self, context: ReadContext, spec: "IngestionSpec", readable: Sequence[Readable]
    ) -> list["DataFrame"]:
        groups = files_by_group(readable, CsvGroup)
        column_of = {g: tuple(names_of_cells(g.header, context, spec)) for g in groups}
        return read_csv(context, self.own(spec).options, groups, column_of)

    def finds_rows(self, look: Look) -> bool:
        return look.lines is None and isinstance(look.group, CsvGroup)

    def row_of(
        self, text: Iterator[bytes], section: CsvFormat, look: Look, wanted: Sequence[Cell]
    ) -> tuple[str, Cell] | None:
        return row_in_text(text, look, section.options, wanted)

    def row_in_look(
        self, section: CsvFormat, look: Look, wanted: Sequence[Cell]
    ) -> tuple[str, Cell] | None:
        return row_in_lines(look.lines, look, section.options, wanted) if look.lines else None

    def rows_missing(self, look: Look, rows: int) -> Bad | None:
        if look.rows in (None, rows) or rows == 0:
            return None
        return Bad(
            "RowsMissing",
            f"has {counted(look.rows, 'record')}, and Spark made {counted(rows, 'row')} of that; "
            "check its quotes and line ends, and format.options.quote, escape and multiline",
        )


FORMAT = Csv()
