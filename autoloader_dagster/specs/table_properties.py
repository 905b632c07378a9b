"""Checks the Iceberg properties whose values are few, and those that Spark does not let be set."""

import re

from autoloader_dagster.specs.values import did_you_mean

# As Spark has them; in other letters they are properties without a meaning.
_RESERVED = {
    "location": "the catalog chooses the folder by table.name",
    "owner": "Spark sets it",
    "provider": "the table is an Iceberg table",
    "external": "the catalog manages the table",
    "is_managed_location": "the catalog manages the table",
    "table_type": "the catalog manages the table",
    "collation": "a hint such as 'string collate unicode' has that of a column",
}
_FILE_FORMATS = ("parquet", "orc", "avro")
_CHOICES = {
    "write.format.default": _FILE_FORMATS,
    "write.delete.format.default": _FILE_FORMATS,
    "write.distribution-mode": ("none", "hash", "range"),
}
_VERSIONS = (1, 2, 3)


def check_property(key: str, value: str) -> None:
    """Refuse a table property with which no table can be made, or nothing be written.

    Raises:
        ValueError: It says what is wrong.
    """
    if key in _RESERVED:
        raise ValueError(f"this cannot be set as a property: {_RESERVED[key]}; remove it")
    if key == "format-version":
        whole = re.fullmatch(r"[+-]?[0-9]{1,9}", value, re.ASCII)
        if not whole or int(value) not in _VERSIONS:
            raise ValueError(f"'{value}' is not a version of Iceberg's format; write 1, 2 or 3")
    choices = _CHOICES.get(key)
    if choices and value.lower() not in choices:
        raise ValueError(
            f"'{value}' is not one of {', '.join(choices)}{did_you_mean(value, choices)}"
        )
