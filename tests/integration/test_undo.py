"""Undo takes exactly the rows of some file versions out, once, whatever happens in between."""

import json
import os
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from autoloader_dagster import failpoints
from autoloader_dagster.errors import FilesInUse, NotAsLoaded, NotLoaded, TableError, UsageError
from autoloader_dagster.iceberg import delete as taking_out
from autoloader_dagster.iceberg.table import IcebergTable
from autoloader_dagster.loading.changes.retry import retry
from autoloader_dagster.loading.changes.undo import UndoOutcome, undo
from autoloader_dagster.loading.changes.undo_plan import plan_undo
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.spark.session import connect
from autoloader_dagster.state.records import Amendment
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.moments import dying_at, once_at


def _undo(ingestion: Ingestion, *names: str, **options) -> UndoOutcome:
    return undo(ingestion, names, run_id="undo-run", **options)


def _sql(lake: Lake, statement: str) -> list:
    with connect(lake.settings) as spark:
        return spark.sql(statement).collect()


def _replacing(lake: Lake, name: str, **parts) -> Ingestion:
    source = {"type": "local", "url": str(lake.folder()), "on_change": "replace"}
    return lake.ingestion(name, source=source, **parts)


def _new_state(lake: Lake, tmp_path: Path) -> None:
    lake.store.close()
    lake.store = ProcessedFiles(f"sqlite:///{tmp_path / 'new_state.db'}")
    lake.store.upgrade()


def test_an_undo_takes_out_the_rows_of_the_named_files_in_one_snapshot(lake: Lake) -> None:
    folder = lake.folder()
    for name, ids in {"a.csv": (1, 2), "b.csv": (3,), "sub/c.csv": (4, 5)}.items():
        write_ids(folder, name, *ids)
    ingestion = _replacing(lake, "named")
    (loaded,) = lake.load(ingestion)

    plan = plan_undo(ingestion, ["a.csv", "sub/*.csv"])
    assert (plan.rows, plan.batches) == (4, (loaded.batch_id,))
    assert [Path(f.path).name for f in plan.files] == ["a.csv", "c.csv"]
    assert lake.ids("named") == Counter([1, 2, 3, 4, 5]), "a plan changes nothing"

    outcome = _undo(ingestion, "a.csv", "sub/*.csv")

    assert outcome.rows == 4
    assert lake.ids("named") == Counter([3])
    assert lake.statuses(ingestion) == {"a.csv": "UNDONE", "b.csv": "SUCCESS", "c.csv": "UNDONE"}
    row = next(f for f in lake.store.files.find(ingestion.id) if f.file_path.endswith("a.csv"))
    assert outcome.batch_id in (row.reason or "")
    (snapshot, *_) = _sql(
        lake,
        f"select parent_id, summary from {outcome.table}.snapshots "
        f"where snapshot_id = {outcome.snapshot_id}",
    )
    assert snapshot["parent_id"] == loaded.snapshot_id
    assert snapshot["summary"]["autoloader.batch-id"] == outcome.batch_id
    assert snapshot["summary"]["autoloader.kind"] == "undo"
    assert list(json.loads(snapshot["summary"]["autoloader.undone"])) == [loaded.batch_id]
    batch = lake.store.batches.latest(ingestion.id)[0]
    assert (batch.id, batch.kind, batch.status, batch.rows, batch.files, batch.snapshot_id) == (
        outcome.batch_id, "undo", "RECORDED", 4, 2, outcome.snapshot_id
    )  # fmt: skip
    with connect(lake.settings) as spark:
        assert set(IcebergTable(spark, outcome.table).history().heads) == {"main"}
    assert lake.load(ingestion) == [], "what was undone is not loaded again by itself"


def test_a_whole_batch_is_undone_and_can_be_retried(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = _replacing(lake, "whole")
    lake.load(ingestion)
    write_ids(folder, "b.csv", 2)
    write_ids(folder, "c.csv", 3)
    (second,) = lake.load(ingestion)

    outcome = undo(ingestion, batch_id=second.batch_id, run_id="r")

    assert outcome.rows == 2
    assert lake.ids("whole") == Counter([1])
    with pytest.raises(NotLoaded, match=r"nothing of this is loaded.*b\.csv was undone"):
        undo(ingestion, batch_id=second.batch_id, run_id="r")
    assert [Path(f.path).name for f in retry(ingestion, ["b.csv"]).files] == ["b.csv"]
    lake.load(ingestion)
    assert lake.ids("whole") == Counter([1, 2])


def test_a_corrected_file_is_loaded_after_its_first_version_was_undone(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("corrected")
    lake.load(ingestion)
    _undo(ingestion, "a.csv")
    write_ids(folder, "a.csv", 10, 11)

    lake.load(ingestion)

    assert lake.ids("corrected") == Counter([10, 11])


def test_what_was_never_loaded_cannot_be_undone(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    (folder / "bad.csv").write_bytes(b"PK\x03\x04 no csv")
    ingestion = lake.ingestion("never")
    lake.load(ingestion)

    with pytest.raises(NotLoaded, match=r"default/never knows no file nowhere\.csv"):
        plan_undo(ingestion, ["nowhere.csv"])
    with pytest.raises(NotLoaded, match=r"bad\.csv is quarantined: "):
        plan_undo(ingestion, ["bad.csv"])
    with pytest.raises(NotLoaded, match="has no batch 20200101"):
        plan_undo(ingestion, batch_id="20200101T000000Z-000000")
    for wrong in ({}, {"names": ["a.csv"], "batch_id": "x"}):
        with pytest.raises(UsageError, match="files or a batch, and not both"):
            plan_undo(ingestion, **wrong)
    assert [each.status for each in plan_undo(ingestion, ["*.csv"]).left] == ["QUARANTINED"]
    outcome = _undo(ingestion, "a.csv")
    with pytest.raises(NotLoaded, match="is an undo itself"):
        plan_undo(ingestion, batch_id=outcome.batch_id)


@pytest.mark.parametrize("change", ["deleted", "doubled"])
def test_rows_that_are_not_those_that_were_loaded_are_named_and_kept(
    lake: Lake, change: str
) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1, 2, 3)
    write_ids(folder, "b.csv", 4)
    ingestion = lake.ingestion("merged")
    lake.load(ingestion)
    name = ingestion.spec.table.name
    if change == "deleted":
        _sql(lake, f"delete from {name} where id = 2")
    else:
        _sql(lake, f"insert into {name} select * from {name} where id = 2")
    there = 2 if change == "deleted" else 4
    before = lake.ids("merged")

    said = rf"a\.csv has {there} rows in the table, and 3 were loaded"
    with pytest.raises(NotAsLoaded, match=said):
        _undo(ingestion, "*.csv")
    assert lake.ids("merged") == before
    assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}
    assert [b.kind for b in lake.store.batches.latest(ingestion.id)] == ["load"]
    assert len(plan_undo(ingestion, ["*.csv"]).differences) == 1

    outcome = _undo(ingestion, "*.csv", accept_differences=True)

    assert outcome.rows == there + 1
    assert lake.table("merged").num_rows == 0


def test_rows_that_are_all_gone_are_undone_so_that_a_lost_state_learns_of_it(
    lake: Lake, tmp_path: Path
) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("all_gone")
    lake.load(ingestion)
    _sql(lake, f"delete from {ingestion.spec.table.name}")

    outcome = _undo(ingestion, "a.csv", accept_differences=True)
    assert (outcome.rows, outcome.snapshot_id is None) == (0, False)

    _new_state(lake, tmp_path)
    ingestion = lake.ingestion("all_gone")
    lake.load(ingestion)
    assert lake.table("all_gone").num_rows == 0


def test_stray_rows_of_a_batch_are_named_and_go_with_it(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("strays")
    (loaded,) = lake.load(ingestion)
    name = ingestion.spec.table.name
    _sql(
        lake,
        f"insert into {name} select 99, null, 'x', null, null, {loaded.batch_id!r} from {name}",
    )

    with pytest.raises(NotAsLoaded, match=r"x has 1 row of batch .* by the state"):
        undo(ingestion, batch_id=loaded.batch_id, run_id="r")
    outcome = undo(ingestion, batch_id=loaded.batch_id, run_id="r", accept_differences=True)

    assert outcome.rows == 2
    assert lake.table("strays").num_rows == 0


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("mode", ["copy-on-write", "merge-on-read"])
def test_rows_go_however_the_table_deletes_and_after_a_compaction(
    lake: Lake, mode: str, compacted: bool
) -> None:
    folder = lake.folder()
    for i in range(4):
        os.utime(write_ids(folder, f"{i}.csv", i, i + 10), (1e9, 1e9))
    ingestion = lake.ingestion(
        "modes",
        table={
            "name": f"lake.{lake.namespace}.modes",
            "properties": {"write.delete.mode": mode, "write.metadata.metrics.default": "full"},
        },
        batch={"max_files": 2},
    )
    lake.load(ingestion)
    if compacted:
        _sql(
            lake,
            f"call lake.system.rewrite_data_files(table => '{lake.namespace}.modes', "
            "options => map('min-input-files', '2'))",
        )

    first = _undo(ingestion, "1.csv")
    second = _undo(ingestion, "3.csv")

    assert (first.rows, second.rows) == (2, 2)
    assert lake.ids("modes") == Counter([0, 10, 2, 12])


def test_an_undo_that_died_after_publishing_is_recorded_by_the_next_run(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    write_ids(lake.folder(), "b.csv", 2)
    ingestion = lake.ingestion("died_late")
    lake.load(ingestion)
    with dying_at("published"):
        _undo(ingestion, "a.csv")
    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS", "b.csv": "SUCCESS"}

    assert lake.load(ingestion, ended_runs={"undo-run"}) == []

    assert lake.statuses(ingestion) == {"a.csv": "UNDONE", "b.csv": "SUCCESS"}
    (batch,) = [b for b in lake.store.batches.latest(ingestion.id) if b.kind == "undo"]
    assert (batch.status, batch.rows) == ("RECORDED", 1)


def test_an_undo_that_is_tried_again_takes_out_nothing_that_was_loaded_since(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1, 2)
    ingestion = lake.ingestion("tried_again")
    lake.load(ingestion)
    with dying_at("published"):
        _undo(ingestion, "*.csv")
    write_ids(lake.folder(), "b.csv", 3)
    lake.load(ingestion)

    again = undo(
        ingestion, ["*.csv"], run_id="second", ended_runs={"undo-run"}, earlier_runs={"undo-run"}
    )
    assert again.earlier_run == "undo-run"
    assert again.rows == 2
    (batch,) = [b for b in lake.store.batches.latest(ingestion.id) if b.kind == "undo"]
    assert (again.batch_id, again.snapshot_id) == (batch.id, batch.snapshot_id)
    assert lake.ids("tried_again") == Counter([3])
    # Asked for anew, it is done anew.
    assert undo(ingestion, ["*.csv"], run_id="third").rows == 1


def test_an_undo_whose_snapshot_expired_before_anybody_heard_of_it_is_recorded(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    write_ids(lake.folder(), "b.csv", 2)
    ingestion = lake.ingestion("expired")
    lake.load(ingestion)
    with dying_at("published"):
        _undo(ingestion, "a.csv")
    with connect(lake.settings) as spark:
        table = IcebergTable(spark, ingestion.spec.table.name)
        for branch in table.branches():
            table.drop_branch(branch)
        spark.sql(f"insert into {table.name} select 9, null, 'x', null, null, 'by-hand'")
        spark.sql(
            f"call lake.system.expire_snapshots(table => '{lake.namespace}.expired', "
            "older_than => timestamp '2999-01-01 00:00:00', retain_last => 1)"
        ).collect()
        assert len(table.history().snapshots) == 1

    lake.load(ingestion, ended_runs={"undo-run"})

    assert lake.statuses(ingestion) == {"a.csv": "UNDONE", "b.csv": "SUCCESS"}
    assert lake.ids("expired") == Counter([2, 9])


def test_an_undo_that_died_before_publishing_has_changed_nothing(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("died_early")
    lake.load(ingestion)
    with dying_at("publishing"):
        _undo(ingestion, "a.csv")
    with pytest.raises(FilesInUse, match=r"a\.csv of default/died_early: the undo \S+ is at work"):
        _undo(ingestion, "a.csv")

    outcome = _undo(ingestion, "a.csv", ended_runs={"undo-run"})

    assert outcome.rows == 1
    assert lake.table("died_early").num_rows == 0
    assert sorted(b.status for b in lake.store.batches.latest(ingestion.id)) == [
        "RECORDED", "RECORDED", "RELEASED"
    ]  # fmt: skip
    with connect(lake.settings) as spark:
        assert set(IcebergTable(spark, outcome.table).history().heads) == {"main"}


def test_an_answer_that_is_lost_after_publishing_is_caught_up_with(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("lost")
    lake.load(ingestion)

    def lose_the_answer() -> None:
        raise ConnectionError("the answer was lost")

    with failpoints.on("published", lose_the_answer), pytest.raises(ConnectionError):
        _undo(ingestion, "a.csv")

    assert lake.statuses(ingestion) == {"a.csv": "UNDONE"}


@pytest.mark.parametrize("listed", [True, False])
def test_a_lost_state_learns_of_undone_files_from_the_table(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    for i in range(3):
        write_ids(lake.folder(), f"{i}.csv", i)
    if not listed:
        monkeypatch.setattr(taking_out, "_MAX_LISTED", 10)
    ingestion = lake.ingestion("lost_state")
    lake.load(ingestion)
    _undo(ingestion, "0.csv")
    _undo(ingestion, "1.csv")
    retry(ingestion, ["1.csv"])
    lake.load(ingestion)
    _new_state(lake, tmp_path)
    ingestion = lake.ingestion("lost_state")

    lake.load(ingestion)

    assert lake.ids("lost_state") == Counter([1, 2])
    assert lake.statuses(ingestion) == {"0.csv": "UNDONE", "1.csv": "SUCCESS", "2.csv": "SUCCESS"}


def test_a_state_from_before_the_undo_learns_of_it(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    write_ids(lake.folder(), "b.csv", 2)
    ingestion = lake.ingestion("restored")
    lake.load(ingestion)
    before = list(lake.store.files.find(ingestion.id))
    outcome = _undo(ingestion, "a.csv")
    # As a backup would bring it back: loaded, and nothing known of the undo.
    with lake.store._database.writing() as connection:
        connection.exec_driver_sql("update processed_files set status = 'SUCCESS'")
        connection.exec_driver_sql("delete from batches where kind = 'undo'")
        connection.exec_driver_sql(
            f"update followed_tables set last_snapshot_id = {before[0].snapshot_id}"
        )
    write_ids(lake.folder(), "c.csv", 3)

    lake.load(ingestion)

    assert lake.statuses(ingestion) == {"a.csv": "UNDONE", "b.csv": "SUCCESS", "c.csv": "SUCCESS"}
    assert lake.store.batches.known([outcome.batch_id])[outcome.batch_id].status == "RECORDED"


def test_a_replace_that_is_published_during_an_undo_wins_for_its_file(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2)
    ingestion = _replacing(lake, "race")
    lake.load(ingestion)
    write_ids(folder, "a.csv", 10, 11)
    once = iter([True])

    def a_load_comes_first():
        if next(once, False):
            lake.load(ingestion)

    with failpoints.on("branched", a_load_comes_first):
        outcome = _undo(ingestion, "a.csv", "b.csv")

    assert [Path(f.path).name for f in outcome.files] == ["b.csv"]
    assert [each.status for each in outcome.left] == ["REPLACED"]
    assert lake.ids("race") == Counter([10, 11])


def test_an_undo_that_is_published_during_a_replace_hinders_it_not(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = _replacing(lake, "race_back")
    lake.load(ingestion)
    write_ids(folder, "a.csv", 10, 11)

    with once_at("writing", lambda: _undo(ingestion, "a.csv")):
        lake.load(ingestion)

    assert lake.ids("race_back") == Counter([10, 11])
    versions = [f.status for f in lake.store.files.find(ingestion.id)]
    assert versions == ["UNDONE", "SUCCESS"]


def test_an_undo_all_of_whose_files_are_replaced_meanwhile_ends_without_a_snapshot(
    lake: Lake,
) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = _replacing(lake, "none_left")
    lake.load(ingestion)
    write_ids(lake.folder(), "a.csv", 10, 11)
    once = iter([True])

    def a_load_comes_first():
        if next(once, False):
            lake.load(ingestion)

    with failpoints.on("branched", a_load_comes_first):
        outcome = _undo(ingestion, "a.csv")

    assert (outcome.snapshot_id, outcome.files, outcome.rows) == (None, (), 0)
    assert lake.store.batches.known([outcome.batch_id])[outcome.batch_id].status == "RELEASED"
    assert lake.ids("none_left") == Counter([10, 11])


def test_files_of_an_open_undo_are_refused_to_another(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("in_use")
    lake.load(ingestion)
    (file,) = lake.store.files.find(ingestion.id)
    wanted = Amendment("reload", ingestion.id, "default", ingestion.spec.table.name, (file.id,))
    held = lake.store.claims.claim_amendment(wanted, "other", "other-run", timedelta(minutes=5))

    with pytest.raises(FilesInUse, match=f"the reload {held.batch_id} is at work on the same file"):
        _undo(ingestion, "a.csv")

    assert lake.ids("in_use") == Counter([1])


def test_a_table_that_is_gone_or_lost_its_lineage_is_said(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("odd_table")
    lake.load(ingestion)
    name = ingestion.spec.table.name
    _sql(lake, f"alter table {name} drop column _source_file")

    with pytest.raises(TableError, match="has lost its column _source_file"):
        _undo(ingestion, "a.csv")
    _sql(lake, f"drop table {name}")
    with pytest.raises(TableError, match="there is no table"):
        _undo(ingestion, "a.csv")

    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS"}
