"""Plain text as a format of files: each line is a row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from autoloader_dagster.formats.base import FileFormat, Readable, names_of_cells
from autoloader_dagster.formats.compression import decompressed
from autoloader_dagster.formats.content import Content
from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.formats.outcome import Look, TakeSample
from autoloader_dagster.formats.reading import ReadContext, in_table_order, load_files, reader
from autoloader_dagster.formats.text import checked_text, whole_lines
from autoloader_dagster.formats.typing import typed
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.lineage import RESCUED, add_lineage
from autoloader_dagster.specs.section import FormatSection

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from autoloader_dagster.specs.model import IngestionSpec

_LINE = "line"
# What all files share: one reader reads them.
_GROUP = "text"


class TextFormat(FormatSection):
    """Lines of text in UTF-8: each becomes a row with one column, ``line``."""

    type: Literal["text"] = Field(
        description="Lines of text in UTF-8, such as logs. Each line becomes a row with one "
        "column, line; LF ends a line, and a CR before it is not part of it."
    )


class Lines(FileFormat[TextFormat]):
    """Text, a row a line; an empty line is a row too."""

    section = TextFormat

    def look(
        self, content: Content, section: TextFormat, look: Look, rows: int
    ) -> tuple[Look, TakeSample | None]:
        hint = "text is read as UTF-8; convert the file"
        chunks = decompressed(content.chunks(), look.compression)
        count, last = 0, b"\n"
        for block in whole_lines(checked_text(chunks, "utf-8", hint)):
            count += block.count(b"\n")
            last = block[-1:]
        # The last line may have no end.
        count += last != b"\n"
        return replace(look, group=_GROUP, columns=(_LINE,), rows=count, empty=not count), None

    def columns(
        self,
        context: ReadContext,
        spec: "IngestionSpec",
        readable: Sequence[Readable],
        hints: Mapping[str, str],
        format_version: Callable[[], int],
    ) -> FoundColumns:
        name = _column(context, spec)
        sql_type = hints.get(name) or hints.get(_LINE, "string")
        return FoundColumns((Column(name, sql_type, _LINE),), {name: (_LINE,)}, hints)

    def frames(
        self, context: ReadContext, spec: "IngestionSpec", readable: Sequence[Readable]
    ) -> list["DataFrame"]:
        from pyspark.sql import functions as F

        files = [item.file for item in readable]
        # With more line ends than one, Spark would count lines otherwise than the look.
        lines = load_files(context, reader(context).option("lineSep", "\n"), "text", files)
        of_file = [F.col("_metadata.file_path").alias("_file")] if len(files) > 1 else []
        text = r"regexp_replace(value, '\\r\\z', '')"
        rows = lines.select(F.expr(text).alias("_text"), *of_file)
        name = _column(context, spec)
        types = {column.name: column.sql_type for column in context.columns}
        value = typed("_text", types[name]) if name in types else "cast(null as string)"
        misfit = "if(_value is null, to_json(named_struct('line', _text)), null)"
        rows = rows.select("*", F.expr(value).alias("_value")).select(
            F.col("_value").alias(name),
            F.expr(misfit).alias(RESCUED),
            *(["_file"] if of_file else []),
        )
        rows = add_lineage(context.spark, rows, files, context.batch_id)
        return [in_table_order(rows, context, [name] if name in types else [])]


def _column(context: ReadContext, spec: "IngestionSpec") -> str:
    """The table's column of the lines, which a person may have renamed."""
    (name,) = names_of_cells([_LINE], context, spec)
    return name


FORMAT = Lines()
