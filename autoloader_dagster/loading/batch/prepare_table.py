"""Create the table of a batch, or change its columns, before the batch's files are written."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from autoloader_dagster.errors import TableError
from autoloader_dagster.formats.base import Readable
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.owner import owner_properties
from autoloader_dagster.loading.batch.files import Members
from autoloader_dagster.loading.batch.reader import BatchReader
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.progress import Progress
from autoloader_dagster.loading.schema_policy import SchemaDecision, check_decision, decide

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreparedTable:
    """The table as a batch's files can be written to it.

    Attributes:
        columns: Its columns without the lineage columns.
        unmatched_hints: The spec's hints that match no column yet.
    """

    columns: tuple[Column, ...]
    unmatched_hints: tuple[str, ...]


def prepare_table(
    ingestion: Ingestion,
    table: Table,
    reader: BatchReader,
    members: Members,
    readable: Sequence[Readable],
    progress: Progress,
) -> PreparedTable:
    """Create the table, or add and widen columns as ``schema_policy`` decides.

    Args:
        ingestion: What is loaded.
        table: Its table.
        reader: Reads the batch's files.
        members: The batch's files.
        readable: Those of them that have rows.
        progress: Told what is done now.

    Raises:
        FilesLeft: Files whose columns no table can have, or whose rows quarantine them, have left
            the batch, so that they decide no column.
    """
    spec = ingestion.spec
    known = table.columns_if_exists()
    found = reader.columns(readable, known or ())
    members.leave_out_bad(found.bad)
    decision = decide(spec, known, found)
    if (decision.create or decision.add) and spec.errors.bad_rows == "quarantine":
        progress("counting bad rows")
        columns = [*(known or ()), *decision.add]
        members.leave_out_bad(reader.too_many_bad_rows(readable, columns))
    check_decision(spec, decision)
    try:
        _carry_out(ingestion, table, decision)
    except TableError as error:
        if type(error) is TableError:
            members.leave_out_bad(reader.impossible_columns(readable, known or ()))
        raise
    columns = table.columns() if decision.changes else decision.columns
    return PreparedTable(columns, decision.unmatched_hints)


def _carry_out(ingestion: Ingestion, table: Table, decision: SchemaDecision) -> None:
    spec = ingestion.spec
    if decision.create:
        owner = {} if spec.table.shared else owner_properties(ingestion.id)
        properties = {**spec.table.properties, **owner}
        table.create(decision.add, spec.table.partition_by, properties, spec.description)
        return
    for column, sql_type in decision.widen.items():
        _log.info("column %s of %s becomes %s", column, table.name, sql_type)
        table.widen(column, sql_type)
    if decision.add:
        _log.info("new columns in %s: %s", table.name, [column.name for column in decision.add])
        table.add_columns(decision.add)
