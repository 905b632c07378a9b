"""A column of an Iceberg table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    Attributes:
        name: Its name in the table.
        sql_type: Its Spark SQL type.
        original: Its name in the files; empty if unknown.
        refused_where: The SQL condition of the rows that it refuses, because a person has made it
            NOT NULL; empty if it takes all.
    """

    name: str
    sql_type: str
    original: str = ""
    refused_where: str = ""
