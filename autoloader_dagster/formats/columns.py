"""The columns that files have together: names from all of them, types from their samples."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from autoloader_dagster.formats.csv.group import CsvGroup
from autoloader_dagster.formats.csv.options import CsvFormat
from autoloader_dagster.formats.json.options import JsonFormat
from autoloader_dagster.formats.json.values import original_of
from autoloader_dagster.formats.outcome import Look
from autoloader_dagster.formats.type_inference import ColumnSample, type_of_most
from autoloader_dagster.iceberg.column_names import normalise
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
    originals: set[str] = field(default_factory=set)


def sniff_columns(
    looks: Iterable[Look],
    spec: IngestionSpec,
    known: Mapping[str, str] | None = None,
    hints: Mapping[str, str] | None = None,
    columns: Sequence[str] = (),
) -> dict[str, SniffedColumn]:
    """The columns of CSV or JSON files, in order of first appearance.

    A hint is found by the column's name or by its name in any of the files. Where bad files are
    quarantined, a file that has text where most files have none decides no type.

    Args:
        looks: Of all files that are read together; bad ones are passed over.
        spec: Style of names, hints and timestamp formats.
        known: The columns of names that were met before, by their exact original names.
        hints: Types by column or original name; default those of the spec.
        columns: The table's columns, whose spelling names take over.

    Returns:
        For each column its type and original name.

    Raises:
        SpecError: A timestamp format is not known.
        ValueError: The files are Parquet, which have types of their own.
    """
    if not isinstance(spec.format, CsvFormat | JsonFormat):
        raise ValueError("Parquet files have types of their own")
    looks, is_json = list(looks), isinstance(spec.format, JsonFormat)
    hints = spec.columns.types if hints is None else hints
    odd = frozenset[str]()
    if spec.errors.bad_rows == "quarantine":
        odd = _odd_files(looks, spec, known, columns)
    found: dict[str, _Found] = {}
    for look, names in _named(looks, spec, known, columns):
        for original, name in zip(look.columns, names, strict=True):
            if name not in found:
                found[name] = _Found(original, _sample(spec))
            found[name].originals.add(original)
        if look.ref.path in odd:
            continue
        samples = [found[name].sample for name in names]
        for row in look.sample:
            for sample, value in zip(samples, row, strict=True):
                sample.add(value)
    return {
        name: SniffedColumn(
            _hinted(name, column, hints) or column.sample.sql_type,
            original_of(column.original) if is_json else column.original,
        )
        for name, column in found.items()
    }


def names_in_files(
    looks: Iterable[Look],
    spec: IngestionSpec,
    known: Mapping[str, str] | None = None,
    columns: Sequence[str] = (),
) -> dict[str, tuple[str, ...]]:
    """All names that each column has in CSV or JSON files; the arguments of ``sniff_columns``."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for look, names in _named(looks, spec, known, columns):
        for original, name in zip(look.columns, names, strict=True):
            found[name][original] = None
    return {name: tuple(originals) for name, originals in found.items()}


def columns_of_keys(
    looks: Iterable[Look],
    spec: IngestionSpec,
    known: Mapping[str, str],
    columns: Sequence[str] = (),
) -> dict[str, str]:
    """The column of each JSON key that was met before or is in these files.

    Args:
        looks: The files.
        spec: Style of names.
        known: The columns of keys that were met before.
        columns: The table's columns.
    """
    keys = dict(known)
    for look in looks:
        if look.group is not None:
            _names_of_keys(look.columns, spec, keys, columns)
    return keys


def _named(
    looks: Iterable[Look],
    spec: IngestionSpec,
    known: Mapping[str, str] | None,
    columns: Sequence[str],
) -> Iterator[tuple[Look, list[str]]]:
    """The files with the columns of their names."""
    names_of: dict[tuple[str, ...], list[str]] = {}
    keys = dict(known or {})
    seen: set[str] = set()
    for look in looks:
        if look.group is None:
            continue
        names = names_of.get(look.columns)
        if names is None:
            if isinstance(look.group, CsvGroup):
                names = normalise(look.columns, spec.columns.names, keys, columns=columns)
            else:
                names = _names_of_keys(look.columns, spec, keys, columns)
            names_of[look.columns] = names
        for original, name in zip(look.columns, names, strict=True):
            if name in seen:
                continue
            seen.add(name)
            if isinstance(look.group, CsvGroup) and original.strip() and name not in keys.values():
                # The same that the table's columns will say.
                keys.setdefault(original, name)
        yield look, names


def _hinted(name: str, column: _Found, hints: Mapping[str, str]) -> str | None:
    called = [name, column.original, *sorted(column.originals)]
    return next((hints[each] for each in called if each in hints), None)


def _sample(spec: IngestionSpec) -> ColumnSample:
    if not isinstance(spec.format, CsvFormat | JsonFormat):
        raise ValueError("Parquet files have types of their own")
    formats = spec.format.options.timestamp_formats
    return ColumnSample(formats, is_json=isinstance(spec.format, JsonFormat))


def _odd_files(
    looks: Iterable[Look],
    spec: IngestionSpec,
    known: Mapping[str, str] | None,
    columns: Sequence[str],
) -> frozenset[str]:
    """The files with text in a column that holds no text in most of the files.

    They will be quarantined for it, and so must not decide that the column is text.
    """
    types: dict[str, dict[str, str]] = defaultdict(dict)
    for look, names in _named(looks, spec, known, columns):
        for i, name in enumerate(names):
            sample = _sample(spec)
            for row in look.sample:
                sample.add(row[i])
            if any(row[i] is not None for row in look.sample):
                types[name][look.ref.path] = sample.sql_type
    odd: set[str] = set()
    for of_files in types.values():
        chosen = type_of_most(Counter(of_files.values()))
        if chosen != "string":
            odd |= {path for path, sql_type in of_files.items() if sql_type == "string"}
    return frozenset(odd)


def _names_of_keys(
    keys: tuple[str, ...], spec: IngestionSpec, known: dict[str, str], columns: Sequence[str]
) -> list[str]:
    """Columns of JSON keys; a key has one column in all files, whatever stands beside it."""
    together = [*known, *(key for key in keys if key not in known)]
    named = normalise(together, spec.columns.names, known, by_position=False, columns=columns)
    known.update(zip(together, named, strict=True))
    return [known[key] for key in keys]
