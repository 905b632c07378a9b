"""The columns that files have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autoloader_dagster.formats.outcome import Bad
from autoloader_dagster.iceberg.columns import Column


@dataclass(frozen=True, slots=True)
class FoundColumns:
    """The columns that files have.

    Attributes:
        columns: With inferred types and hints, in order of appearance. Those of the table have the
            table's names.
        names: For each of them its names in the files.
        hints: The spec's hints, with their types as a table shows them.
        bad: Files with columns that no table can have, with the reason; if there are any, the
            columns are not to be used.
    """

    columns: tuple[Column, ...]
    names: Mapping[str, tuple[str, ...]]
    hints: Mapping[str, str] = field(default_factory=dict)
    bad: Mapping[str, Bad] = field(default_factory=dict)


def found_columns(columns: FoundColumns | Sequence[Column]) -> FoundColumns:
    """The columns of a reader that knows no hints and finds no file bad."""
    return columns if isinstance(columns, FoundColumns) else FoundColumns(tuple(columns), {})
