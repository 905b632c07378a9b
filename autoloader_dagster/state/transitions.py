"""The one place where the status of a file changes.

``TRANSITIONS`` lists which changes there are, and what the row of the file loses in each. Nothing
else writes a status: ``move`` changes it, ``add`` and ``add_selected`` write that of a new row.
``docs/statuses.md`` shows the same as a diagram, and a test compares the two.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    func,
    insert,
    literal,
    null,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from autoloader_dagster.state.models import StoredFile, UtcDateTime
from autoloader_dagster.state.records import FileStatus

ALL: tuple[FileStatus, ...] = get_args(FileStatus)
# The statuses that a new row can have.
FIRST: tuple[FileStatus, ...] = ("DISCOVERED", "HELD", "QUARANTINED", "SKIPPED", "UNDONE")

# What tells of the load of a file.
_LOAD = (
    "run_id",
    "snapshot_id",
    "processing_started_at",
    "processed_at",
    "rows",
    "bad_rows",
    "bytes_read",
    "processing_duration_ms",
)
_REASON = ("error_type", "reason")
# What a row keeps is what the file is. All else begins again.
_ALL_BUT_IDENTITY = ("batch_id", *_LOAD, "retry_count", *_REASON, "displaced_by_batch")
_EMPTY: dict[str, Any] = {"retry_count": 0}


def _each(
    came_from: Iterable[FileStatus], to: FileStatus, *cleared: str
) -> dict[tuple[FileStatus, FileStatus], tuple[str, ...]]:
    return {(status, to): cleared for status in came_from}


# (from, to) -> the columns that are emptied, unless ``move`` gets a value for them.
TRANSITIONS: Mapping[tuple[FileStatus, FileStatus], tuple[str, ...]] = {
    # A worker claims the file.
    **_each(("DISCOVERED", "FAILED"), "PROCESSING", "snapshot_id", "processed_at"),
    # Its batch is released, or the file leaves it to be tried again at once.
    ("PROCESSING", "DISCOVERED"): (
        "batch_id",
        "run_id",
        "processing_started_at",
        "processed_at",
    ),
    # It leaves its batch without being loaded.
    ("PROCESSING", "FAILED"): (),
    ("PROCESSING", "QUARANTINED"): (),
    ("PROCESSING", "SKIPPED"): (),
    # A listing places it again, or a person retries it.
    **_each(
        ("DISCOVERED", "HELD", "FAILED", "QUARANTINED", "SKIPPED", "REPLACED"),
        "DISCOVERED",
        *_ALL_BUT_IDENTITY,
    ),
    ("UNDONE", "DISCOVERED"): _ALL_BUT_IDENTITY,
    **_each(
        ("DISCOVERED", "HELD", "FAILED", "QUARANTINED", "SKIPPED", "REPLACED"),
        "HELD",
        *_ALL_BUT_IDENTITY,
    ),
    **_each(
        ("DISCOVERED", "HELD", "FAILED", "QUARANTINED", "SKIPPED", "REPLACED"),
        "QUARANTINED",
        *_ALL_BUT_IDENTITY,
    ),
    **_each(("SKIPPED", "REPLACED"), "SKIPPED", *_ALL_BUT_IDENTITY),
    # The source does not have it any more, or a person dismisses it.
    **_each(("DISCOVERED", "FAILED", "QUARANTINED"), "SKIPPED"),
    # The place of a held file binds nobody when it comes back.
    ("HELD", "SKIPPED"): ("partition_key",),
    # Another version of it came before it was loaded.
    **_each(("DISCOVERED", "FAILED", "QUARANTINED", "SKIPPED"), "REPLACED", "error_type"),
    ("HELD", "REPLACED"): ("error_type", "partition_key"),
    # Its rows are in the table, wherever it was: the table is the truth.
    **_each(ALL, "SUCCESS", *_REASON, "displaced_by_batch"),
    # Its rows are not in the table any more. If a batch took them out, what tells of the load
    # stays: the rows are back if main loses that batch.
    ("SUCCESS", "REPLACED"): (*_LOAD, "error_type"),
    ("SUCCESS", "UNDONE"): (*_LOAD, "error_type"),
    # They are gone with their table, and are to be loaded again.
    ("SUCCESS", "DISCOVERED"): _ALL_BUT_IDENTITY,
    # An undo has taken them out, and a state that was lost did not know of them.
    **_each(("DISCOVERED", "PROCESSING", "FAILED"), "UNDONE", "batch_id", "run_id", "error_type"),
}


def move(
    connection: Connection,
    chosen: ColumnElement[bool] | Sequence[Mapping[str, Any]],
    came_from: Collection[FileStatus],
    to: FileStatus,
    moment: datetime,
    *,
    displaced_by: str | None = None,
    **values: Any,
) -> None:
    """Change the status of files, and empty what ``TRANSITIONS`` says.

    Args:
        connection: In a transaction that writes.
        chosen: Which files: a condition, or a mapping a file with its id as ``row_id`` and its
            own values by column.
        came_from: The statuses that they have. A file with another one stays as it is.
        to: The status that they get.
        moment: The time of the change.
        displaced_by: The batch that took their rows out of the table.
        values: What else is written, by column, the same for all.

    Raises:
        ValueError: There is no such transition.
    """
    for each in came_from:
        if (each, to) not in TRANSITIONS:
            raise ValueError(f"there is no transition from {each} to {to}")
    written: dict[str, Any] = {"status": to, "updated_at": moment}
    if displaced_by is not None:
        written["displaced_by_batch"] = displaced_by
    rows = None
    if not isinstance(chosen, ColumnElement):
        rows = [dict(each) for each in chosen]
        if not rows:
            return
        written |= {name: bindparam(name) for name in rows[0] if name != "row_id"}
        chosen = StoredFile.id == bindparam("row_id")
    statement = (
        update(StoredFile)
        .where(chosen, _has(came_from))
        .values(_emptied(came_from, to, displaced_by) | written | values)
    )
    connection.execute(statement, rows)


def add(
    connection: Connection,
    to: FileStatus,
    rows: Sequence[Mapping[str, Any]],
    *,
    unless_known: bool = False,
) -> None:
    """Add new rows in their first status, each with its values by column.

    Args:
        connection: In a transaction that writes.
        to: Their status.
        rows: The same columns for each row.
        unless_known: Leave out versions that have a row.

    Raises:
        ValueError: No row begins with this status.
    """
    _refuse_late(to)
    if not rows:
        return
    statement = insert(StoredFile)
    if unless_known:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(StoredFile).on_conflict_do_nothing()
    connection.execute(statement, [{**each, "status": to} for each in rows])


def add_selected(
    connection: Connection,
    to: FileStatus,
    columns: Sequence[str],
    selected: str,
    parameters: Mapping[str, Any],
) -> None:
    """Add the rows of a SELECT in their first status, but no version that has a row.

    Args:
        connection: In a transaction that writes.
        to: Their status.
        columns: The columns of the SELECT, named as in the table.
        selected: The SELECT.
        parameters: Of the SELECT; a moment as it comes from ``now``.

    Raises:
        ValueError: No row begins with this status.
    """
    _refuse_late(to)
    names = ", ".join(columns)
    # WHERE, because SQLite takes an ON after FROM for that of a join.
    statement = text(
        f"INSERT INTO processed_files ({names}, status) "
        f"SELECT {names}, CAST(:to_status AS TEXT) FROM ({selected}) AS found WHERE true "
        "ON CONFLICT DO NOTHING"
    )
    moments = [name for name, value in parameters.items() if isinstance(value, datetime)]
    typed = statement.bindparams(*(bindparam(name, type_=UtcDateTime()) for name in moments))
    connection.execute(typed, {**parameters, "to_status": to})


def _refuse_late(to: FileStatus) -> None:
    if to not in FIRST:
        raise ValueError(f"no file begins as {to}")


def _has(statuses: Collection[FileStatus]) -> ColumnElement[bool]:
    """Not a plain comparison: SQLite would go through all files of a status by its index."""
    # Literals, because a list is expanded for each statement, and one for many rows cannot be.
    return func.coalesce(StoredFile.status, "").in_([literal(each) for each in statuses])


def _cleared(came_from: FileStatus, to: FileStatus, displaced_by: str | None) -> set[str]:
    cleared = set(TRANSITIONS[came_from, to])
    return cleared - {*_LOAD} if came_from == "SUCCESS" and displaced_by is not None else cleared


def _emptied(
    came_from: Collection[FileStatus], to: FileStatus, displaced_by: str | None
) -> dict[str, Any]:
    """The empty values that the rows get; by status where not all of them lose the same."""
    cleared: dict[FileStatus, set[str]] = {
        status: _cleared(status, to, displaced_by) for status in came_from
    }
    emptied: dict[str, Any] = {}
    for name in sorted(set().union(*cleared.values())):
        losing: list[FileStatus] = [status for status, names in cleared.items() if name in names]
        empty = _EMPTY.get(name, null())
        emptied[name] = (
            empty
            if len(losing) == len(cleared)
            else case((_has(losing), empty), else_=getattr(StoredFile, name))
        )
    return emptied
