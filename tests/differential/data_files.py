"""The rows of a table, from its data files as pyarrow reads them.

pyiceberg says which files a table has, and what its columns are called. Its own reader gives no
values for fields of some names in lists of lists, and empty lists for nulls in some structs.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import schema_to_pyarrow

_FIELD_ID = b"PARQUET:field_id"


def read_rows(table: Any) -> tuple[dict[str, str], dict[str, list[Any]]]:
    """Column -> Arrow type, and column -> values of all rows; the rows only have been appended.

    Args:
        table: A pyiceberg table.
    """
    schema = schema_to_pyarrow(table.schema(), include_field_ids=False)
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for task in table.scan().plan_files():
        assert not task.delete_files
        data = pq.ParquetFile(task.file.file_path.removeprefix("file:")).read()
        there = {_name(table, field): i for i, field in enumerate(data.schema)}
        for name, values in columns.items():
            if name not in there:
                values += [None] * data.num_rows
                continue
            field, column = data.schema.field(there[name]), data.column(there[name])
            if pa.types.is_nested(field.type):
                named = _renamed(table, field.type)
                values += [named(value) for value in column.to_pylist()]
            else:
                values += _values(column)
    return {field.name: str(field.type) for field in schema}, columns


def _name(table: Any, field: pa.Field) -> str:
    # Names in data files have no characters but letters and digits.
    return table.schema().find_field(int(field.metadata[_FIELD_ID])).name


def _renamed(table: Any, kind: pa.DataType) -> Callable[[Any], Any]:
    """What gives a value of this type the table's names."""
    types = pa.types
    if types.is_struct(kind):
        fields = [(f.name, _name(table, f), _renamed(table, f.type)) for f in kind]
        return lambda value: value and {name: part(value[own]) for own, name, part in fields}
    if types.is_map(kind):
        key, item = _renamed(table, kind.key_type), _renamed(table, kind.item_type)
        return lambda value: value and [(key(k), item(v)) for k, v in value]
    if types.is_list(kind) or types.is_large_list(kind):
        element = _renamed(table, kind.value_type)
        return lambda value: value and [element(part) for part in value]
    return lambda value: value


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values; times that Python has no value for are texts."""
    try:
        return column.to_pylist()
    except (OverflowError, ValueError):
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return repr(scalar)
