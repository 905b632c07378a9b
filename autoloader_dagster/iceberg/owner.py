"""The properties that say which ingestion loads a table, and which one made a snapshot."""

from collections.abc import Mapping

# The first is for people. Spark hides the value of a property that holds 'url' or 'token', and
# 'hourly' does; so the second, which is read, has hexadecimal digits.
_INGESTION_SHOWN, INGESTION_PROPERTY = "autoloader.ingestion", "autoloader.ingestion-hex"


def owner_properties(ingestion_id: str) -> dict[str, str]:
    """The properties that say which ingestion loads a table."""
    return {_INGESTION_SHOWN: ingestion_id, **maker_properties(ingestion_id)}


def owner_in(properties: Mapping[str, str]) -> str | None:
    """The ingestion that loads the table with these properties; None if they name none."""
    return ingestion_of(properties.get(INGESTION_PROPERTY))


def maker_properties(ingestion_id: str) -> dict[str, str]:
    """The properties that say which ingestion made a snapshot."""
    return {INGESTION_PROPERTY: ingestion_id.encode().hex()}


def ingestion_of(value: str | None) -> str | None:
    """The ingestion that the value of the property names; None if it names none."""
    try:
        return bytes.fromhex(value or "").decode() or None
    except ValueError:
        # Written by a person.
        return None
