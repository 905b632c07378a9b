"""What one command reads of the table, another command may change before the first has written."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from autoloader_dagster import failpoints
from autoloader_dagster.loading.changes.undo import undo
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import SPARK
from autoloader_dagster.loading.recovery.reconcile import reconcile
from autoloader_dagster.sources.base import FileRef, FileSource
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures import by_hand
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.project import wait_for


@dataclass
class _Meanwhile:
    """A source that lets something happen while it is listed, once."""

    source: FileSource
    happens: Callable[[], object]

    def list_pages(self) -> Iterator[list[FileRef]]:
        happens, self.happens = self.happens, lambda: None
        happens()
        return self.source.list_pages()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


def _while_listed(ingestion: Ingestion, happens: Callable[[], object]) -> Ingestion:
    return replace(ingestion, source=_Meanwhile(ingestion.source, happens))


class _Scanned:
    """Tables that let something happen once their rows were read, once."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.happens = happens

    def table(self, session: Any, name: str) -> Any:
        return _ScannedTable(SPARK.table(session, name), self)

    def __getattr__(self, name: str) -> Any:
        return getattr(SPARK, name)


class _ScannedTable:
    def __init__(self, table: Any, scanned: _Scanned) -> None:
        self._table = table
        self._scanned = scanned

    def rows_of_files(self, at: int | None = None) -> Iterator[Any]:
        yield from list(self._table.rows_of_files(at))
        happens, self._scanned.happens = self._scanned.happens, lambda: None
        happens()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


@pytest.fixture
def busy_lake(lake: Lake, state_url: str) -> Iterator[Lake]:
    """The same on both databases."""
    lake.store.close()
    lake.store = ProcessedFiles(state_url)
    lake.store.upgrade()
    yield lake
    failpoints.arm("")


def test_reconcile_beside_the_first_load_leaves_loaded_files_alone(busy_lake: Lake) -> None:
    write_ids(busy_lake.folder(), "a.csv", 1, 2)
    ingestion = busy_lake.ingestion("first")
    beside = _while_listed(ingestion, lambda: busy_lake.load(ingestion))

    found = reconcile(beside, apply=True)

    assert found.agrees
    assert busy_lake.statuses(ingestion) == {"a.csv": "SUCCESS"}
    assert busy_lake.load(ingestion) == []
    assert busy_lake.ids("first") == Counter([1, 2])


def test_reconcile_reinstates_nothing_that_was_taken_out_after_its_scan(busy_lake: Lake) -> None:
    folder = busy_lake.folder()
    write_ids(folder, "undone.csv", 1)
    write_ids(folder, "changed.csv", 2)
    # One difference that is told, so that the others can happen after the scan.
    gone = write_ids(folder, "gone.csv", 3)
    source = {"type": "local", "url": str(folder), "on_change": "replace"}
    ingestion = busy_lake.ingestion("taken_out", source=source, batch={"max_files": 1})
    busy_lake.load(ingestion)
    gone.unlink()

    def taken_out(_: object) -> None:
        write_ids(folder, "changed.csv", 20, 21)
        busy_lake.load(ingestion)
        undo(ingestion, ["undone.csv"], run_id="undo")

    found = reconcile(ingestion, apply=True, on_difference=taken_out)

    assert found.agrees
    assert [f.status for f in busy_lake.store.files.find(ingestion.id)] == [
        "REPLACED",
        "SUCCESS",
        "UNDONE",
        "SUCCESS",
    ]
    assert busy_lake.load(ingestion) == []
    assert busy_lake.ids("taken_out") == Counter([3, 20, 21])


@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("during", ["listing", "scan"])
def test_reconcile_tells_no_difference_that_others_make_beside_it(
    busy_lake: Lake, during: str, apply: bool
) -> None:
    folder = busy_lake.folder()
    write_ids(folder, "undone.csv", 1)
    ingestion = busy_lake.ingestion("scanned")
    busy_lake.load(ingestion)
    write_ids(folder, "new.csv", 2)

    def others() -> None:
        undo(ingestion, ["undone.csv"], run_id="undo")
        busy_lake.load(ingestion)

    if during == "listing":
        beside = _while_listed(ingestion, others)
    else:
        beside = replace(ingestion, lakehouse=_Scanned(others))
    found = reconcile(beside, apply)

    assert (found.found, found.findings) == ({}, ())
    assert found.agrees
    assert (found.files_in_table, found.rows_in_table) == (1, 1)
    assert busy_lake.ids("scanned") == Counter([2])


def test_reconcile_requeues_nothing_that_came_back_after_its_scan(busy_lake: Lake) -> None:
    folder = busy_lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = busy_lake.ingestion("back")
    busy_lake.load(ingestion)
    loaded = by_hand.head(busy_lake, "back")
    by_hand.sql(busy_lake, "delete from lake.{ns}.back")

    found = reconcile(
        ingestion, apply=True, on_difference=lambda _: by_hand.roll_back(busy_lake, "back", loaded)
    )

    assert found.agrees
    assert busy_lake.load(ingestion) == []
    assert busy_lake.ids("back") == Counter([1])


def test_a_late_publish_of_an_older_version_is_replaced_by_the_newer_one(
    busy_lake: Lake, tmp_path: Path
) -> None:
    folder = busy_lake.folder()
    write_ids(folder, "first.csv", 9)
    source = {"type": "local", "url": str(folder), "on_change": "replace"}
    ingestion = busy_lake.ingestion("late", source=source)
    busy_lake.load(ingestion)
    write_ids(folder, "grown.csv", 1, 2)
    write_ids(folder, "emptied.csv", 5)
    go = {name: tmp_path / name for name in ("zombie", "worker")}
    failpoints.arm(f"publishing#1=pause:{go['zombie']},followed#2=pause:{go['worker']}")
    zombie = threading.Thread(target=lambda: busy_lake.load(ingestion))
    zombie.start()
    wait_for(lambda: Path(f"{go['zombie']}.reached").exists(), 60, "the first worker")
    # Another worker settled its batch: main did not hold it when that one looked.
    (stopped,) = {f.batch_id for f in busy_lake.store.files.find(ingestion.id, ("PROCESSING",))}
    assert busy_lake.store.claims.release(str(stopped), None)
    write_ids(folder, "grown.csv", 1, 2, 3)
    write_ids(folder, "emptied.csv")
    worker = threading.Thread(target=lambda: busy_lake.load(ingestion))
    worker.start()
    wait_for(lambda: Path(f"{go['worker']}.reached").exists(), 60, "the second worker")

    go["zombie"].touch()
    zombie.join(60)
    go["worker"].touch()
    worker.join(60)

    assert busy_lake.ids("late") == Counter([1, 2, 3, 9])
    assert set(busy_lake.statuses(ingestion).values()) == {"SUCCESS"}
    found = reconcile(ingestion)
    assert found.agrees
    assert not found.found
