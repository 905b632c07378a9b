"""Checks that the columns of ``table.partition_by`` are columns that the table will have."""

import re
from collections.abc import Iterable

from autoloader_dagster.errors import SpecError
from autoloader_dagster.iceberg.lineage import LINEAGE_COLUMNS
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.values import did_you_mean

_SHOWN = 30
_FIELD = re.compile(r"(?:\w+\((?:\d+, *)?)?([A-Za-z_]\w*)\)?")


def check_partition_by(spec: IngestionSpec, columns: Iterable[str]) -> None:
    """Refuse a partition column that a new table would not have.

    Args:
        spec: Whose table is to be made.
        columns: The table's columns without the lineage columns.

    Raises:
        SpecError: A column is missing; the message names those that there are.
    """
    there = [*columns, *LINEAGE_COLUMNS]
    known = {name.lower() for name in there}
    for entry in spec.table.partition_by:
        match = _FIELD.fullmatch(entry)
        if match is None or match[1].lower() in known:
            continue
        more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
        raise SpecError(
            f"table.partition_by of spec '{spec.name}' names the column '{match[1]}', and the "
            f"table has no such column{did_you_mean(match[1], there)}",
            f"Correct table.partition_by; the columns are {', '.join(there[:_SHOWN])}{more}.",
        )
