"""Types as Spark shows them: their name in SQL, and what an Iceberg table and JSON can hold."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from autoloader_dagster.iceberg.sql import quoted

if TYPE_CHECKING:
    from pyspark.sql.types import DataType

# Of Iceberg's formats, the first that has the type.
_FIRST_WITH_VARIANT = 3


def name_of_type(data_type: "DataType") -> str:
    """A type in SQL; names within it are quoted where SQL would misread them."""
    from pyspark.sql import types as T

    if isinstance(data_type, T.StructType):
        fields = ",".join(
            f"{_within(field.name)}:{name_of_type(field.dataType)}" for field in data_type.fields
        )
        return f"struct<{fields}>"
    if isinstance(data_type, T.ArrayType):
        return f"array<{name_of_type(data_type.elementType)}>"
    if isinstance(data_type, T.MapType):
        key, value = name_of_type(data_type.keyType), name_of_type(data_type.valueType)
        return f"map<{key},{value}>"
    return data_type.simpleString()


def _within(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else quoted(name)


def not_for_a_table(
    data_type: "DataType", format_version: Callable[[], int], nested: bool = False
) -> str:
    """The part of a type that an Iceberg table cannot have; empty if it can have all of it.

    Args:
        data_type: The type.
        format_version: Asked for the version of Iceberg's format if the answer depends on it.
        nested: Whether it is within another type.
    """
    from pyspark.sql import types as T

    if isinstance(data_type, T.StructType):
        parts = [field.dataType for field in data_type.fields]
        if not parts:
            return "struct<>"
    elif isinstance(data_type, T.ArrayType):
        parts = [data_type.elementType]
    elif isinstance(data_type, T.MapType):
        parts = [data_type.keyType, data_type.valueType]
    else:
        known = (
            T.BooleanType, T.ByteType, T.ShortType, T.IntegerType, T.LongType, T.FloatType,
            T.DoubleType, T.DecimalType, T.StringType, T.BinaryType, T.DateType, T.TimestampType,
            T.TimestampNTZType, T.CharType, T.VarcharType,
        )  # fmt: skip
        fits = isinstance(data_type, known) or (
            isinstance(data_type, T.VariantType) and format_version() >= _FIRST_WITH_VARIANT
        )
        # A column without a type is left out as long as it has none.
        fits = fits or (isinstance(data_type, T.NullType) and not nested)
        return "" if fits else data_type.simpleString()
    found = (not_for_a_table(part, format_version, nested=True) for part in parts)
    return next((part for part in found if part), "")


def is_whole_as_json(data_type: "DataType") -> bool:
    """Whether JSON text holds a value of the type whole; it does not hold every kind of key."""
    from pyspark.sql import types as T

    if isinstance(data_type, T.StructType):
        return all(is_whole_as_json(field.dataType) for field in data_type.fields)
    if isinstance(data_type, T.ArrayType):
        return is_whole_as_json(data_type.elementType)
    if isinstance(data_type, T.MapType):
        key = data_type.keyType
        odd = isinstance(key, T.BinaryType | T.StructType | T.ArrayType | T.MapType)
        return not odd and is_whole_as_json(data_type.valueType)
    return True
