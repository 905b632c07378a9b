"""The columns that files have together: names from all of them, types from their samples."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from autoloader_dagster.inspection.column_names import normalise
from autoloader_dagster.inspection.json_values import original_of
from autoloader_dagster.inspection.outcome import CsvGroup, Look
from autoloader_dagster.inspection.type_inference import ColumnSample
from autoloader_dagster.specs.format import CsvFormat, JsonFormat
from autoloader_dagster.specs.model import IngestionSpec


class SniffedColumn(NamedTuple):
    """A column as the files suggest it.

    Attributes:
        sql_type: Spark SQL type, from the spec's hint or from the sample.
        original: The name in the file where it appeared first.
    """

    sql_type: str
    original: str


@dataclass(slots=True)
class _Found:
    original: str
    sample: ColumnSample


def sniff_columns(
    looks: Iterable[Look], spec: IngestionSpec, known: Mapping[str, str] | None = None
) -> dict[str, SniffedColumn]:
    """The columns of CSV or JSON files, in order of first appearance.

    A hint is found by the column's name or by its original name; hints for other names wait for
    columns yet to come.

    Args:
        looks: Of all files that are read together; bad ones are passed over.
        spec: Style of names, hints and timestamp formats.
        known: The columns of names that were met before, by their exact original names.

    Returns:
        For each column its type and original name.

    Raises:
        SpecError: A timestamp format is not known.
        ValueError: The files are Parquet, which have types of their own.
    """
    if not isinstance(spec.format, CsvFormat | JsonFormat):
        raise ValueError("Parquet files have types of their own")
    formats, is_json = spec.format.options.timestamp_formats, isinstance(spec.format, JsonFormat)
    found: dict[str, _Found] = {}
    names_of: dict[tuple[str, ...], list[str]] = {}
    keys = dict(known or {})
    for look in looks:
        if look.group is None:
            continue
        names = names_of.get(look.columns)
        if names is None:
            if isinstance(look.group, CsvGroup):
                names = normalise(look.columns, spec.columns.names, keys)
            else:
                names = _names_of_keys(look.columns, spec, keys)
            names_of[look.columns] = names
        for original, name in zip(look.columns, names, strict=True):
            if name not in found:
                found[name] = _Found(original, ColumnSample(formats, is_json=is_json))
                is_new = original.strip() and name not in keys.values()
                if isinstance(look.group, CsvGroup) and is_new:
                    # The same that the table's columns will say.
                    keys.setdefault(original, name)
        samples = [found[name].sample for name in names]
        for row in look.sample:
            for sample, value in zip(samples, row, strict=True):
                sample.add(value)
    hints = spec.columns.hints
    return {
        name: SniffedColumn(
            hints.get(name) or hints.get(column.original) or column.sample.sql_type,
            original_of(column.original) if is_json else column.original,
        )
        for name, column in found.items()
    }


def _names_of_keys(keys: tuple[str, ...], spec: IngestionSpec, known: dict[str, str]) -> list[str]:
    """Columns of JSON keys; a key has one column in all files, whatever stands beside it."""
    together = [*known, *(key for key in keys if key not in known)]
    named = normalise(together, spec.columns.names, known, by_position=False)
    known.update(zip(together, named, strict=True))
    return [known[key] for key in keys]
