"""Brings the state database to this package's schema, with Alembic and without an alembic.ini.

Alembic is imported inside functions: every process imports this module, and few have work for it.
"""

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select
from tenacity import (
    retry,
    retry_if_exception_message,
    stop_after_delay,
    wait_random_exponential,
)

from autoloader_dagster.errors import StateError
from autoloader_dagster.state.database import (
    REVISIONS,
    Database,
    Schema,
    lock_key,
    schema,
    write_transaction,
)

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = "autoloader schema"
_UPGRADE_WITHIN_SECONDS = 600
_LOCK_WAIT_SECONDS = 60
_POLL_SECONDS = 0.2
# A migration finds its connection in a variable of Alembic's module. Threads may upgrade databases
# beside each other: those of two mounts, at the first ticks of their sensors.
_ONE_AT_A_TIME = threading.Lock()


def alembic_config(connection: Connection, *, in_use: bool = False) -> "Config":
    """Alembic's settings for the migrations in this package, run on this connection.

    Args:
        connection: To the database.
        in_use: Whether others write to it meanwhile; then each migration commits alone.
    """
    from alembic.config import Config

    from autoloader_dagster.state.migrations.in_use import IN_USE

    config = Config()
    # Alembic reads % as the start of an interpolation.
    folder = str(Path(__file__).with_name("migrations")).replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.attributes["connection"] = connection
    config.attributes[IN_USE] = in_use
    return config


def set_up(database: Database) -> None:
    """Create the schema in an empty database; several processes may do so at once.

    A database that is in use stays as it is: other workers, of other versions, may be at it.

    Raises:
        StateError: The database cannot be reached or written, or this package cannot use it.
    """
    _prepare(database, upgrading=False)


def upgrade(database: Database) -> None:
    """Create the schema or bring it up to date; several processes may do so at once.

    Raises:
        StateError: The database cannot be reached or written, or is newer than this package.
    """
    _prepare(database, upgrading=True)


def _prepare(database: Database, *, upgrading: bool) -> None:
    if database.is_sqlite:
        _make_folder(database)
    with database.translating(), database.engine.connect() as connection:
        with connection.begin():
            if not _has_work(database, connection, upgrading):
                return
            in_use = schema(connection).revision is not None
        if database.is_sqlite:
            _use_write_ahead_log(connection, database.place)
            # Migrations rebuild tables on SQLite, and dropping the old one must not cascade.
            _pragma(connection, "foreign_keys = OFF")
        elif in_use:
            _migrate_in_use(database, connection, upgrading)
            return
        try:
            # The lock makes a second process wait here; it then finds nothing left to do.
            with write_transaction(connection, _LOCK):
                if _has_work(database, connection, upgrading):
                    _run_migrations(connection)
        finally:
            # A pooled connection must not come back without it.
            connection.invalidate()


def _run_migrations(connection: Connection, *, in_use: bool = False) -> None:
    from alembic import command

    with _ONE_AT_A_TIME:
        command.upgrade(alembic_config(connection, in_use=in_use), "head")


def _migrate_in_use(database: Database, connection: Connection, upgrading: bool) -> None:
    """Run the migrations on PostgreSQL beside workers that write; each commits alone.

    The lock is tried for again and again: a transaction that waits for it would keep the index that
    is built meanwhile waiting, and that one the lock.
    """
    key = select(func.pg_try_advisory_lock(lock_key(_LOCK)))
    deadline = time.monotonic() + _UPGRADE_WITHIN_SECONDS
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as holder:
        try:
            while not holder.scalar(key):
                if time.monotonic() > deadline:
                    raise StateError(
                        f"The state database {database.place} is being upgraded by another process",
                        "Wait for that process to end its work, or stop it.",
                    )
                time.sleep(_POLL_SECONDS)
            with connection.begin():
                has_work = _has_work(database, connection, upgrading)
                # For the session: each migration is a transaction of its own.
                connection.exec_driver_sql(f"SET lock_timeout = '{_LOCK_WAIT_SECONDS}s'")
            if has_work:
                _run_migrations(connection, in_use=True)
        finally:
            # The lock and the setting go with their connections.
            holder.invalidate()
            connection.invalidate()


def _has_work(database: Database, connection: Connection, upgrading: bool) -> bool:
    """Whether there is something to create or, if upgrading, to bring up to date."""
    found = schema(connection)
    if found.revision is None:
        return True
    database.check_schema(found, upgrading=upgrading)
    # A newer one that this package can use is nothing to upgrade.
    return upgrading and found.revision in REVISIONS[:-1]


def _make_folder(database: Database) -> None:
    name = str(database.url.database)
    if name.startswith("file:"):
        return
    try:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"The folder of the state database {name} cannot be made: {error.strerror}",
            "Make it yourself, or point AUTOLOADER_DATABASE_URL at another place.",
        ) from error


# SQLite does not wait for a lock when it changes the journal mode, whatever its busy timeout is.
@retry(
    retry=retry_if_exception_message(match=".*locked.*"),
    stop=stop_after_delay(60),
    wait=wait_random_exponential(multiplier=0.01, max=0.5),
    reraise=True,
)
def _use_write_ahead_log(connection: Connection, place: str) -> None:
    """Let readers and a writer work side by side; SQLite keeps this setting in the file."""
    if _pragma(connection, "journal_mode = WAL") != "wal":
        raise StateError(
            f"The state database {place} is on a file system that SQLite cannot share safely",
            "Put it on a local disk, or use PostgreSQL.",
        )


def _pragma(connection: Connection, setting: str) -> object:
    """Run a PRAGMA outside a transaction, where alone these take effect."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(f"PRAGMA {setting}")
        row = cursor.fetchone()
        return row[0] if row else None
    finally:
        cursor.close()


def current(database: Database) -> Schema:
    """What the database says of its schema; no revision for one without any, or none at all."""
    if not database.exists():
        return Schema(None)
    with database.translating(), database.engine.connect() as connection, connection.begin():
        return schema(connection)
