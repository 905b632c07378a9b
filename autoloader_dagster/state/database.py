"""Opens the state database and gives out transactions that behave alike on both kinds.

A writer waits for other writers instead of failing: SQLite begins with BEGIN IMMEDIATE and a long
busy timeout; PostgreSQL takes an advisory lock for the ingestion, which also rules out deadlocks
between those that change many rows in different order. A writer that is stopped within a
transaction, by SIGSTOP or with its machine, would keep the others waiting as long as it stands
still. PostgreSQL ends its transaction; SQLite cannot, and there the others give up after a while.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Text,
    cast,
    create_engine,
    event,
    func,
    inspect,
    literal,
    make_url,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import table
from sqlalchemy.sql.expression import column

from autoloader_dagster.errors import StateError, UsageError
from autoloader_dagster.redaction import remember
from autoloader_dagster.state.failures import DRIVER_ERRORS, explain
from autoloader_dagster.state.models import StoredSchema

# Not Alembic's default name: Dagster's own storage may live in the same PostgreSQL database.
VERSION_TABLE = "autoloader_alembic_version"
# Oldest first. A copy of what is in migrations/versions, so that a check costs no import of
# Alembic; a test compares the two.
REVISIONS = tuple(f"{number:04}" for number in range(1, 13))
# The first revision that has all that this package's statements need. What came after it is only
# faster, or says more; such a database is used as it is until somebody upgrades it.
OLDEST_USABLE = "0012"

_BUSY_TIMEOUT_SECONDS = 60
# Between two statements of a transaction pass milliseconds. A process that was stopped may have two
# transactions, and the second gets its lock when the first is ended; whoever waits for both of them
# must not give up before that.
_STANDSTILL_SECONDS = 15
_CONNECT_TIMEOUT_SECONDS = 10
# A connection that was cut without a word is noticed after two minutes. The systems of both sides
# tell that, not the server's process, so a statement that takes hours is not ended. It is as long
# because a server that is too busy to read what is sent to it counts as cut too.
_CUT = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 15,
    "keepalives_count": 6,
    "tcp_user_timeout": 120_000,
}
# Limits that a server, a database or a user may have. A slow page of a listing, or Spark, lets a
# session wait that holds temporary tables, and a statement over many files takes its time.
_LIMITS = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
)
_BEGIN = "autoloader_begin"
# An option of an engine or a connection: a function that gives the time, in place of the database.
CLOCK = "autoloader_clock"


class Database:
    """One state database; connects on first use.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user:password@host:port/database``.

    Raises:
        UsageError: The URL is not one of those.
    """

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        for password in (*_passwords(self.url), *_written_passwords(url)):
            if password not in (self.url.username, self.url.database, self.url.host):
                remember(password)
        self.engine = _engine(self.url)
        self._checked = False

    @property
    def place(self) -> str:
        """The address, for messages: without a password."""
        if self.is_sqlite:
            return str(self.url.database)
        return f"{self.url.host or 'localhost'}:{self.url.port or 5432}/{self.url.database}"

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def exists(self) -> bool:
        """Whether there is a file, for SQLite; a PostgreSQL database tells when it is opened."""
        name = str(self.url.database)
        return not self.is_sqlite or name.startswith("file:") or Path(name).exists()

    def close(self) -> None:
        """Close the pooled connections; the next use opens new ones."""
        self.engine.dispose()

    @contextmanager
    def connecting(self) -> Iterator[Connection]:
        """A connection without a transaction, to an existing database of this package's version.

        Raises:
            StateError: Instead of every error of the driver, here and inside the block.
        """
        with self.translating():
            if not self.exists():
                # SQLite would make an empty one.
                raise StateError(
                    f"The state database {self.place} does not exist",
                    "Run 'autoloader db upgrade', or correct AUTOLOADER_DATABASE_URL.",
                )
            with self.engine.connect() as connection:
                if not self._checked:
                    with connection.begin():
                        self.check_schema(schema(connection))
                    self._checked = True
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads; on SQLite it hinders no writer."""
        with self.connecting() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, ingestion_id: str | None = None) -> Iterator[Connection]:
        """A transaction that writes, on PostgreSQL alone with this ingestion if one is given."""
        with self.connecting() as connection, write_transaction(connection, ingestion_id):
            yield connection

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn the driver's errors into StateError."""
        try:
            yield
        except DRIVER_ERRORS as error:
            raise explain(error, self.place, self.url.password) from error

    def check_schema(self, found: "Schema", *, upgrading: bool = False) -> None:
        """Refuse a database that this package cannot use; an older one passes if upgrading.

        Raises:
            StateError: It has no schema, an old one, or one of a newer package that this package
                does not understand.
        """
        if found.is_usable:
            return
        if found.revision is not None and found.revision not in REVISIONS:
            raise StateError(
                f"The state database {self.place} is at revision {found.revision}, and this "
                f"version of autoloader_dagster knows revisions up to {REVISIONS[-1]}",
                "It was upgraded by a newer version: install that one here too.",
            )
        if upgrading:
            return
        if found.revision is None:
            raise StateError(
                f"The state database {self.place} has not been set up",
                "Run 'autoloader db upgrade'.",
            )
        raise StateError(
            f"The state database {self.place} is at the old revision {found.revision}, and this "
            f"version of autoloader_dagster needs {OLDEST_USABLE} or later",
            "Run 'autoloader db upgrade' once all workers have this version; older ones are then "
            "perhaps unable to use the database.",
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database says of its schema.

    Attributes:
        revision: Of the last migration; None for an empty database.
        usable_from: The oldest package that can use it, named by that package's last revision;
            None if the database does not say.
    """

    revision: str | None
    usable_from: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether this package can read and write it as it is."""
        if self.revision in REVISIONS:
            return REVISIONS.index(self.revision) >= REVISIONS.index(OLDEST_USABLE)
        return self.revision is not None and self.usable_from in REVISIONS


@contextmanager
def write_transaction(connection: Connection, ingestion_id: str | None = None) -> Iterator[None]:
    """Begin a transaction on this connection that may write; see ``Database.writing``."""
    connection.execution_options(**{_BEGIN: "IMMEDIATE"})
    try:
        with connection.begin():
            if connection.dialect.name == "postgresql":
                # Here and not as options of the connection, which a pooler between would refuse.
                connection.exec_driver_sql(
                    f"SET LOCAL lock_timeout = '{_BUSY_TIMEOUT_SECONDS}s'; "
                    f"SET LOCAL idle_in_transaction_session_timeout = '{_STANDSTILL_SECONDS}s'"
                )
                if ingestion_id is not None:
                    lock_ingestion(connection, ingestion_id)
            yield
    finally:
        connection.execution_options(**{_BEGIN: "DEFERRED"})


def lock_ingestion(connection: Connection, ingestion_id: str) -> None:
    """Keep other writers of an ingestion out until the transaction ends; SQLite keeps out all."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(lock_key(ingestion_id))))


def lock_key(name: str) -> int:
    """The number by which PostgreSQL knows a lock of ours."""
    digest = hashlib.blake2b(f"autoloader {name}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)


def now(connection: Connection) -> datetime:
    """The time by the database's clock, which all workers share."""
    clock = connection.get_execution_options().get(CLOCK)
    if clock is not None:
        return clock()
    if connection.dialect.name == "postgresql":
        moment = connection.scalar(select(func.clock_timestamp()))
        if isinstance(moment, datetime):
            return moment.astimezone(timezone.utc)
    return datetime.now(timezone.utc)


def one_of(
    value: InstrumentedAttribute[Any] | Column[Any],
    choices: Collection[Any],
    connection: Connection,
) -> ColumnElement[bool]:
    """``value IN choices`` with one bound parameter, however many choices there are."""
    if connection.dialect.name == "postgresql":
        # The column's collation would make it another type of array.
        item = Text() if isinstance(value.type, Text) else value.type
        return value == func.any(cast(list(choices), ARRAY(item)))
    each = func.json_each(literal(json.dumps(list(choices)))).table_valued("value")
    return value.in_(select(each.c.value))


def schema(connection: Connection) -> Schema:
    """What the database says of its schema."""
    inspector = inspect(connection)
    if not inspector.has_table(VERSION_TABLE):
        return Schema(None)
    revision = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    if revision in REVISIONS or not inspector.has_table(StoredSchema.__tablename__):
        return Schema(revision)
    return Schema(revision, connection.scalar(select(StoredSchema.usable_from)))


def _parse(url: str) -> URL:
    wanted = (
        "Write it as sqlite:////folder/state.db or postgresql://user:password@host:5432/database."
    )
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        # 'from None': the cause quotes the URL with its password.
        raise UsageError("AUTOLOADER_DATABASE_URL is not a database address", wanted) from None
    if backend == "postgres":
        backend, parsed = "postgresql", parsed.set(drivername="postgresql")
    if backend not in ("sqlite", "postgresql"):
        raise UsageError(f"AUTOLOADER_DATABASE_URL names a '{backend}' database", wanted)
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError("AUTOLOADER_DATABASE_URL names no file, and the state must last", wanted)
    # What follows an @ is taken for the server, and would be shown as its name.
    if backend == "postgresql" and (
        url.split("?")[0].count("@") > 1
        # host:port/name?password=...@ is taken for a user and a password.
        or re.match(r"[^:]*://[^:/]*:[^@]*\?[^@]*=[^@]*@", url)
    ):
        raise UsageError(
            "AUTOLOADER_DATABASE_URL has an @ in its password",
            "Write it as %40, and / as %2F, : as %3A, % as %25.",
        )
    return parsed.set(drivername="postgresql+psycopg") if backend == "postgresql" else parsed


def _passwords(url: URL) -> list[str]:
    """The password, and what the driver takes for one among the parameters."""
    found = [url.password or ""]
    for name, value in url.query.items():
        if "pass" in name.lower():
            found += [value] if isinstance(value, str) else value
    return found


def _written_passwords(url: str) -> list[str]:
    """The same as they are written in the address."""
    users = re.findall(r"(?s)://[^:/@]*:(.*)@", url)
    # One with an & in it ends where the next parameter begins.
    parameters = re.findall(r"(?is)[?&][^=]*pass[^=]*=(.*?)(?=&[\w.%-]+=|\Z)", url)
    return [*users, *parameters, *(each.partition("&")[0] for each in parameters)]


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_size=2,
            hide_parameters=True,
            # The server, the database or the user may have another default. A writer that waited
            # for another one must see what that one has written.
            isolation_level="READ COMMITTED",
            connect_args={
                "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
                "client_encoding": "utf8",
                # A pooler may give each transaction another connection, and a statement that was
                # prepared on one is unknown on the next.
                "prepare_threshold": None,
                # What the address says goes before.
                **{name: value for name, value in _CUT.items() if name not in url.query},
            },
        )
        event.listen(engine, "connect", _on_postgresql_connect)
        return engine
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": _BUSY_TIMEOUT_SECONDS}
    )
    event.listen(engine, "connect", _on_sqlite_connect)
    event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_postgresql_connect(dbapi_connection: Any, _record: Any) -> None:
    # The driver reads times in no other style. A pooler between keeps these two for each client.
    dbapi_connection.execute("SET DateStyle = 'ISO, YMD'")
    dbapi_connection.execute("SET TimeZone = 'UTC'")
    # Not as options of the connection, which a pooler between would refuse. Older servers do not
    # know all of them.
    dbapi_connection.execute(
        "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY(%s)",
        (list(_LIMITS),),
    )
    dbapi_connection.commit()


def _on_sqlite_connect(dbapi_connection: Any, _record: Any) -> None:
    # Python's driver begins transactions late and by its own rules; with None it leaves that to us.
    dbapi_connection.isolation_level = None
    dbapi_connection.execute("PRAGMA foreign_keys = ON")


def _on_sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql(
        f"BEGIN {connection.get_execution_options().get(_BEGIN, 'DEFERRED')}"
    )
