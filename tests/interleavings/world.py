"""One ingestion on twins of source and table, and on a real state database, set back in no time."""

import logging
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import yaml
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import QueuePool

from autoloader_dagster import failpoints
from autoloader_dagster.errors import FileChanged
from autoloader_dagster.loading.batch import attempts
from autoloader_dagster.loading.batch.lease import Lease
from autoloader_dagster.loading.changes.reload import reload
from autoloader_dagster.loading.changes.retry import retry
from autoloader_dagster.loading.changes.undo import undo
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.load import load
from autoloader_dagster.loading.recovery.reconcile import reconcile
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.state.database import (
    CLOCK,
    _on_sqlite_begin,
    _on_sqlite_connect,
)
from autoloader_dagster.state.store import ProcessedFiles
from tests.interleavings.hub import Hub
from tests.interleavings.twin import TwinLake, TwinLakehouse

POLICIES = ("replace", "ignore", "append", "fail")
TABLE = "lake.twin.t"
A, B = "/in/a.csv", "/in/b.csv"
_LONG = timedelta(days=1)
_SHARED = re.compile(r"\b(?:processed_files|batches|followed_tables)\b")
_BEGAN = datetime(2020, 1, 1, tzinfo=timezone.utc)
# Here no time passes.
attempts.LONGEST_PAUSE_SECONDS = 0.0


class TwinSource:
    """Files in memory: each version of a path has numbers of its own as its rows."""

    read_in_place = True

    def __init__(self, point: Callable[[str, bool], Any], hear: Callable[[object], None]) -> None:
        self._point = point
        self._hear = hear
        self.now: dict[str, FileRef] = {}
        # Every version that there ever was, by path, the oldest first.
        self.versions: dict[str, list[FileRef]] = {}

    def state(self) -> Any:
        return dict(self.now), {path: list(refs) for path, refs in self.versions.items()}

    def restore(self, state: Any) -> None:
        self.now = dict(state[0])
        self.versions = {path: list(refs) for path, refs in state[1].items()}

    @staticmethod
    def ids_of(version: str) -> tuple[int, ...]:
        """The rows of a version, whose name is made of the path's letter and a number."""
        number = (ord(version[0]) - ord("a")) * 100 + int(version[1:]) * 10
        return (number + 1, number + 2)

    def put(self, path: str) -> None:
        """Write the next version of a file."""
        known = self.versions.setdefault(path, [])
        number = len(known) + 1
        version = f"{path.rpartition('/')[2][0]}{number}"
        size = len(_content(version))
        modified_at = _BEGAN + timedelta(hours=number)
        ref = FileRef(path, path.rpartition("/")[2], size, modified_at, version)
        known.append(ref)
        self.now[path] = ref

    def take_away(self, path: str) -> None:
        self.now.pop(path, None)

    @property
    def left_out(self) -> int:
        return 0

    def list_pages(self) -> Iterator[list[FileRef]]:
        self._point("list", False)
        page = list(self.now.values())
        self._hear([ref.version for ref in page])
        yield page

    def stat(self, paths: Sequence[str]) -> dict[str, FileRef | None]:
        self._point("stat", False)
        found = {path: self.now.get(path) for path in paths}
        self._hear([ref and ref.version for ref in found.values()])
        return found

    def open(self, ref: FileRef, start: int = 0, length: int | None = None) -> IO[bytes]:
        # No step of its own: what is read is pinned to the version.
        now = self.now.get(ref.path)
        if now is None or now.version != ref.version:
            self._hear("changed")
            raise FileChanged(f"{ref.path} is not the listed version any more")
        data = _content(ref.version)
        data = data[start:] if length is None else data[start:][:length]
        return BytesIO(data)

    def spark_path(self, ref: FileRef) -> str:
        return f"file://{ref.path}"

    def spark_options(self) -> dict[str, str]:
        return {}


def _content(version: str) -> bytes:
    return b"id\n" + b"".join(b"%d\n" % each for each in TwinSource.ids_of(version))


@dataclass(frozen=True)
class Moment:
    """A world as it was."""

    database: sqlite3.Connection
    lake: Any
    source: Any
    ticks: int
    runs: int


class World:
    """All that a schedule runs on.

    Args:
        folder: Empty; for the specs.
    """

    def __init__(self, folder: Path) -> None:
        self.hub = Hub()
        self.lake = TwinLake(
            lambda what, writes: self.hub.point(what, "table", writes),
            lambda answer: self.hub.hear(answer),
        )
        self.source = TwinSource(
            lambda what, writes: self.hub.point(what, "source", writes),
            lambda answer: self.hub.hear(answer),
        )
        self._ticks = 0
        self._runs = 0
        # In the memory of this process, so that it can be forked; it lasts while this is open.
        self._uri = f"file:interleavings-{folder.name}?mode=memory&cache=shared"
        self._database = sqlite3.connect(self._uri, uri=True, isolation_level=None)
        self.store = self._open_store(folder / "state.db")
        self._ingestions = {policy: self._ingestion(folder, policy) for policy in POLICIES}
        self.policy = "replace"
        # What was loaded and what was undone when the actors began.
        self.loaded_before: set[str] = set()
        self.undone_before: set[str] = set()

    def _open_store(self, file: Path) -> ProcessedFiles:
        store = ProcessedFiles(f"sqlite:///{file}")
        store.upgrade()
        store.close()
        with closing(sqlite3.connect(file)) as made:
            made.backup(self._database)
        engine = create_engine(
            "sqlite://",
            creator=lambda: sqlite3.connect(
                self._uri, uri=True, check_same_thread=False, factory=self._connection
            ),
            poolclass=QueuePool,
            execution_options={CLOCK: self._clock},
        )
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", self._on_begin)
        event.listen(engine, "begin", _on_sqlite_begin)
        event.listen(engine, "commit", self._on_end)
        event.listen(engine, "rollback", self._on_end)
        store._database.engine = engine
        return store

    def _ingestion(self, folder: Path, policy: str) -> Ingestion:
        specs = folder / policy
        specs.mkdir(parents=True)
        text = {
            "source": {"type": "local", "url": "/in", "on_change": policy},
            "format": {"type": "csv"},
            "table": {"name": TABLE},
            "partition": {"by": "none"},
        }
        (specs / "t.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
        return Ingestion(
            load_specs(specs).get("t"),
            self.source,
            self.store,
            nullcontext,  # pyright: ignore[reportArgumentType]
            folder / "staging",
            TwinLakehouse(self.lake, TwinSource.ids_of),
        )

    @property
    def ingestion(self) -> Ingestion:
        return self._ingestions[self.policy]

    def _clock(self) -> datetime:
        self._ticks += 1
        moment = _BEGAN + timedelta(days=1, seconds=self._ticks)
        actor = self.hub.current
        if actor is not None:
            actor.clocks = [*actor.clocks[-1:], moment.strftime("%Y-%m-%d %H:%M:%S.%f")]
        return moment

    def _connection(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        return _Listening(self, *args, **kwargs)

    def _on_begin(self, connection: Connection) -> None:
        """Stop before a transaction that writes, and where one that reads looks at the state.

        Many of those only fill temporary tables of their own.
        """
        writes = connection.get_execution_options().get("autoloader_begin") == "IMMEDIATE"
        opened: Any = connection.connection.driver_connection
        opened.has_looked = writes
        if writes:
            self.hub.point("state", "state", True)
            self.hub.holds_lock(True)

    def _on_end(self, connection: Connection) -> None:
        self.hub.holds_lock(False)

    # --- as it was ------------------------------------------------------------------------------

    def moment(self) -> Moment:
        """Remember all of it; it must stand still."""
        copy = sqlite3.connect(":memory:")
        self._database.backup(copy)
        return Moment(copy, self.lake.state(), self.source.state(), self._ticks, self._runs)

    def restore(self, moment: Moment, policy: str) -> None:
        """Be as it was then."""
        self.hub.close()
        self.hub = Hub()
        moment.database.backup(self._database)
        self.lake.restore(moment.lake)
        self.source.restore(moment.source)
        self._ticks, self._runs = moment.ticks, moment.runs
        self.policy = policy

    def remember(self) -> None:
        """Note what is loaded and undone now."""
        statement = "select file_version from processed_files where status = "
        self.loaded_before = {row[0] for row in self.select(f"{statement}'SUCCESS'")}
        self.undone_before = {row[0] for row in self.select(f"{statement}'UNDONE'")}

    def by_hand(self, what: str, change: Callable[[], Any]) -> None:
        """Something that a person does, in one step."""
        self.hub.point(what, "table" if what in ("expire", "roll back") else "source", True)
        change()

    def select(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the state, by plain SQL."""
        return self._database.execute(statement).fetchall()

    def close(self) -> None:
        """Let go of everything."""
        self.hub.close()
        self.store.close()
        self._database.close()

    # --- what actors do -------------------------------------------------------------------------

    def run_id(self) -> str:
        self._runs += 1
        return f"run-{self._runs}"

    def ended_runs(self) -> set[str]:
        """The runs that Dagster knows to have ended."""
        alive = {a.run_id for a in self.hub.actors.values() if not a.ended}
        return {f"run-{n}" for n in range(1, self._runs + 1)} - alive

    def other_runs(self, run_id: str) -> set[str]:
        """All runs but one, as though every lease had run out."""
        return {f"run-{n}" for n in range(1, self._runs + 1)} - {run_id}

    def load(self, run_id: str, over: Callable[[], set[str]] | None = None) -> Any:
        discover(self.ingestion)
        ended = over() if over else self.ended_runs()
        return list(load(self.ingestion, None, run_id, ended_runs=ended, lease=_LONG))

    def undo(self, run_id: str, path: str, over: Callable[[], set[str]] | None = None) -> Any:
        ended = over() if over else self.ended_runs()
        return undo(self.ingestion, [path], run_id=run_id, ended_runs=ended, lease=_LONG)

    def reload(self, run_id: str, path: str, over: Callable[[], set[str]] | None = None) -> Any:
        ended = over() if over else self.ended_runs()
        batches = reload(self.ingestion, names=[path], run_id=run_id, ended_runs=ended, lease=_LONG)
        return list(batches)

    def reconcile(self, run_id: str, over: Callable[[], set[str]] | None = None) -> Any:
        ended = over() if over else self.ended_runs()
        return reconcile(self.ingestion, apply=True, ended_runs=ended)

    def retry(self, path: str) -> Any:
        return retry(self.ingestion, [path])

    def settle(self, looking: bool = False) -> None:
        """What comes after everything: a run, to which all others have ended.

        Args:
            looking: Reconcile first, because a run without work does not look at the table.
        """
        run_id = self.run_id()
        if looking:
            self.reconcile(run_id, lambda: self.other_runs(run_id))
        self.load(run_id, lambda: self.other_runs(run_id))


class _Listening(sqlite3.Connection):
    """Notes what the database tells an actor."""

    def __init__(self, world: World, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.world = world
        # Whether the transaction has looked at more than tables of its own.
        self.has_looked = False

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(_ListeningCursor)


class _ListeningCursor(sqlite3.Cursor):
    def _told(self, what: Any) -> Any:
        self.connection.world.hub.hear(what)  # pyright: ignore[reportAttributeAccessIssue]
        return what

    def execute(self, *args: Any) -> Any:
        connection: Any = self.connection
        if not connection.has_looked and _SHARED.search(args[0]):
            connection.has_looked = True
            connection.world.hub.point("state", "state", False)
        super().execute(*args)
        if self.rowcount >= 0:
            self._told(self.rowcount)
        return self

    def fetchone(self) -> Any:
        return self._told(super().fetchone())

    def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
        return self._told(super().fetchmany(*args, **kwargs))

    def fetchall(self) -> Any:
        return self._told(super().fetchall())


@contextmanager
def _not_renewed(lease: Lease) -> Iterator[Lease]:
    """In place of ``Lease.kept``: a lease lasts as long as the schedule says, without a thread."""
    yield lease


@contextmanager
def open_world() -> Iterator[World]:
    """A world for the block."""
    logger = logging.getLogger("autoloader_dagster")
    with tempfile.TemporaryDirectory(prefix="autoloader-interleavings-") as folder:
        world = World(Path(folder))
        with ExitStack() as points:
            points.callback(world.close)
            # Tests after this one read what is logged.
            points.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
            points.callback(setattr, Lease, "kept", Lease.kept)
            Lease.kept = _not_renewed  # pyright: ignore[reportAttributeAccessIssue]
            for point in failpoints.POINTS:
                passes = lambda point=point: world.hub.passes(point)  # noqa: E731
                points.enter_context(failpoints.on(point, passes))
            yield world
