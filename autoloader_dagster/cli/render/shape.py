"""Describes a kind of result once: the keys of its JSON and the columns of its table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autoloader_dagster.cli.output import moment, print_some, print_table


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a result.

    Attributes:
        key: Its name in JSON; empty if programs do not get it.
        column: Its column in the table; empty if people do not see it. A column whose name begins
            with ``>`` holds numbers.
        of: The attribute or the key that has the value, or a function of the result; the ``key`` by
            default.
        shown: What people see of the value; the value itself by default.
        path: Whether it is the address of a file, of which people see the part below the source.
    """

    key: str
    column: str = ""
    of: str | Callable[[Any], object] = ""
    shown: Callable[[Any], object] | None = None
    path: bool = False

    def value(self, result: Any) -> Any:
        """The value, for programs."""
        if callable(self.of):
            return self.of(result)
        name = self.of or self.key
        return result[name] if isinstance(result, Mapping) else getattr(result, name)

    def cell(self, result: Any, base: str) -> object:
        """The value, for people."""
        value = self.value(result)
        if self.path and value is not None:
            return str(value).removeprefix(base)
        return self.shown(value) if self.shown else value


class Shape:
    """The fields of one kind of result, in the order of its JSON.

    Example:
        >>> LEFT = Shape(Field("path", "file", path=True), Field("reason", "why"))
        >>> LEFT.json({"path": "/in/a.csv", "reason": "is not loaded"})
        {'path': '/in/a.csv', 'reason': 'is not loaded'}
    """

    def __init__(self, *fields: Field) -> None:
        self._fields = fields

    def json(self, result: Any) -> dict[str, Any]:
        """One result for programs; the keys are a contract."""
        values = {field.key: field.value(result) for field in self._fields if field.key}
        return {k: moment(v) if isinstance(v, datetime) else v for k, v in values.items()}

    def json_list(self, results: Iterable[Any]) -> list[dict[str, Any]]:
        """Several results for programs."""
        return [self.json(result) for result in results]

    def print(
        self,
        results: Iterable[Any],
        title: str = "",
        *,
        columns: Sequence[str] = (),
        base: str = "",
    ) -> None:
        """Print all results as a table.

        Args:
            results: A row each.
            title: Printed above the table.
            columns: Which columns, without ``>``, and in which order; all of them by default.
            base: What the addresses of the files begin with.
        """
        fields = self._columns(columns)
        rows = ([field.cell(result, base) for field in fields] for result in results)
        print_table([field.column for field in fields], rows, title)

    def print_some(
        self,
        results: Sequence[Any],
        title: str = "",
        *,
        columns: Sequence[str] = (),
        base: str = "",
        where: str = "--json",
    ) -> None:
        """Print the first results as a table, and how many more there are; nothing for none.

        Args:
            results: All of them.
            title: As for ``print``.
            columns: As for ``print``.
            base: As for ``print``.
            where: What shows all of them.
        """
        if not results:
            return
        fields = self._columns(columns)
        rows = [[field.cell(result, base) for field in fields] for result in results]
        print_some([field.column for field in fields], rows, title, where)

    def _columns(self, names: Sequence[str]) -> list[Field]:
        by_name = {f.column.removeprefix(">"): f for f in self._fields if f.column}
        return [by_name[name] for name in names] if names else list(by_name.values())
