"""The twin answers as Iceberg does: one script of operations on both, and the same answers."""

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pytest

from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.delete import Rows, Undone, summary_of
from autoloader_dagster.iceberg.history import KIND_PROPERTY
from autoloader_dagster.iceberg.lake_table import LakeTable
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.iceberg.owner import maker_properties
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.settings import Settings
from autoloader_dagster.spark.session import connect
from tests.fixtures.catalogs import Catalogs
from tests.interleavings.twin import DONE, Key, TwinLake, TwinTable

_CHANGED = datetime(2026, 1, 1, tzinfo=timezone.utc)
_COLUMNS = [Column("id", "bigint", "id")]


@dataclass
class Side:
    """One of the two: tables, and what people do to them.

    Attributes:
        open: Opens the table in a session of its own.
        frame: Makes rows of a file in the session of a table, given batch, path and numbers.
        call: Does something by hand: rollback, expiry, cherry-pick.
        late: Has an append in flight for the block, which is committed at its end.
    """

    open: Callable[[], Table]
    frame: Callable[..., Any]
    call: Callable[..., Any]
    late: Callable[[Table, str, str, str, int], AbstractContextManager[None]]


def _append(side: Side, table: Table, branch: str, batch: str, path: str, *ids: int) -> None:
    file = SourceFile(path, _CHANGED, None, path)
    with table.tagged(f"{batch}_1", further=maker_properties("default/hourly")):
        table.append_counted(side.frame(table, batch, path, *ids), branch, batch, [file], False)


def script(side: Side) -> Iterator[Any]:
    """Does all that loading does to a table, and gives what the table says to it."""
    table = side.open()
    yield table.exists()
    yield table.columns_if_exists()
    table.create(_COLUMNS, (), {}, "")
    other = side.open()
    # A second worker that had seen no table either.
    other.create(_COLUMNS, (), {}, "")
    yield [c.name for c in table.columns()]
    yield table.table_id() == other.table_id()
    base = table.head()
    yield table.head_and_id() == (table.history().heads["main"], table.table_id())
    yield _seen(table)
    table.create_branch("one", base)
    other.create_branch("two", base)
    yield sorted(table.branches())
    table.create_branch("empty", base)
    with table.tagged("e_1"):
        table.delete("empty", Rows(of_any_batch=["/a"]))
    yield len(table.chain("empty", base))
    table.drop_branch("empty")
    # The same again is what a repeated commit is; another place is refused.
    table.create_branch("one", base)
    _append(side, table, "one", "20260101T000000Z-000001", "/a", 1, 2)
    _append(side, other, "two", "20260101T000000Z-000002", "/b", 3)
    yield _said(lambda: table.create_branch("one", base))
    yield [(s.batch_id, s.attempt, s.added_records) for s in table.chain("one", base)]
    yield table.rows_by_file("one", "20260101T000000Z-000001")
    yield table.batch_ids()
    one = table.history().heads["one"]
    yield table.fast_forward("one") == one
    # Once more, as after a lost answer.
    yield table.fast_forward("one") == one
    yield table.main_holds(one), table.main_holds(base)
    yield _said(lambda: other.fast_forward("two"))
    yield _said(lambda: other.chain("two", base))
    yield _said(lambda: table.fast_forward("nowhere"))
    yield _said(lambda: _append(side, table, "nowhere", "20260101T000000Z-000009", "/z", 9))
    table.drop_branch("one")
    table.drop_branch("one")
    other.drop_branch("two")
    yield sorted(table.branches())
    yield _rows(table)
    yield table.files_of_batch("20260101T000000Z-000001")
    # A write in flight whose branch is dropped brings it back, on top of what main is by then.
    table.create_branch("late", one)
    with side.late(table, "late", "20260101T000000Z-000003", "/c", 4):
        other.drop_branch("late")
        other.create_branch("next", one)
        _append(side, other, "next", "20260101T000000Z-000004", "/d", 5)
        other.fast_forward("next")
        other.drop_branch("next")
    yield _seen(table)
    yield _said(lambda: table.chain("late", one))
    yield table.fast_forward("late") == table.history().heads["late"]
    table.drop_branch("late")
    yield _rows(table)
    # An undo.
    head = table.head()
    table.create_branch("undo", head)
    rows = Rows({"20260101T000000Z-000001": ["/a"]})
    yield table.count("main", rows), table.count("main", Rows(of_any_batch=["/d", "/x"]))
    undone = [Undone("/a", _CHANGED, "20260101T000000Z-000001")]
    properties = {KIND_PROPERTY: "undo", **maker_properties("a/ü"), **summary_of(undone)}
    with table.tagged("u_1", "20260101T000000Z-000005", properties):
        table.delete("undo", rows)
    yield [(s.batch_id, s.ingestion_id, s.removed_records) for s in table.chain("undo", head)]
    # A delete that finds nothing makes a snapshot as well as a note does.
    with table.tagged("u_2", "20260101T000000Z-000006"):
        table.delete("undo", rows)
        yield len(table.chain("undo", head))
        table.note("undo")
    yield [(s.batch_id, s.removed_records) for s in table.chain("undo", head)]
    undo = table.chain("undo", head)[0].snapshot_id
    yield table.fast_forward("undo") == table.head()
    yield table.kind_of("20260101T000000Z-000005", undo), table.kind_of("x", undo)
    yield table.undone_by("20260101T000000Z-000005", undo)
    yield _rows(table)
    table.drop_branch("undo")
    # Main is rolled back; what it held is there and not in main.
    side.call("roll back", table, head)
    yield _seen(table)
    yield _rows(table), table.main_holds(undo)
    # A branch that begins where main was is published no more.
    yield _said(lambda: table.chain("undo", undo))
    # Back again, as a copy that carries none of our properties but leads to what it copies.
    table.create_branch("copy", head)
    _append(side, table, "copy", "20260101T000000Z-000007", "/e", 6)
    copied = table.history().heads["copy"]
    table.create_branch("ahead", head)
    _append(side, table, "ahead", "20260101T000000Z-000008", "/f", 7)
    table.fast_forward("ahead")
    side.call("cherry-pick", table, copied)
    table.drop_branch("ahead")
    yield _seen(table)
    yield _rows(table)
    # What has expired is not known any more, but for what is a head.
    table.drop_branch("copy")
    side.call("expire", table)
    yield _seen(table)
    yield _rows(table)
    table.add_columns([Column("more", "string", "More")])
    table.add_columns([Column("more", "string", "More")])
    yield [c.name for c in table.columns()]


def _seen(table: Table) -> Any:
    """The history, with the place of each snapshot for its id."""
    history = table.history()
    names = {at: f"s{i}" for i, at in enumerate(_in_order(history.snapshots))}
    return (
        {name: names.get(at, "?") for name, at in sorted(history.heads.items())},
        [
            (
                names[s.snapshot_id],
                names.get(s.parent_id or 0),
                s.batch_id,
                s.ingestion_id,
                s.added_records,
            )
            for s in sorted(history.snapshots.values(), key=lambda s: names[s.snapshot_id])
        ],
        history.main()[1],
    )


def _in_order(snapshots: Any) -> list[int]:
    """Parents first, then by what they hold."""

    def depth(at: int | None) -> int:
        return 0 if at not in snapshots else 1 + depth(snapshots[at].parent_id)

    return sorted(snapshots, key=lambda at: (depth(at), snapshots[at].batch_id or ""))


def _rows(table: Table) -> Any:
    return sorted((r.path, r.batch_id, r.rows) for r in table.rows_of_files())


def _said(act: Callable[[], Any]) -> str:
    """The class of what was raised; of an error that is not ours, only that there was one."""
    try:
        act()
    except AutoloaderError as error:
        return type(error).__name__
    except Exception:
        return "an error"
    return "nothing"


@contextmanager
def _twin() -> Iterator[Side]:
    stops: list[Callable[[], object]] = []

    def point(what: str, writes: bool) -> str:
        if what == "append" and stops:
            stops.pop()()
        return DONE

    lake = TwinLake(point)

    @contextmanager
    def late(table: Table, branch: str, batch: str, path: str, number: int) -> Iterator[None]:
        reached, go_on = threading.Event(), threading.Event()
        stops.append(lambda: (reached.set(), go_on.wait(10)))
        writer = threading.Thread(target=_append, args=(side, table, branch, batch, path, number))
        writer.start()
        assert reached.wait(10)
        yield
        go_on.set()
        writer.join(10)

    def call(what: str, table: Table, *args: int) -> None:
        {"roll back": lake.roll_back, "cherry-pick": lake.cherry_pick, "expire": lake.expire}[what](
            table.name, *args
        )

    side = Side(
        lambda: TwinTable(lake, "lake.ns.t"),
        lambda table, batch, path, *ids: {Key(batch, path, _CHANGED, None): ids},
        call,
        late,
    )
    yield side


@contextmanager
def _iceberg(settings: Settings, catalog: str) -> Iterator[Side]:
    name = f"{catalog}.contract_{secrets.token_hex(4)}.t"
    with connect(settings) as spark, connect(settings) as second:
        sessions = iter([spark, second])

        def frame(table: LakeTable, batch: str, path: str, *ids: int, slowly: bool = False) -> Any:
            values = ", ".join(f"({each}L)" for each in ids)
            slow = "java_method('java.lang.Thread', 'sleep', 4000L)" if slowly else "null"
            # As loading does: the properties of a snapshot are those of the session.
            return table._spark.sql(
                f"select id, cast({slow} as string) _rescued, '{path}' _source_file, "
                "timestamp '2026-01-01 00:00:00Z' _source_modified_at, "
                f"cast(null as string) _partition_key, '{batch}' _batch_id "
                f"from values {values} t(id)"
            )

        @contextmanager
        def late(table: Table, branch: str, batch: str, path: str, number: int) -> Iterator[None]:
            slow = Side(side.open, lambda *a: frame(*a, slowly=True), side.call, side.late)
            writer = threading.Thread(
                target=_append, args=(slow, table, branch, batch, path, number)
            )
            writer.start()
            # Its plan is made by then, and the four seconds are not over.
            time.sleep(1.5)
            yield
            writer.join(60)

        def call(what: str, table: Table, *args: int) -> None:
            place = f"{catalog}.system"
            short = table.name.partition(".")[2]
            statement = {
                "roll back": f"rollback_to_snapshot('{short}', {args[0] if args else 0})",
                "cherry-pick": f"cherrypick_snapshot('{short}', {args[0] if args else 0})",
                "expire": f"expire_snapshots(table => '{short}', retain_last => 1, "
                f"older_than => timestamp '{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S.%f}Z')",
            }[what]
            spark.sql(f"call {place}.{statement}").collect()

        side = Side(lambda: LakeTable(next(sessions), name), frame, call, late)
        yield side
        spark.sql(f"drop table if exists {name}")


def _answers(side: Side) -> list[Any]:
    return [_plain(answer) for answer in script(side)]


def _plain(answer: Any) -> Any:
    return re.sub(r"\s+", " ", repr(answer))


@pytest.fixture(scope="module")
def twin_says() -> list[Any]:
    with _twin() as side:
        return _answers(side)


def test_the_twin_answers_as_iceberg_on_the_embedded_catalog(
    spark_settings: Settings, twin_says: list[Any]
) -> None:
    with _iceberg(spark_settings, "lake") as side:
        assert _answers(side) == twin_says


@pytest.mark.parametrize("catalog", ["pglake", "restlake"])
def test_the_twin_answers_as_iceberg_on_postgresql_and_rest(
    catalogs_of_sessions: Catalogs, catalog: str, twin_says: list[Any]
) -> None:
    with _iceberg(catalogs_of_sessions.settings, catalog) as side:
        assert _answers(side) == twin_says
