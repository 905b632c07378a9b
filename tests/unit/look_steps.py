"""Steps that the tests of the look share: write files, list them, look at them."""

from pathlib import Path

from autoloader_dagster.formats.csv.options import CsvFormat, CsvOptions
from autoloader_dagster.formats.json.options import JsonFormat, JsonOptions
from autoloader_dagster.formats.look import Look, look_at
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.local.source import LocalFileSource

SAMPLES = Path(__file__).parents[2] / "samples"


def csv(**options) -> CsvFormat:
    return CsvFormat(type="csv", options=CsvOptions(**options))


def json(**options) -> JsonFormat:
    return JsonFormat(type="json", options=JsonOptions(**options))


def folder(path: Path) -> LocalFileSource:
    return LocalFileSource(str(path), FileFilter(), "looks")


def listed(source: LocalFileSource) -> list[FileRef]:
    return [ref for page in source.list_pages() for ref in page]


def look_at_folder(path: Path, format) -> list[Look]:
    source = folder(path)
    return list(look_at(source, listed(source), format, threads=2))


def look_at_bytes(tmp_path: Path, data: bytes, format, name: str | None = None) -> Look:
    """The look at one file with this content."""
    place = tmp_path / "one"
    place.mkdir(exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    (place / (name or f"file.{format.type}")).write_bytes(data)
    (look,) = look_at_folder(place, format)
    return look
