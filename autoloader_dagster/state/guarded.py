"""Writes that hold only while the table is as it was read.

Nobody may wait for the state database because Spark is slow, so the table is asked before the
transaction and not in it. The transaction then compares what the check rests on: no batch of the
ingestion was recorded, released or rolled back since just before the check. For the proof see
``loading.main_read``.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, case, func, select

from autoloader_dagster.errors import MainMoved
from autoloader_dagster.state.database import Database
from autoloader_dagster.state.models import StoredBatch
from autoloader_dagster.state.records import Guard, no_guard

T = TypeVar("T")

# How often the guard is asked again because other workers recorded batches meanwhile.
_TRIES = 10


def write_guarded(
    database: Database,
    ingestion_id: str | None,
    guard: Guard,
    write: Callable[[Connection], T],
) -> T:
    """Write in a transaction of an ingestion, if the guard passes and nothing changed since.

    Args:
        database: The state.
        ingestion_id: Whose files are written.
        guard: Raises unless the table is as it was read; no transaction is open meanwhile.
        write: Does the writing. It is called once, and only if all is well.

    Raises:
        MainMoved: Other workers recorded batches each time that the guard had passed.
    """
    if guard is no_guard:
        with database.writing(ingestion_id) as connection:
            return write(connection)
    for _ in range(_TRIES):
        with database.reading() as connection:
            before = _recorded(connection, ingestion_id)
        guard()
        with database.writing(ingestion_id) as connection:
            if _recorded(connection, ingestion_id) == before:
                return write(connection)
    raise MainMoved(
        f"other workers recorded batches of {ingestion_id} each time that its table was checked",
        "Nothing was changed. Run the command again.",
    )


def _recorded(connection: Connection, ingestion_id: str | None) -> tuple[Any, ...]:
    """What changes whenever a batch of the ingestion is recorded, released or rolled back.

    A batch that is over is RECORDED or RELEASED and never open again, so their number only grows.
    While it is the same, only a pair of batches could have changed places, one recorded and one
    rolled back; the number of the one that was recorded tells that.
    """
    recorded = StoredBatch.status == "RECORDED"
    row = connection.execute(
        select(
            func.sum(case((recorded, 1), else_=0)),
            func.sum(case((StoredBatch.status == "RELEASED", 1), else_=0)),
            func.max(StoredBatch.record_number),
        ).where(StoredBatch.ingestion_id == ingestion_id)
    ).one()
    return tuple(row)
