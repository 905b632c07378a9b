"""Source, state and table are held against each other, and the state is mended by the table."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autoloader_dagster.batch_ids import branch_name
from autoloader_dagster.errors import SourceNotFound, TableError, TableUnavailable
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.recovery.advice import advice
from autoloader_dagster.loading.recovery.reconcile import Reconciliation, reconcile
from autoloader_dagster.spark.session import connect
from autoloader_dagster.state.records import Difference
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures import by_hand
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.moments import dying_at

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def _new_state(lake: Lake, url: str) -> None:
    lake.store.close()
    lake.store = ProcessedFiles(url)
    lake.store.upgrade()


def _state(ingestion: Ingestion) -> list[tuple[str, str, str | None, int | None]]:
    return sorted(
        (file.file_path, file.status, file.batch_id, file.rows)
        for file in ingestion.store.files.find(ingestion.id)
    )


def _finds_nothing(ingestion: Ingestion) -> bool:
    again = reconcile(ingestion, apply=True)
    return again.agrees and not any(again.found.get(k) for k in again.found if k != "gone")


def test_what_agrees_is_said_to_agree(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1, 2)
    gone = write_ids(folder, "b.csv", 3)
    (folder / "empty.csv").write_text("id\n")
    ingestion = lake.ingestion("agrees")
    lake.load(ingestion)
    gone.unlink()
    write_ids(folder, "c.csv", 4)
    before = _state(ingestion)

    found = reconcile(ingestion)

    assert found.agrees
    assert (found.listed, found.new, found.files_in_table, found.rows_in_table) == (3, 1, 2, 3)
    assert found.found == {"gone": 1}
    assert [Path(each.path).name for each in found.findings] == ["b.csv"]
    assert _state(ingestion) == before


def test_each_kind_of_difference_is_named_and_what_can_be_is_mended(lake: Lake) -> None:
    folder = lake.folder()
    for name in ("missing", "fewer", "double", "undone"):
        write_ids(folder, f"{name}.csv", 1, 2)
    ingestion = lake.ingestion("kinds", batch={"max_files": 1})
    lake.load(ingestion)
    batch_of = {Path(f.file_path).stem: f.batch_id for f in lake.store.files.find(ingestion.id)}
    undone = batch_of["undone"]
    assert undone is not None
    lake.store.rollbacks.roll_back(undone, None, "by a test")
    by_hand.sql(
        lake,
        "delete from lake.{ns}.kinds where _source_file like '%missing.csv'",
        "delete from lake.{ns}.kinds where _source_file like '%fewer.csv' and id = 1",
        "insert into lake.{ns}.kinds select id, _rescued, _source_file, _source_modified_at, "
        "_partition_key, '20200101T000000Z-abcdef' from lake.{ns}.kinds "
        "where _source_file like '%double.csv'",
        "insert into lake.{ns}.kinds select 9, null, null, null, null, 'by-hand'",
    )
    told = []

    found = reconcile(ingestion, on_difference=told.append)

    named = {(each.kind, Path(each.path).stem) for each in found.findings}
    assert named == {
        ("missing", "missing"),
        ("fewer", "fewer"),
        ("double", "double"),
        ("unrecorded", "undone"),
        ("unknown", ""),
    }
    assert told == list(found.findings)
    assert not found.agrees
    assert found.left == found.found
    says = {each.kind: advice(each, "kinds") for each in told}
    assert "loaded 2 rows, and the table has 1" in says["fewer"]
    assert "autoloader reconcile kinds --yes" in says["missing"]
    assert "2 rows of batch 20200101T000000Z-abcdef too many" in says["double"]

    mended = reconcile(ingestion, apply=True)

    assert mended.found == found.found
    assert mended.left == {"fewer": 1, "double": 1, "unknown": 1}
    assert lake.statuses(ingestion) == {
        "missing.csv": "DISCOVERED",
        "fewer.csv": "SUCCESS",
        "double.csv": "SUCCESS",
        "undone.csv": "SUCCESS",
    }
    lake.load(ingestion)
    assert lake.ids("kinds") == Counter({1: 4, 2: 5, 9: 1})
    assert reconcile(ingestion, apply=True).found == mended.left


def test_a_deleted_state_is_rebuilt_and_nothing_is_loaded_again(lake: Lake, state_url: str) -> None:
    folder = lake.folder()
    for i in range(6):
        write_ids(folder, f"{i}.csv", i, i + 10)
    bad = folder / "bad.csv"
    bad.write_text("id\n7\nseven\n")
    parts = {
        "batch": {"max_files": 2},
        "schema": {"hints": {"id": "bigint"}},
        "source": {"type": "local", "url": str(folder), "on_change": "replace"},
    }
    ingestion = lake.ingestion("rebuilt", **parts)
    lake.load(ingestion)
    before = _state(ingestion)
    rows = lake.ids("rebuilt")
    bad_rows = lake.store.totals.bad_rows(ingestion.id)
    by_hand.expire(lake, "rebuilt")
    if state_url.startswith("sqlite"):
        lake.store.close()
        for file in folder.parent.glob("state.db*"):
            file.unlink()
    _new_state(lake, state_url)
    ingestion = lake.ingestion("rebuilt", **parts)

    found = reconcile(ingestion)
    assert found.found == {"unrecorded": 7}
    assert _state(ingestion) == []
    mended = reconcile(ingestion, apply=True)

    assert mended.found == {"unrecorded": 7}
    assert mended.agrees
    assert _state(ingestion) == before
    assert lake.store.totals.bad_rows(ingestion.id) == bad_rows
    assert _finds_nothing(ingestion)
    assert lake.load(ingestion) == []
    assert lake.ids("rebuilt") == rows
    os.utime(write_ids(folder, "0.csv", 100), (5, 5))
    lake.load(ingestion)
    assert lake.ids("rebuilt") == rows - Counter([0, 10]) + Counter([100])


def test_a_rebuilt_state_knows_versions_that_the_source_has_no_more(
    lake: Lake, tmp_path: Path
) -> None:
    folder = lake.folder()
    changed = write_ids(folder, "changed.csv", 1)
    gone = write_ids(folder, "gone.csv", 2)
    parts = {"source": {"type": "local", "url": str(folder), "on_change": "replace"}}
    lake.load(lake.ingestion("older", **parts))
    shutil.move(gone, tmp_path / "gone.csv")
    os.utime(write_ids(folder, changed.name, 10), (5, 5))
    _new_state(lake, f"sqlite:///{tmp_path / 'new_state.db'}")
    ingestion = lake.ingestion("older", **parts)

    mended = reconcile(ingestion, apply=True)
    assert mended.found == {"unknown": 2}
    assert mended.agrees
    lake.load(ingestion)
    assert lake.ids("older") == Counter([2, 10])

    shutil.move(tmp_path / "gone.csv", gone)
    assert lake.load(ingestion) == [], "the same version has come back"
    assert lake.ids("older") == Counter([2, 10])
    assert _finds_nothing(ingestion)


def test_a_state_of_yesterday_is_brought_up_to_the_table(lake: Lake, tmp_path: Path) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2)
    parts = {"source": {"type": "local", "url": str(folder), "on_change": "replace"}}
    ingestion = lake.ingestion("restored", **parts)
    lake.load(ingestion)
    lake.store.close()
    backup = tmp_path / "backup.db"
    shutil.copy(tmp_path / "state.db", backup)
    os.utime(write_ids(folder, "a.csv", 10), (5, 5))
    write_ids(folder, "c.csv", 3)
    lake.load(ingestion)
    (folder / "c.csv").rename(tmp_path / "c.csv")
    _new_state(lake, f"sqlite:///{backup}")
    ingestion = lake.ingestion("restored", **parts)

    mended = reconcile(ingestion, apply=True)

    assert mended.agrees
    (tmp_path / "c.csv").rename(folder / "c.csv")
    assert lake.load(ingestion) == []
    assert lake.ids("restored") == Counter([10, 2, 3])
    assert _finds_nothing(ingestion)


def test_specs_that_share_a_table_each_find_their_own_after_the_state_was_lost(
    lake: Lake, state_url: str
) -> None:
    table = {"name": f"lake.{lake.namespace}.common", "shared": True}

    def ingestion(name: str) -> Ingestion:
        source = {"type": "local", "url": str(lake.folder(name))}
        return lake.ingestion(name, source=source, table=table)

    for number, name in enumerate(("one", "two", "three")):
        write_ids(lake.folder(name), "a.csv", number)
        lake.load(ingestion(name))
    if state_url.startswith("sqlite"):
        state_url += ".new"
    _new_state(lake, state_url)
    write_ids(lake.folder("one"), "b.csv", 10)
    write_ids(lake.folder("two"), "b.csv", 11)

    lake.load(ingestion("one"))
    lake.load(ingestion("two"))
    third = reconcile(ingestion("three"), apply=True)

    assert third.found == {"unrecorded": 1}
    assert lake.ids("common") == Counter([0, 1, 2, 10, 11])
    for name in ("one", "two", "three"):
        assert _finds_nothing(ingestion(name))


def test_batches_and_branches_of_killed_runs_are_named_and_settled(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("killed")
    (loaded,) = lake.load(ingestion)
    write_ids(folder, "b.csv", 2)

    with dying_at("audited"):
        lake.load(ingestion)
    left = branch_name(loaded.batch_id, 1)
    by_hand.sql(lake, f"alter table lake.{{ns}}.killed create branch {left}")

    found = reconcile(ingestion, ended_runs={"run-2"})
    assert (len(found.stale_batches), len(found.leftover_branches)) == (1, 1)
    assert not found.agrees
    assert reconcile(ingestion, apply=True, ended_runs={"run-2"}).agrees

    assert by_hand.branches(lake, "killed") == set()
    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS", "b.csv": "DISCOVERED"}


def test_a_dropped_table_lets_its_files_wait_only_if_told_so(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("dropped")
    lake.load(ingestion)
    by_hand.sql(lake, "drop table lake.{ns}.dropped purge")

    found = reconcile(ingestion)
    assert (found.table_exists, found.found) == (False, {"missing": 1})
    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS"}
    assert reconcile(ingestion, apply=True).agrees

    lake.load(ingestion)
    assert lake.ids("dropped") == Counter([1])


def test_what_cannot_be_read_changes_nothing(lake: Lake) -> None:
    folder = lake.folder("away")
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("unread", source={"type": "local", "url": str(folder)})
    lake.load(ingestion)
    before = _state(ingestion)

    by_hand.sql(lake, "alter table lake.{ns}.unread drop column _source_modified_at")
    with pytest.raises(TableError, match="has lost its column _source_modified_at"):
        reconcile(ingestion, apply=True)
    assert _state(ingestion) == before

    by_hand.sql(lake, "alter table lake.{ns}.unread add column _source_modified_at timestamp")
    shutil.rmtree(folder)
    with pytest.raises(SourceNotFound):
        reconcile(ingestion, apply=True)
    assert _state(ingestion) == before


def test_a_catalog_that_cannot_be_read_changes_nothing(lake: Lake) -> None:
    """A catalog of its own, because other tests use that of the server meanwhile."""
    catalog = lake.root / "own.db"
    conf = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "jdbc",
        ".uri": f"jdbc:sqlite:{catalog}",
        ".jdbc.schema-version": "V1",
        ".warehouse": str(lake.folder("own")),
    }

    @contextmanager
    def connected() -> "Iterator[SparkSession]":
        with connect(lake.settings) as spark:
            for key, value in conf.items():
                spark.conf.set(f"spark.sql.catalog.own{key}", value)
            yield spark

    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("unreachable", table={"name": f"own.{lake.namespace}.unreachable"})
    ingestion = replace(ingestion, connect=connected)
    lake.load(ingestion)
    write_ids(lake.folder(), "b.csv", 2)
    discover(ingestion)
    before = _state(ingestion)
    assert before
    catalog.write_bytes(b"not a database" * 100)

    with pytest.raises(TableUnavailable, match="the catalog 'own' at jdbc:sqlite:"):
        reconcile(ingestion, apply=True)

    assert _state(ingestion) == before


def test_a_table_that_moves_while_it_is_compared_is_read_again(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("busy")
    lake.load(ingestion)
    by_hand.sql(lake, "delete from lake.{ns}.busy")

    def main_moves(_: Difference) -> None:
        by_hand.sql(lake, "insert into lake.{ns}.busy select 9, null, null, null, null, null")

    result: Reconciliation = reconcile(ingestion, apply=True, on_difference=main_moves)

    assert (result.found, result.left) == ({"missing": 1}, {"unknown": 1})
    assert result.rows_in_table == 1
    assert lake.statuses(ingestion) == {"a.csv": "DISCOVERED"}


def test_a_table_to_which_the_lineage_columns_were_added_is_compared_and_loaded(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("remade")
    lake.load(ingestion)
    by_hand.sql(
        lake,
        "drop table lake.{ns}.remade purge",
        "create table lake.{ns}.remade (id bigint) using iceberg",
        "insert into lake.{ns}.remade values (7)",
    )
    with pytest.raises(TableError, match="exists with another layout") as caught:
        reconcile(ingestion)
    # The message names the statement.
    (statement,) = re.findall(r"ALTER TABLE .* ADD COLUMNS \(.*\)", caught.value.hint)
    by_hand.sql(lake, statement)

    # The head was written before it had the columns.
    assert reconcile(ingestion).found == {"missing": 1, "unknown": 1}
    write_ids(lake.folder(), "b.csv", 2)
    lake.load(ingestion)
    assert lake.ids("remade") == Counter([1, 2, 7])


def test_a_lost_state_is_rebuilt_from_a_table_that_lost_a_lineage_column_for_a_while(
    lake: Lake,
) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("lost")
    lake.load(ingestion)
    head = by_hand.head(lake, "lost")
    by_hand.sql(
        lake,
        "alter table lake.{ns}.lost drop column _rescued",
        "insert into lake.{ns}.lost select * from lake.{ns}.lost where false",
        "alter table lake.{ns}.lost add column _rescued string",
    )
    assert by_hand.head(lake, "lost") != head
    assert reconcile(ingestion).agrees


def test_a_table_that_lost_the_names_of_its_files_is_refused_and_loads_none_of_them_twice(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    folder = lake.folder()
    for i in range(2):
        write_ids(folder, f"{i}.csv", i)
    ingestion = lake.ingestion("nameless")
    lake.load(ingestion)
    by_hand.sql(lake, "alter table lake.{ns}.nameless drop column _source_file")
    write_ids(folder, "2.csv", 2)
    with pytest.raises(TableError, match="has lost its column _source_file, by which") as caught:
        lake.load(ingestion)
    assert caught.value.hint.startswith("Do not add it again, because it would be empty.")

    # Somebody does so nevertheless.
    by_hand.sql(lake, "alter table lake.{ns}.nameless add column _source_file string")
    lake.load(ingestion)
    found = reconcile(ingestion, apply=True)
    assert found.found == {"missing": 2, "unknown": 2}
    assert not found.agrees
    assert "they may be those of its missing files" in caplog.text
    assert "nothing tells what they are" in advice(found.findings[-1], "nameless")
    lake.load(ingestion)
    assert lake.ids("nameless") == Counter([0, 1, 2])


def test_what_reconcile_says_of_a_table_that_was_rolled_back_is_what_it_does(lake: Lake) -> None:
    folder = lake.folder()
    ingestion = lake.ingestion("back")
    write_ids(folder, "a.csv", 1)
    lake.load(ingestion)
    before = by_hand.head(lake, "back")
    write_ids(folder, "b.csv", 2)
    lake.load(ingestion)
    by_hand.roll_back(lake, "back", before)

    (missing,) = reconcile(ingestion).findings
    assert missing.kind == "missing"
    said = advice(missing, "back")
    assert "if main was rolled back, the file becomes UNDONE" in said
    assert "autoloader retry back FILE" in said

    reconcile(ingestion, apply=True)
    assert [status for path, status, *_ in _state(ingestion) if "b.csv" in path] == ["UNDONE"]
