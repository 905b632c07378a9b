"""A column of an Iceberg table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    Attributes:
        name: Its name in the table.
        sql_type: Its Spark SQL type.
        original: Its name in the files; empty if unknown.
    """

    name: str
    sql_type: str
    original: str = ""
