"""Which catalogs a Spark server has, and the message for a table in one that it does not have."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from autoloader_dagster.errors import TableUnavailable
from autoloader_dagster.spark.errors import catalog_error
from autoloader_dagster.specs.values import did_you_mean

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_CATALOG = re.compile(r"spark\.sql\.catalog\.([^.]+)")
# What an address begins with, before a name and a password.
_SCHEME = re.compile(r"^(?:jdbc:)?[a-z][\w+.-]*:(?://)?", re.IGNORECASE)
# What Spark says if the first part of a table's name is no catalog.
_UNKNOWN = ("REQUIRES_SINGLE_PART_NAMESPACE", "CATALOG_NOT_FOUND", "is not a valid catalog")


def catalogs_in(settings: Iterable[str]) -> list[str]:
    """The catalogs that are configured by these names of settings."""
    return sorted({match[1] for key in settings if (match := _CATALOG.fullmatch(key))})


def names_no_catalog(message: str) -> bool:
    """Whether the server refused a table because of its catalog."""
    return any(part in message for part in _UNKNOWN)


def unknown_catalog(table: str, catalogs: list[str]) -> str:
    """What is wrong with a table whose catalog is not there, and which catalogs are."""
    name = table.split(".")[0]
    there = f"; the catalogs are {', '.join(catalogs)}" if catalogs else ""
    proposal = did_you_mean(name, catalogs)
    return (
        f"'{table}' is in catalog '{name}', which the Spark server does not have{there}{proposal}"
    )


def unavailable(
    spark: "SparkSession", catalog: str, error: BaseException, doing: str = ""
) -> TableUnavailable:
    """The error of a catalog by its name and address; see ``catalog_error``."""
    from pyspark.errors import PySparkException

    try:
        address = spark.conf.get(f"spark.sql.catalog.{catalog}.uri", None)
    except PySparkException:  # it only adds to the error
        address = None
    return catalog_error(error, catalog, shown_address(address or ""), doing)


def shown_address(address: str) -> str:
    """An address as it can be shown: without name, password and parameters."""
    scheme = _SCHEME.match(address)
    bare, *parameters = re.split(r"[?;]", address, maxsplit=1)
    if any("@" in each for each in parameters):
        # A password may contain ? and ; and then nobody can tell where the host begins.
        return scheme[0] if scheme else ""
    if "@" not in bare:
        return bare
    return (scheme[0] if scheme else "") + bare.rpartition("@")[2]
