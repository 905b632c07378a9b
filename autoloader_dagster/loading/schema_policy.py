"""How a table's columns follow the files: decided here for a load and for a preview alike.

``schema.mode: evolve`` adds the columns that files have and the table does not; a hint may widen a
column. Nothing here asks a server, so the same files and table always give the same decision.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from autoloader_dagster.errors import SpecError
from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.iceberg.column_names import normalise
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.sql import quoted
from autoloader_dagster.loading.partition_columns import check_partition_by
from autoloader_dagster.specs.model import IngestionSpec

# How alike two names must be for one to be taken as a mistyped form of the other.
_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class SchemaDecision:
    """What happens to a table's columns before files are loaded into it.

    Attributes:
        create: There is no table yet; ``add`` has all of its columns.
        add: Columns of the files that the table does not have, in order of appearance.
        widen: Columns of the table that get a wider type, with that type.
        columns: The table's columns afterwards.
        unmatched_hints: The spec's hints that match no column yet.
    """

    create: bool
    add: tuple[Column, ...]
    widen: Mapping[str, str]
    columns: tuple[Column, ...]
    unmatched_hints: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether the table is created or changed."""
        return bool(self.create or self.add or self.widen)


def decide(
    spec: IngestionSpec, table: Sequence[Column] | None, found: FoundColumns
) -> SchemaDecision:
    """Decide how the table's columns follow the files.

    Args:
        spec: Its hints.
        table: The table's columns without the lineage columns; None if there is no table.
        found: The columns of the files.

    Raises:
        SpecError: A hint gives a column of the table a type that it cannot take, two hints give
            one column two types, or a hint looks like a mistyped name.
    """
    known = tuple(table or ())
    hints = _apply_hints(spec, found.hints, found.names, known)
    add = columns_to_add(known, found.columns)
    kept = [replace(c, sql_type=hints.widen.get(c.name, c.sql_type)) for c in known]
    return SchemaDecision(table is None, add, hints.widen, (*kept, *add), hints.unmatched)


def check_decision(spec: IngestionSpec, decision: SchemaDecision) -> None:
    """Check what can be checked only once no further file leaves the batch.

    Raises:
        SpecError: A new table would not have a column of ``table.partition_by``.
    """
    if decision.create:
        check_partition_by(spec, [column.name for column in decision.add])


def columns_to_add(table: Sequence[Column], found: Sequence[Column]) -> tuple[Column, ...]:
    """The columns of files that a table does not have; names that differ in case are the same."""
    have = {column.name.lower() for column in table}
    return tuple(column for column in found if column.name.lower() not in have)


@dataclass(frozen=True, slots=True)
class _HintsApplied:
    """What the hints mean for the table.

    Attributes:
        widen: Columns of the table that a hint gives a wider type, with that type.
        unmatched: Hints that match no column yet.
    """

    widen: Mapping[str, str]
    unmatched: tuple[str, ...]


def _apply_hints(
    spec: IngestionSpec,
    hints: Mapping[str, str],
    found: Mapping[str, Sequence[str]],
    table: Sequence[Column],
) -> _HintsApplied:
    """Hold the hints against the columns of the files and of the table.

    Args:
        spec: The spec.
        hints: Its hints, as ``hint_types`` gives them.
        found: The columns of the files, each with its names in the files.
        table: The table's columns.

    Raises:
        SpecError: A hint gives a column of the table a type that it cannot take, or two hints give
            one column two types, or a hint looks like a mistyped name.
    """
    if not hints:
        return _HintsApplied({}, ())
    names: dict[str, set[str]] = {name: {name, *originals} for name, originals in found.items()}
    for column in table:
        names.setdefault(column.name, {column.name}).add(column.original or column.name)
    hinted: dict[str, str] = {}
    widen: dict[str, str] = {}
    types = {column.name: column.sql_type for column in table}
    for column, called in names.items():
        for hint in sorted(called & hints.keys()):
            other = hinted.setdefault(column, hint)
            if hints[other] != hints[hint]:
                raise SpecError(
                    f"schema.hints of {spec.name}: '{other}' and '{hint}' are the same column "
                    f"'{column}', and give it two types: {hints[other]} and {hints[hint]}",
                    "Remove one of them.",
                )
        if column in hinted and column in types:
            wanted = hints[hinted[column]]
            if wanted != types[column]:
                _check_widening(spec, hinted[column], wanted, column, types[column])
                widen[column] = wanted
    every = {name for called in names.values() for name in called}
    unmatched = [hint for hint in hints if hint not in every]
    for hint in unmatched:
        _refuse_slip(spec, hint, {n: c for n, c in names.items() if n not in hinted})
    return _HintsApplied(widen, tuple(hint for hint in unmatched if hint in spec.columns.hints))


def _check_widening(spec: IngestionSpec, hint: str, wanted: str, column: str, have: str) -> None:
    narrow, wide = (re.fullmatch(r"decimal\((\d+),(\d+)\)", t) for t in (have, wanted))
    if (have, wanted) in {("int", "bigint"), ("float", "double")} or (
        narrow and wide and narrow[2] == wide[2] and int(narrow[1]) < int(wide[1])
    ):
        return
    raise SpecError(
        f"schema.hints of {spec.name}: '{hint}' is {wanted}, and column '{column}' of "
        f"{spec.table.name} is {have}, which Iceberg does not change to {wanted}",
        f"Set the hint to {have} or remove it. To have {wanted}: load into a new table (set "
        f"table.name, then autoloader reconcile {spec.name} --yes); or, unless the table is "
        "partitioned or sorted by it, drop the column "
        f"(ALTER TABLE {spec.table.name} DROP COLUMN {quoted(column)}) and "
        f"load the files again (autoloader reload {spec.name}).",
    )


def _refuse_slip(spec: IngestionSpec, hint: str, names: Mapping[str, set[str]]) -> None:
    """Refuse a hint that matches no column but nearly one, unless the spec expects that.

    Raises:
        SpecError: It is nearly the name of a column without a hint.
    """
    if hint in spec.columns.optional_hints:
        return
    column = _nearest(hint, names)
    if column is None:
        return
    what = "files" if spec.columns.names == "original" else "table"
    raise SpecError(
        f"schema.hints of {spec.name}: '{hint}' matches no column of the files or of "
        f"{spec.table.name}; did you mean '{column}'?",
        f"Write the name as the {what} has it. If the column '{hint}' is yet to come, move the "
        "hint to schema.optional_hints.",
    )


def _nearest(hint: str, names: Mapping[str, set[str]]) -> str | None:
    plain = _plain(hint)
    by_plain: dict[str, str] = {}
    for column, called in names.items():
        for name in called:
            by_plain.setdefault(_plain(name), column)
    close = get_close_matches(plain, list(by_plain), n=1, cutoff=_ALIKE)
    return by_plain[close[0]] if close else None


def _plain(name: str) -> str:
    return normalise([name])[0]
