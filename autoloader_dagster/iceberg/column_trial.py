"""Whether Iceberg takes columns, tried with a table that exists for that moment only."""

import secrets
from collections.abc import Sequence
from contextlib import suppress

from autoloader_dagster.errors import TableError, TableUnavailable
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.sql import literal, quoted
from autoloader_dagster.iceberg.table import IcebergTable


def refusal_of(table: IcebergTable, columns: Sequence[Column], format_version: int) -> str | None:
    """Why a table cannot have these columns; None if it can, or nobody knows.

    Args:
        table: The table is tried beside this one.
        columns: The columns together.
        format_version: Of Iceberg's format.

    Returns:
        What the catalog reported.
    """
    fields = [f"{quoted(column.name)} {column.sql_type}" for column in columns]
    refusal = _refusal(table, fields, format_version)
    # Where the catalog takes no table at all, it does not refuse the columns.
    if refusal is None or _refusal(table, [], format_version) is not None:
        return None
    return refusal


def _refusal(table: IcebergTable, fields: Sequence[str], format_version: int) -> str | None:
    namespace = table.named().rpartition(".")[0]
    name = f"{namespace}.{quoted('autoloader_trial_' + secrets.token_hex(8))}"
    listed = ", ".join([*fields, "autoloader_trial int"])
    statement = (
        f"create table {name} ({listed}) using iceberg "
        f"tblproperties ('format-version' = {literal(str(format_version))})"
    )
    try:
        table.query("try the columns of", statement)
    except TableUnavailable:
        return None
    except TableError as error:
        return error.what
    finally:
        with suppress(TableError):
            table.query("drop the trial of", f"drop table if exists {name} purge")
    return None
