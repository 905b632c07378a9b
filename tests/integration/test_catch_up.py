"""The state follows main wherever people and maintenance take it."""

import logging
import os
from collections import Counter
from pathlib import Path

import pytest

from autoloader_dagster import failpoints
from autoloader_dagster.iceberg.table import IcebergTable
from autoloader_dagster.loading.changes.reload import reload
from autoloader_dagster.loading.changes.retry import retry
from autoloader_dagster.loading.changes.undo import undo
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.recovery.reconcile import reconcile
from autoloader_dagster.state.batch_files import BatchFiles
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures import by_hand
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.moments import dying_at, once_at


def _replacing(lake: Lake) -> dict[str, str]:
    return {"type": "local", "url": str(lake.folder()), "on_change": "replace"}


def _die_at_the_second_record(patch: pytest.MonkeyPatch) -> None:
    real = BatchFiles.record
    once = iter([True])

    def die_after_the_first(self: BatchFiles, *args, **kwargs) -> None:
        if not next(once, False):
            raise failpoints.Death
        real(self, *args, **kwargs)

    patch.setattr(BatchFiles, "record", die_after_the_first)


def test_files_of_a_batch_that_was_rolled_back_are_undone_and_not_loaded_again(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("rolled")
    lake.load(ingestion)
    before = by_hand.head(lake, "rolled")
    write_ids(folder, "b.csv", 2)
    (undone,) = lake.load(ingestion)
    by_hand.roll_back(lake, "rolled", before)
    write_ids(folder, "c.csv", 3)

    with caplog.at_level(logging.WARNING):
        lake.load(ingestion)

    assert lake.ids("rolled") == Counter([1, 3])
    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS", "b.csv": "UNDONE", "c.csv": "SUCCESS"}
    reason = (
        f"main was rolled back past snapshot {undone.snapshot_id}, "
        f"which held batch {undone.batch_id}"
    )
    (row,) = lake.store.files.find(ingestion.id, statuses=["UNDONE"])
    assert row.reason == reason
    (batch,) = [b for b in lake.store.batches.latest(ingestion.id) if b.id == undone.batch_id]
    assert (batch.status, batch.error) == ("RELEASED", reason)
    assert "autoloader retry rolled" in caplog.text
    assert lake.load(ingestion) == []
    retry(ingestion, ["b.csv"])
    lake.load(ingestion)
    assert lake.ids("rolled") == Counter([1, 2, 3])


def test_a_batch_that_turns_up_in_main_again_is_recorded_again(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("forward")
    lake.load(ingestion)
    before = by_hand.head(lake, "forward")
    write_ids(folder, "b.csv", 2)
    (undone,) = lake.load(ingestion)
    by_hand.roll_back(lake, "forward", before)
    write_ids(folder, "c.csv", 3)
    lake.load(ingestion)
    assert lake.statuses(ingestion)["b.csv"] == "UNDONE"

    # Main has gone on, so this copies the snapshot, and the copy does not carry the batch's id.
    by_hand.sql(
        lake, f"call lake.system.cherrypick_snapshot('{{ns}}.forward', {undone.snapshot_id})"
    )
    write_ids(folder, "d.csv", 4)
    lake.load(ingestion)

    assert lake.ids("forward") == Counter([1, 2, 3, 4])
    assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}
    assert lake.load(ingestion) == []


def test_rolling_back_a_replacement_brings_the_older_version_back(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 9)
    ingestion = lake.ingestion("older", source=_replacing(lake))
    lake.load(ingestion)
    before = by_hand.head(lake, "older")
    for version in (2, 3):
        os.utime(write_ids(folder, "a.csv", version), (version, version))
        lake.load(ingestion)
    by_hand.roll_back(lake, "older", before)
    write_ids(folder, "c.csv", 4)

    lake.load(ingestion)

    path = str(folder / "a.csv")
    versions = [file.status for file in lake.store.files.find(ingestion.id, paths=[path])]
    assert versions == ["SUCCESS", "REPLACED", "UNDONE"]
    os.utime(write_ids(folder, "a.csv", 5), (5, 5))
    lake.load(ingestion)
    assert lake.ids("older") == Counter([4, 5, 9])


def test_a_rollback_between_the_delete_and_the_append_of_a_batch_is_told_by_the_rows(
    lake: Lake,
) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 9)
    ingestion = lake.ingestion("between", source=_replacing(lake))
    lake.load(ingestion)
    os.utime(write_ids(folder, "a.csv", 2), (2, 2))
    lake.load(ingestion)
    deleted = by_hand.snapshots(lake, "between")[-2]
    by_hand.roll_back(lake, "between", deleted)
    assert lake.ids("between") == Counter([9])
    write_ids(folder, "c.csv", 4)

    lake.load(ingestion)

    versions = [
        f.status for f in lake.store.files.find(ingestion.id, paths=[str(folder / "a.csv")])
    ]
    assert versions == ["REPLACED", "UNDONE"]
    assert lake.ids("between") == Counter([4, 9])


def test_a_rollback_while_a_batch_is_written_is_not_undone_by_its_publish(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("meanwhile")
    lake.load(ingestion)
    before = by_hand.head(lake, "meanwhile")
    write_ids(folder, "b.csv", 2)
    lake.load(ingestion)
    write_ids(folder, "c.csv", 3)

    with once_at("written", lambda: by_hand.roll_back(lake, "meanwhile", before)):
        lake.load(ingestion)

    assert lake.ids("meanwhile") == Counter([1, 3])
    assert lake.statuses(ingestion)["b.csv"] == "UNDONE"


def test_a_batch_published_while_another_loader_catches_up_is_not_taken_for_rolled_back(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    table = {"name": f"lake.{lake.namespace}.overtaken", "shared": True}
    ingestion = lake.ingestion("overtaken", table=table)
    lake.load(ingestion)
    write_ids(folder, "b.csv", 2)
    discover(ingestion)
    write_ids(folder, "c.csv", 3)
    real = IcebergTable.history
    once = iter([True])

    def old_news(self: IcebergTable):
        """The branch of b.csv is there, and it is published after main was read."""
        if not next(once, False):
            return real(self)
        read: list = []
        fast_forward = IcebergTable.fast_forward

        def read_first(table: IcebergTable, branch: str) -> int:
            read.append(real(table))
            return fast_forward(table, branch)

        with monkeypatch.context() as patch:
            patch.setattr(IcebergTable, "history", real)
            patch.setattr(IcebergTable, "fast_forward", read_first)
            lake.load(ingestion, listed=True)
        return read[0]

    other = lake.ingestion("overtaken_too", table=table)
    monkeypatch.setattr(IcebergTable, "history", old_news)
    discover(other)
    lake.load(other, listed=True)

    assert lake.statuses(ingestion)["b.csv"] == "SUCCESS"
    assert lake.ids("overtaken") == Counter([1, 2, 1, 2, 3])


def test_a_table_dropped_by_hand_is_loaded_again(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    folder = lake.folder()
    for i in range(3):
        write_ids(folder, f"{i}.csv", i)
    (folder / "empty.csv").write_text("id\n")
    ingestion = lake.ingestion("anew")
    lake.load(ingestion)
    by_hand.sql(lake, "drop table lake.{ns}.anew purge")
    assert lake.load(ingestion) == [], "nothing is pending, so nothing looks at the table"
    write_ids(folder, "3.csv", 3)

    with caplog.at_level(logging.WARNING):
        lake.load(ingestion)

    assert lake.ids("anew") == Counter([0, 1, 2, 3])
    assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}
    assert "was dropped or renamed, and created again" in caplog.text
    assert lake.load(ingestion) == []


@pytest.mark.parametrize("on_change", ["ignore", "append", "replace", "fail"])
def test_a_table_made_anew_gets_the_versions_that_the_source_has_now(
    lake: Lake, on_change: str
) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 9)
    ingestion = lake.ingestion(
        "newest", source={"type": "local", "url": str(folder), "on_change": on_change}
    )
    lake.load(ingestion)
    for version in (3, 2):
        os.utime(write_ids(folder, "a.csv", version), (version, version))
        lake.load(ingestion)
    by_hand.sql(lake, "drop table lake.{ns}.newest purge")
    write_ids(folder, "c.csv", 4)

    lake.load(ingestion)

    assert lake.ids("newest") == Counter([2, 4, 9])
    assert lake.load(ingestion) == []


def test_a_copy_under_the_same_name_is_not_loaded_again(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("copied")
    lake.load(ingestion)
    by_hand.sql(
        lake,
        "create table lake.{ns}.saved using iceberg as select * from lake.{ns}.copied",
        "drop table lake.{ns}.copied purge",
        "create table lake.{ns}.copied using iceberg as select * from lake.{ns}.saved",
    )
    write_ids(folder, "b.csv", 2)

    lake.load(ingestion)

    assert lake.ids("copied") == Counter([1, 2])


@pytest.mark.parametrize("max_files", [1, 10])
def test_a_table_that_was_replaced_by_a_copy_of_itself_keeps_its_files_as_they_are(
    lake: Lake, max_files: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = lake.folder()
    parts = {"source": _replacing(lake), "batch": {"max_files": max_files}}
    ingestion = lake.ingestion("again", **parts)
    for name, number in [("a.csv", 1), ("b.csv", 2), ("c.csv", 3), ("d.csv", 4)]:
        write_ids(folder, name, number)
    (folder / "empty.csv").write_text("id\n")
    lake.load(ingestion)
    undo(ingestion, ["c.csv"], run_id="undo")
    os.utime(write_ids(folder, "d.csv", 44), (4, 4))
    lake.load(ingestion)
    before = _versions(lake, ingestion)
    # As a person partitions a table that has rows already.
    by_hand.sql(
        lake,
        "create or replace table lake.{ns}.again using iceberg partitioned by (bucket(4, id)) "
        "as select * from lake.{ns}.again",
    )
    os.utime(write_ids(folder, "a.csv", 1, 11), (5, 5))

    lake.load(ingestion)

    assert "rolled back" not in caplog.text
    assert lake.ids("again") == Counter([1, 11, 2, 44])
    changed = {("a.csv", "SUCCESS", 1): -1, ("a.csv", "REPLACED", 1): 1, ("a.csv", "SUCCESS", 2): 1}
    assert _versions(lake, ingestion) == +Counter({**before, **changed})
    assert reconcile(ingestion).agrees
    # What was taken out can be loaded again, and what is there can be taken out.
    retry(ingestion, ["c.csv"])
    lake.load(ingestion)
    undo(ingestion, ["b.csv"], run_id="undo")
    assert lake.ids("again") == Counter([1, 11, 3, 44])


def _versions(lake: Lake, ingestion: Ingestion) -> Counter[tuple[str, str, int | None]]:
    return Counter(
        (Path(f.file_path).name, f.status, f.rows) for f in lake.store.files.find(ingestion.id)
    )


@pytest.mark.parametrize(
    "copy",
    [
        ("create or replace table lake.{ns}.gone using iceberg as select * from lake.{ns}.gone",),
        (
            "create table lake.{ns}.saved using iceberg as select * from lake.{ns}.gone",
            "drop table lake.{ns}.gone purge",
            "create table lake.{ns}.gone using iceberg as select * from lake.{ns}.saved",
        ),
        (
            "create table lake.{ns}.saved using iceberg as select * from lake.{ns}.gone",
            "delete from lake.{ns}.gone",
            "insert overwrite lake.{ns}.gone select * from lake.{ns}.saved",
        ),
    ],
    ids=["replaced", "made again", "filled again"],
)
def test_a_lost_state_is_rebuilt_from_a_table_that_is_a_copy(
    lake: Lake, tmp_path: Path, copy: tuple[str, ...]
) -> None:
    folder = lake.folder()
    for i in range(3):
        write_ids(folder, f"{i}.csv", i)
    lake.load(lake.ingestion("gone"))
    by_hand.sql(lake, *copy)
    lake.store.close()
    lake.store = ProcessedFiles(f"sqlite:///{tmp_path / 'new_state.db'}")
    lake.store.upgrade()
    ingestion = lake.ingestion("gone")
    write_ids(folder, "3.csv", 3)

    lake.load(ingestion)

    assert lake.ids("gone") == Counter([0, 1, 2, 3])
    assert reconcile(ingestion).agrees


def test_a_table_made_anew_lets_the_files_of_every_spec_on_it_wait(lake: Lake) -> None:
    table = {"name": f"lake.{lake.namespace}.common", "shared": True}
    one = lake.ingestion(
        "one", source={"type": "local", "url": str(lake.folder("one"))}, table=table
    )
    two = lake.ingestion(
        "two", source={"type": "local", "url": str(lake.folder("two"))}, table=table
    )
    write_ids(lake.folder("one"), "a.csv", 1)
    write_ids(lake.folder("two"), "b.csv", 2)
    lake.load(one)
    lake.load(two)
    by_hand.sql(lake, "drop table lake.{ns}.common purge")
    write_ids(lake.folder("one"), "c.csv", 3)

    lake.load(one)
    assert lake.statuses(two) == {"b.csv": "DISCOVERED"}
    lake.load(two)

    assert lake.ids("common") == Counter([1, 2, 3])


@pytest.mark.parametrize("maintenance", [by_hand.expire, by_hand.compact])
def test_maintenance_between_a_crash_and_its_recovery_doubles_nothing(
    lake: Lake, maintenance
) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("kept")
    lake.load(ingestion)
    write_ids(folder, "b.csv", 2)
    with dying_at("published"):
        lake.load(ingestion)
    by_hand.sql(lake, "insert into lake.{ns}.kept select 99, null, 'x', null, null, 'by-hand'")
    by_hand.compact(lake, "kept")
    maintenance(lake, "kept")

    assert lake.load(ingestion, ended_runs={"run-2"}) == []

    assert lake.ids("kept") == Counter([1, 2, 99])
    assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}
    write_ids(folder, "c.csv", 3)
    lake.load(ingestion)
    assert lake.ids("kept") == Counter([1, 2, 3, 99])


def test_a_crash_while_batches_are_found_by_their_rows_loses_none_of_them(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lake.folder()
    for i in range(3):
        write_ids(folder, f"{i}.csv", i)
    parts = {"batch": {"max_files": 1}}
    lake.load(lake.ingestion("halfway", **parts))
    by_hand.expire(lake, "halfway")
    lake.store.close()
    lake.store = ProcessedFiles(f"sqlite:///{tmp_path / 'new_state.db'}")
    lake.store.upgrade()
    ingestion = lake.ingestion("halfway", **parts)
    write_ids(folder, "3.csv", 3)
    with monkeypatch.context() as patch:
        _die_at_the_second_record(patch)
        with pytest.raises(failpoints.Death):
            lake.load(ingestion)

    lake.load(ingestion, ended_runs={"run-2"})

    assert lake.ids("halfway") == Counter([0, 1, 2, 3])
    assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}


def test_a_rollback_whose_snapshots_have_expired_is_told_by_the_rows(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("vanished")
    lake.load(ingestion)
    before = by_hand.head(lake, "vanished")
    write_ids(folder, "b.csv", 2)
    (folder / "empty.csv").write_text("id\n")
    lake.load(ingestion)
    by_hand.roll_back(lake, "vanished", before)
    by_hand.sql(lake, "insert into lake.{ns}.vanished select 99, null, 'x', null, null, 'by-hand'")
    by_hand.expire(lake, "vanished")
    write_ids(folder, "c.csv", 3)

    lake.load(ingestion)

    assert lake.ids("vanished") == Counter([1, 3, 99])
    assert lake.statuses(ingestion)["b.csv"] == "UNDONE"
    assert lake.load(ingestion) == []


def test_a_killed_run_leaves_a_branch_that_the_next_load_drops(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("branches")
    with dying_at("recorded"):
        lake.load(ingestion)
    by_hand.sql(lake, "alter table lake.{ns}.branches create branch somebodys_own")
    assert len(by_hand.branches(lake, "branches")) == 2
    write_ids(folder, "b.csv", 2)

    lake.load(ingestion)

    assert by_hand.branches(lake, "branches") == {"somebodys_own"}


def test_rolling_back_an_undo_makes_its_files_loaded_again(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2)
    ingestion = lake.ingestion("undone")
    lake.load(ingestion)
    before = by_hand.head(lake, "undone")
    undo(ingestion, ["a.csv"], run_id="undo")
    assert lake.statuses(ingestion)["a.csv"] == "UNDONE"
    by_hand.roll_back(lake, "undone", before)
    write_ids(folder, "c.csv", 3)

    lake.load(ingestion)

    assert lake.ids("undone") == Counter([1, 2, 3])
    assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}


def test_rolling_back_a_reload_leaves_its_files_loaded_as_before(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2)
    ingestion = lake.ingestion("reloaded", source=_replacing(lake))
    (loaded,) = lake.load(ingestion)
    before = by_hand.head(lake, "reloaded")
    assert list(reload(ingestion, names=["a.csv"], run_id="reload"))
    by_hand.roll_back(lake, "reloaded", before)
    write_ids(folder, "c.csv", 3)

    lake.load(ingestion)

    files = list(lake.store.files.find(ingestion.id, paths=[str(folder / "a.csv")]))
    assert [(file.status, file.batch_id) for file in files] == [("SUCCESS", loaded.batch_id)]
    os.utime(write_ids(folder, "a.csv", 10), (5, 5))
    lake.load(ingestion)
    assert lake.ids("reloaded") == Counter([10, 2, 3])
