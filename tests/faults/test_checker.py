"""The checker sees what is wrong, and says nothing where all is right."""

import os
import sqlite3
import warnings
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from autoloader_dagster.state.store import ProcessedFiles
from tests.faults.checker import BATCH_PROPERTY, Verdict, check, versions_in

Place = Any


class _Place:
    """A table that pyiceberg wrote, two files and a state, which agree with each other."""

    def __init__(self, root: Path) -> None:
        from pyiceberg.catalog.sql import SqlCatalog

        self.landing = root / "landing"
        self.landing.mkdir()
        self.url = f"sqlite:///{root / 'state.db'}"
        self.state_file = root / "state.db"
        store = ProcessedFiles(self.url)
        store.upgrade()
        store.close()
        self.catalog = SqlCatalog(
            "lake", uri=f"sqlite:///{root / 'catalog.db'}", warehouse=str(root / "warehouse")
        )
        self.catalog.create_namespace("ns")
        for name, ids in (("a.csv", [1, 2]), ("b.csv", [3])):
            (self.landing / name).write_text("id\n" + "".join(f"{i}\n" for i in ids))
        schema = pa.schema(
            [("id", pa.int64()), ("_source_file", "string"), ("_batch_id", "string")]
        )
        self.table = self.catalog.create_table("ns.t", schema)
        self.append("batch-1", {"a.csv": [1, 2], "b.csv": [3]})
        self.batch("batch-1", "RECORDED")
        self.file("a.csv", "SUCCESS", "batch-1", 2)
        self.file("b.csv", "SUCCESS", "batch-1", 1)

    def append(self, batch: str, rows: dict[str, list[int]]) -> None:
        flat = [(i, str(self.landing / name), batch) for name, ids in rows.items() for i in ids]
        columns = ("id", "_source_file", "_batch_id")
        data = pa.table({c: [row[n] for row in flat] for n, c in enumerate(columns)})
        self.table.append(data, snapshot_properties={BATCH_PROPERTY: batch})

    def delete(self, expression: str) -> None:
        self.table.delete(expression)

    def sql(self, statement: str, *values: Any) -> None:
        with sqlite3.connect(self.state_file) as connection:
            connection.execute(statement, values)
        connection.close()

    def batch(self, batch: str, status: str) -> None:
        now = "2026-01-01 00:00:00.000000"
        self.sql(
            'insert into batches (id, tenant, ingestion_id, run_id, "table", status, attempt, '
            "lease_owner, lease_expires_at, files, bytes, started_at, snapshot_id) "
            "values (?, 'default', 'default/t', 'r', 'lake.ns.t', ?, 1, 'o', ?, 1, 1, ?, ?)",
            batch, status, now, now, self.table.current_snapshot().snapshot_id,
        )  # fmt: skip

    def file(self, name: str, status: str, batch: str | None, rows: int | None) -> None:
        path = self.landing / name
        stat = path.stat()
        moment = datetime.fromtimestamp(stat.st_mtime_ns // 10**9, timezone.utc)
        text = f"{moment:%Y-%m-%d %H:%M:%S}.{stat.st_mtime_ns // 1000 % 10**6:06}"
        now = "2026-01-01 00:00:00.000000"
        self.sql(
            "insert into processed_files (tenant, ingestion_id, file_path, file_version, "
            "file_size_bytes, file_modified_at, status, batch_id, snapshot_id, rows, "
            "retry_count, discovered_at, created_at, updated_at) "
            "values ('default', 'default/t', ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)",
            str(path), text, stat.st_size, text, status, batch,
            self.table.current_snapshot().snapshot_id, rows, now, now, now,
        )  # fmt: skip

    def check(self, **more: Any) -> Verdict:
        versions = versions_in(self.landing)
        return check(self.catalog, "ns.t", self.url, ["default/t"], versions, **more)


@pytest.fixture
def place(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = _Place(tmp_path)
        yield place
        place.catalog.engine.dispose()


def test_what_is_right_is_right(place: Place) -> None:
    assert not place.check(), str(place.check())


def _double_rows(place: Place) -> None:
    place.append("batch-1", {"a.csv": [1, 2]})


def _another_batch(place: Place) -> None:
    place.append("batch-2", {"a.csv": [1, 2]})


def _rows_of_no_file(place: Place) -> None:
    place.append("batch-2", {"never.csv": [7]})


def _lost_row(place: Place) -> None:
    place.delete("id == 2")


def _new_file(place: Place) -> None:
    (place.landing / "c.csv").write_text("id\n9\n")


def _changed_file(place: Place) -> None:
    (place.landing / "b.csv").write_text("id\n3\n4\n")


def _left_in_work(place: Place) -> None:
    place.sql("update processed_files set status = 'PROCESSING' where rows = 1")


def _open_batch(place: Place) -> None:
    place.batch("batch-3", "CLAIMED")


def _left_branch(place: Place) -> None:
    snapshot = place.table.current_snapshot().snapshot_id
    place.table.manage_snapshots().create_branch(snapshot, "autoloader_x_1").commit()


def _forgotten(place: Place) -> None:
    place.sql("delete from processed_files where rows = 1")


def _wrong_count(place: Place) -> None:
    place.sql("update processed_files set rows = 5 where rows = 1")


def _released(place: Place) -> None:
    place.sql("update batches set status = 'RELEASED'")


def _rolled_back(place: Place) -> None:
    place.sql("update processed_files set snapshot_id = 4711")


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (_double_rows, {"double"}),
        (_another_batch, {"double", "disagree"}),
        (_rows_of_no_file, {"double", "disagree"}),
        (_lost_row, {"lost", "disagree"}),
        (_new_file, {"lost", "unsettled"}),
        (_changed_file, {"lost", "unsettled", "disagree"}),
        (_left_in_work, {"unsettled", "disagree"}),
        (_open_batch, {"unsettled"}),
        (_left_branch, {"branches"}),
        (_forgotten, {"unsettled", "disagree"}),
        (_wrong_count, {"disagree"}),
        (_released, {"disagree"}),
        (_rolled_back, {"disagree"}),
    ],
)
def test_what_is_wrong_is_said(
    place: Place, spoil: Callable[[Place], None], wrong: set[str]
) -> None:
    spoil(place)
    verdict = place.check()
    kinds = ("lost", "double", "unsettled", "disagree", "branches")
    assert wrong <= {kind for kind in kinds if getattr(verdict, kind)}, str(verdict)


def test_a_deleted_file_may_be_loaded_whole_or_not_at_all(place: Place) -> None:
    versions = versions_in(place.landing)
    gone = str(place.landing / "a.csv")
    (place.landing / "a.csv").unlink()

    def verdict() -> Verdict:
        return check(place.catalog, "ns.t", place.url, ["default/t"], versions, gone=[gone])

    assert not verdict(), str(verdict())
    place.delete("id == 2")
    assert verdict().lost


def test_a_file_of_the_last_half_millisecond_of_a_second_is_the_same_file(place: Place) -> None:
    # SQLite's own functions would round it up to the next second.
    path = place.landing / "b.csv"
    os.utime(path, ns=(1_767_225_600_999_938_540, 1_767_225_600_999_938_540))
    place.sql("delete from processed_files where rows = 1")
    place.file("b.csv", "SUCCESS", "batch-1", 1)
    assert not place.check(), str(place.check())
