"""The columns that files have together: names from all of them, types from their samples."""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.formats.json.values import original_of
from autoloader_dagster.formats.outcome import Look
from autoloader_dagster.formats.type_inference import ColumnSample, type_of_most
from autoloader_dagster.iceberg.column_names import NameStyle, normalise
from autoloader_dagster.iceberg.columns import Column

if TYPE_CHECKING:
    from autoloader_dagster.specs.model import IngestionSpec


class Names(ABC):
    """Gives each name in some files its column.

    Args:
        style: How names become names of columns: ``schema.names`` of the spec.
        known: The columns of names that were met before, by their exact original names.
        columns: The table's columns, whose spelling names take over.

    Attributes:
        typed_values: Whether values have types of their own, as in JSON.
    """

    typed_values: ClassVar[bool]

    def __init__(
        self, style: NameStyle, known: Mapping[str, str], columns: Sequence[Column] = ()
    ) -> None:
        self._style: NameStyle = style
        self._known = known
        self._columns = [column.name for column in columns]

    def of(self, looks: Iterable[Look]) -> Iterator[tuple[Look, list[str]]]:
        """The good files, each with the columns of its names."""
        names_of: dict[tuple[str, ...], list[str]] = {}
        known = dict(self._known)
        seen: set[str] = set()
        for look in looks:
            if look.group is None:
                continue
            names = names_of.get(look.columns)
            if names is None:
                names = names_of[look.columns] = self._name(look.columns, known, seen)
            yield look, names

    @abstractmethod
    def _name(self, originals: tuple[str, ...], known: dict[str, str], seen: set[str]) -> list[str]:
        """The columns of the names of one file; ``known`` and ``seen`` go on to the next one."""


class CellNames(Names):
    """Names of the cells of a record, by their header or their position, as in CSV."""

    typed_values = False

    def _name(self, originals: tuple[str, ...], known: dict[str, str], seen: set[str]) -> list[str]:
        names = normalise(originals, self._style, known, columns=self._columns)
        for original, name in zip(originals, names, strict=True):
            if name in seen:
                continue
            seen.add(name)
            if original.strip() and name not in known.values():
                # The same that the table's columns will say.
                known.setdefault(original, name)
        return names


class KeyNames(Names):
    """Names that are keys: a key has one column in all files, whatever is beside it."""

    typed_values = True

    def _name(self, originals: tuple[str, ...], known: dict[str, str], seen: set[str]) -> list[str]:
        together = [*known, *(key for key in originals if key not in known)]
        named = normalise(together, self._style, known, by_position=False, columns=self._columns)
        known.update(zip(together, named, strict=True))
        return [known[key] for key in originals]

    def columns_of(self, looks: Iterable[Look]) -> dict[str, str]:
        """The column of each key that was met before or is in these files."""
        keys = dict(self._known)
        for look, names in self.of(looks):
            keys.update(zip(look.columns, names, strict=True))
        return keys


@dataclass(slots=True)
class _Found:
    original: str
    sample: ColumnSample
    originals: dict[str, None] = field(default_factory=dict)


def found_in_samples(
    looks: Sequence[Look],
    spec: "IngestionSpec",
    names: Names,
    hints: Mapping[str, str],
    timestamp_formats: Sequence[str],
) -> FoundColumns:
    """The columns of files that have no types of their own, in order of first appearance.

    A hint is found by the column's name or by its name in any of the files. Where bad files are
    quarantined, a file that has text where most files have none decides no type.

    Args:
        looks: Of all files that are read together; bad ones are passed over.
        spec: What happens to bad rows.
        names: The columns of their names.
        hints: Types by column or original name.
        timestamp_formats: Patterns of times, besides the usual ones.

    Raises:
        SpecError: A timestamp format is not known.
    """

    def new_sample() -> ColumnSample:
        return ColumnSample(timestamp_formats, is_json=names.typed_values)

    odd = frozenset[str]()
    if spec.errors.bad_rows == "quarantine":
        odd = _odd_files(looks, names, new_sample)
    found: dict[str, _Found] = {}
    for look, columns in names.of(looks):
        for original, name in zip(look.columns, columns, strict=True):
            if name not in found:
                found[name] = _Found(original, new_sample())
            found[name].originals[original] = None
        if look.ref.path in odd:
            continue
        samples = [found[name].sample for name in columns]
        for row in look.sample:
            for sample, value in zip(samples, row, strict=True):
                sample.add(value)
    return FoundColumns(
        tuple(
            Column(
                name,
                _hinted(name, column, hints) or column.sample.sql_type,
                original_of(column.original) if names.typed_values else column.original,
            )
            for name, column in found.items()
        ),
        {name: tuple(column.originals) for name, column in found.items()},
        hints,
    )


def _hinted(name: str, column: _Found, hints: Mapping[str, str]) -> str | None:
    called = [name, column.original, *sorted(column.originals)]
    return next((hints[each] for each in called if each in hints), None)


def _odd_files(
    looks: Iterable[Look], names: Names, new_sample: Callable[[], ColumnSample]
) -> frozenset[str]:
    """The files with text in a column that holds no text in most of the files.

    They will be quarantined for it, and so must not decide that the column is text.
    """
    types: dict[str, dict[str, str]] = defaultdict(dict)
    for look, columns in names.of(looks):
        for i, name in enumerate(columns):
            sample = new_sample()
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
