"""JSON as a format of files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from autoloader_dagster.formats.base import FileFormat, Readable, by_original, files_by_group
from autoloader_dagster.formats.columns import KeyNames, found_in_samples
from autoloader_dagster.formats.compression import decompressed
from autoloader_dagster.formats.content import Content
from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.formats.json.group import JsonGroup
from autoloader_dagster.formats.json.look import look_at_json
from autoloader_dagster.formats.json.options import JsonFormat
from autoloader_dagster.formats.json.ordinary import can_take_apart
from autoloader_dagster.formats.json.read import read_json
from autoloader_dagster.formats.json.record_texts import BROKEN_DOCUMENT, NOT_UTF8
from autoloader_dagster.formats.json.records import Records
from autoloader_dagster.formats.json.row_numbers import line_in_text
from autoloader_dagster.formats.json.values import key_of
from autoloader_dagster.formats.large_text import LineCheck
from autoloader_dagster.formats.outcome import Bad, Cell, Look, TakeSample
from autoloader_dagster.formats.reading import ReadContext
from autoloader_dagster.formats.text import checked_text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from autoloader_dagster.specs.model import IngestionSpec

_BROKEN = {
    BROKEN_DOCUMENT: Bad(
        "NotJson",
        "is not a JSON document of the layout that the spec says, or has an object with a "
        "key twice, or is nested more than 1,000 deep; not loaded",
    ),
    NOT_UTF8: Bad("WrongEncoding", "has a line that is not UTF-8; JSON is UTF-8, convert the file"),
}


class Json(FileFormat[JsonFormat]):
    """JSON lines and JSON documents."""

    section = JsonFormat
    # The first lines that Python workers take apart in a session cost a second or two.
    apart_from_bytes = 16 << 20

    def look(
        self, content: Content, section: JsonFormat, look: Look, rows: int
    ) -> tuple[Look, TakeSample | None]:
        return look_at_json(content, section.options, look, rows)

    def line_check(self, section: JsonFormat) -> LineCheck:
        # A record that is cut ends otherwise; what ends so and is broken is a bad row.
        ends = "line = '' or endswith(rtrim(' \\t\\r', line), '}') or trim(' \\t\\r', line) = ''"
        return LineCheck("utf-8", ends, "true")

    def split(self, content: Content, section: JsonFormat, look: Look) -> Iterator[str]:
        chunks = checked_text(decompressed(content.chunks(), look.compression), "utf-8")
        for written, _ in Records(chunks, section.options.record_path):
            yield written

    def columns(
        self,
        context: ReadContext,
        spec: "IngestionSpec",
        readable: Sequence[Readable],
        hints: Mapping[str, str],
        format_version: Callable[[], int],
    ) -> FoundColumns:
        formats = self.own(spec).options.timestamp_formats
        looks = [r.look for r in readable]
        return found_in_samples(looks, spec, _names(context, spec), hints, formats)

    def frames(
        self, context: ReadContext, spec: "IngestionSpec", readable: Sequence[Readable]
    ) -> list["DataFrame"]:
        groups = files_by_group(readable, JsonGroup)
        keys = _names(context, spec).columns_of(item.look for item in readable)
        # The name in the files of a column that a person made is not known.
        keys = {c.name: c.name for c in context.columns if c.name not in keys.values()} | keys
        options = self.own(spec).options
        size = sum(_text_bytes(item.look) for item in readable)

        @cache
        def workers() -> bool:
            return size >= self.apart_from_bytes and can_take_apart(context.spark)

        return [read_json(context, options, g, files, keys, workers) for g, files in groups.items()]

    def finds_rows(self, look: Look) -> bool:
        return look.group == JsonGroup("lines") and not look.split

    def row_of(
        self, text: Iterator[bytes], section: JsonFormat, look: Look, wanted: Sequence[Cell]
    ) -> tuple[str, Cell] | None:
        return line_in_text(text, wanted)

    @property
    def broken_rows(self) -> Mapping[str, Bad]:
        return _BROKEN


def _text_bytes(look: Look) -> int:
    """About how much text a file holds; JSON shrinks well."""
    return look.ref.size if look.compression == "none" else 8 * look.ref.size


def _names(context: ReadContext, spec: "IngestionSpec") -> KeyNames:
    known = {key_of(original): name for original, name in by_original(context.columns).items()}
    return KeyNames(spec.columns.names, known, context.columns)


FORMAT = Json()
