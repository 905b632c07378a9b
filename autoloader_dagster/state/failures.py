"""Turns the drivers' errors into a StateError that says what happened and what to do."""

import shutil
import sqlite3
from pathlib import Path

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from autoloader_dagster.errors import StateError
from autoloader_dagster.redaction import first_line

DRIVER_ERRORS = (SQLAlchemyError, sqlite3.Error, psycopg.Error)

_SETTING = "AUTOLOADER_DATABASE_URL"
_UPGRADE = "Run 'autoloader db upgrade'."
_UNREACHABLE = f"Start the database, or correct the host and port in {_SETTING}."
_DISK_FULL = "Free space on its disk and try again; nothing of this step was recorded."
_LIMITED = (
    "Set {} = 0 for this user, in the server and in a pooler. Nothing of this step was recorded; "
    "the next run does it again."
)
_TOO_LITTLE_BYTES = 64 * 2**10
_READ_ONLY = f"Make it writable for this user, or point {_SETTING} at another one."

# A part of SQLite's message -> what it means, what to do. Its error codes are not in Python 3.10.
_SQLITE = (
    (
        "locked",
        "is locked by another process",
        "Wait for that process to end its work, or stop it; with many workers use PostgreSQL.",
    ),
    ("disk is full", "is on a disk that is full", _DISK_FULL),
    ("readonly", "is read-only", _READ_ONLY),
    (
        "unable to open",
        "cannot be opened",
        "Check that its folder exists and this user may write to it.",
    ),
    ("no such table", "has not been set up", _UPGRADE),
    ("no such column", "has not been set up", _UPGRADE),
    ("malformed", "is damaged", "Restore it from a backup, then run 'autoloader reconcile'."),
    (
        "not a database",
        "is not an SQLite file",
        f"Correct {_SETTING}, or restore the file from a backup.",
    ),
    ("disk I/O", "cannot be read or written", "Check its disk, and the system's log."),
)

# The beginning of PostgreSQL's SQLSTATE -> the same.
_POSTGRESQL = (
    (
        "25P03",
        "has ended a step of this process, which stood still in the middle of it",
        "Nothing of this step was recorded; the next run does it again.",
    ),
    (
        "25P04",
        "has ended a transaction of this process, because it took longer than it permits",
        _LIMITED.format("transaction_timeout"),
    ),
    (
        "57P05",
        "has ended a connection that waited longer than it permits",
        _LIMITED.format("idle_session_timeout"),
    ),
    (
        "57014",
        "has canceled a statement of this process",
        f"If nobody did that on purpose: {_LIMITED.format('statement_timeout')}",
    ),
    ("53100", "is on a disk that is full", _DISK_FULL),
    (
        "53300",
        "has no free connection",
        "Raise max_connections, or the limit of this user or database; or run fewer workers.",
    ),
    ("25006", "is read-only", _READ_ONLY),
    (
        "28",
        "refuses the user or the password",
        f"Correct the user and password in {_SETTING}, or permit this login on the server.",
    ),
    ("3D", "does not exist", f"Create it, or correct its name in {_SETTING}."),
    (
        "3F",
        "has no schema for this user",
        "Create a schema, grant this user USAGE and CREATE on it, and put it into search_path.",
    ),
    ("42P01", "has not been set up", _UPGRADE),
    ("42703", "has not been set up", _UPGRADE),
    ("42501", "does not permit this", "Grant this user all rights on the autoloader's tables."),
    ("57P03", "is not ready yet", "Wait until it has started."),
    ("57P", "was shut down", _UNREACHABLE),
    ("08", "cannot be reached", _UNREACHABLE),
    ("40P01", "had two writers wait for each other", "Try again; nothing of this was recorded."),
    ("55P03", "is locked by another process", "Wait for that process to end its work, or stop it."),
)

# A part of the message of a refused login -> its SQLSTATE. The driver leaves that out, because the
# connection was never made.
_REFUSED_LOGINS = (
    ("too many connections", "53300"),
    ("too many clients", "53300"),
    ("connection slots are reserved", "53300"),
    ("authentication failed", "28"),
    ("pg_hba.conf", "28"),
    ('role "', "28"),
    ("permission denied for database", "42501"),
    ("is starting up", "57P03"),
    ('" does not exist', "3D"),
)
# A part of the message of a missing right -> what to do, where it is no right on a table.
_RIGHTS = (
    ("for schema", "Grant this user USAGE and CREATE on that schema."),
    ("temporary tables", "Grant this user TEMPORARY on the database."),
    ("for database", "Grant this user CONNECT on the database."),
    (
        "must be owner",
        "Do this as the owner of the autoloader's tables, or grant this user its role.",
    ),
)


def explain(error: BaseException, place: str, password: str | None) -> StateError:
    """Say what a driver's error means.

    Args:
        error: One of ``DRIVER_ERRORS``.
        place: The database's address without its password.
        password: Struck out of the driver's message, should it be there.
    """
    cause = (error.orig or error) if isinstance(error, DBAPIError) else error
    detail = first_line(cause)
    if password:
        detail = detail.replace(password, "***")
    meaning, hint = _meaning(cause)
    # SQLite tells of a full disk in this way where it was its journal that found no room.
    if "disk I/O" in detail and _is_full(Path(place).parent):
        meaning, hint = "is on a disk that is full", _DISK_FULL
    return StateError(f"The state database {place} {meaning}: {detail}", hint)


def _is_full(folder: Path) -> bool:
    return folder.is_dir() and shutil.disk_usage(folder).free < _TOO_LITTLE_BYTES


def _meaning(cause: BaseException) -> tuple[str, str]:
    if isinstance(cause, sqlite3.Error):
        for part, meaning, hint in _SQLITE:
            if part in str(cause):
                return meaning, hint
    if isinstance(cause, psycopg.Error):
        state = cause.sqlstate
        if state is None and isinstance(cause, psycopg.OperationalError):
            state = next((each for part, each in _REFUSED_LOGINS if part in str(cause)), "08")
        for start, meaning, hint in _POSTGRESQL:
            if state and state.startswith(start):
                rights = _RIGHTS if start == "42501" else ()
                return meaning, next((do for part, do in rights if part in str(cause)), hint)
    return "failed", "The message is the driver's; see the log for the whole of it."
