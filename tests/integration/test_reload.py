"""Reload puts new rows in place of the old ones: always one of the two, never both, never none."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from autoloader_dagster.errors import FilesInUse, NotLoaded
from autoloader_dagster.iceberg.table import IcebergTable
from autoloader_dagster.loading.changes.reload import plan_reload, reload
from autoloader_dagster.loading.changes.undo import undo
from autoloader_dagster.loading.ingestion import BatchOutcome, Ingestion
from autoloader_dagster.spark.session import connect
from autoloader_dagster.state.records import PartitionKeys
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.moments import dying_at, once_at


def _reload(ingestion: Ingestion, **options) -> list[BatchOutcome]:
    return list(reload(ingestion, run_id="reload-run", **options))


def _kept(outcomes: list[BatchOutcome]) -> dict[str, str]:
    return {
        Path(f.path).name: f.reason or "" for o in outcomes for f in o.files if f.status == "KEPT"
    }


def _by_day(lake: Lake, name: str, **parts) -> Ingestion:
    partition = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}*.csv", "start": "2026-01-01"}
    return lake.ingestion(name, partition=partition, **parts)


def test_a_partition_is_loaded_again_in_the_place_of_its_rows(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "2026-01-01.csv", 1, 2)
    write_ids(folder, "2026-01-01b.csv", 3)
    write_ids(folder, "2026-01-02.csv", 4)
    ingestion = _by_day(lake, "days")
    (first,) = lake.load(ingestion)
    day = PartitionKeys(("2026-01-01",))

    plan = plan_reload(ingestion, day)
    assert (plan.rows, plan.partitions, plan.batches, len(plan.files)) == (3, ("2026-01-01",), 1, 2)
    (outcome,) = _reload(ingestion, partitions=day)

    assert (outcome.rows, len(outcome.loaded)) == (3, 2)
    assert lake.ids("days") == Counter([1, 2, 3, 4])
    batches = Counter(row[0] for row in lake.rows("days", "_batch_id"))
    assert batches == Counter({first.batch_id: 1, outcome.batch_id: 3})
    rows = {Path(f.file_path).name: f for f in lake.store.files.find(ingestion.id)}
    assert {f.status for f in rows.values()} == {"SUCCESS"}
    assert rows["2026-01-01.csv"].batch_id == outcome.batch_id
    assert rows["2026-01-01.csv"].snapshot_id == outcome.snapshot_id
    assert rows["2026-01-02.csv"].batch_id == first.batch_id
    batch = lake.store.batches.latest(ingestion.id)[0]
    assert (batch.kind, batch.status, batch.rows, batch.files) == ("reload", "RECORDED", 3, 2)
    with connect(lake.settings) as spark:
        history = IcebergTable(spark, ingestion.spec.table.name).history()
    assert set(history.heads) == {"main"}
    assert lake.load(ingestion) == []


@pytest.mark.parametrize("on_change", ["ignore", "fail", "replace"])
def test_a_changed_file_comes_in_the_place_of_the_loaded_one(lake: Lake, on_change: str) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    source = {"type": "local", "url": str(folder), "on_change": on_change}
    ingestion = lake.ingestion("changed", source=source)
    lake.load(ingestion)
    write_ids(folder, "a.csv", 10, 11)

    assert [f.changed for f in plan_reload(ingestion).files] == [True]
    _reload(ingestion)

    assert lake.ids("changed") == Counter([10, 11])
    assert [f.status for f in lake.store.files.find(ingestion.id)] == ["REPLACED", "SUCCESS"]
    assert lake.load(ingestion) == []


def test_under_append_each_version_keeps_its_own_rows(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    source = {"type": "local", "url": str(folder), "on_change": "append"}
    ingestion = lake.ingestion("appended", source=source)
    lake.load(ingestion)
    write_ids(folder, "a.csv", 10, 11)
    lake.load(ingestion)

    outcomes = _reload(ingestion)

    assert "loaded beside this one; its rows are kept" in _kept(outcomes)["a.csv"]
    assert lake.ids("appended") == Counter([1, 10, 11])
    assert [f.status for f in lake.store.files.find(ingestion.id)] == ["SUCCESS", "SUCCESS"]


def test_files_that_are_gone_or_cannot_be_loaded_any_more_keep_their_rows(lake: Lake) -> None:
    folder = lake.folder()
    for i, name in enumerate(["gone.csv", "good.csv", "spoilt.csv"]):
        write_ids(folder, name, i)
    ingestion = lake.ingestion("kept")
    lake.load(ingestion)
    (folder / "gone.csv").unlink()
    (folder / "spoilt.csv").write_bytes(b"PK\x03\x04 no csv")

    outcomes = _reload(ingestion)

    kept = _kept(outcomes)
    assert kept["gone.csv"] == "is not in the source any more; its rows are kept"
    assert "its rows are kept as they were" in kept["spoilt.csv"]
    assert [Path(f.path).name for o in outcomes for f in o.loaded] == ["good.csv"]
    assert lake.ids("kept") == Counter([0, 1, 2])
    loaded = [Path(f.file_path).name for f in lake.store.files.find(ingestion.id, ("SUCCESS",))]
    assert sorted(loaded) == ["gone.csv", "good.csv", "spoilt.csv"]


def test_a_file_that_is_empty_now_takes_its_rows_out(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2)
    ingestion = lake.ingestion("emptied")
    lake.load(ingestion)
    (folder / "a.csv").write_text("id\n")

    (outcome,) = _reload(ingestion, names=["a.csv"])

    assert outcome.snapshot_id is not None
    assert lake.ids("emptied") == Counter([2])
    (again,) = _reload(ingestion, names=["a.csv"])
    assert (again.snapshot_id, len(again.loaded)) == (None, 1), "there is nothing to change"


def test_batches_are_bounded_and_each_is_one_publish(lake: Lake) -> None:
    for i in range(5):
        write_ids(lake.folder(), f"{i}.csv", i)
    ingestion = lake.ingestion("bounded", batch={"max_files": 2})
    lake.load(ingestion)

    assert plan_reload(ingestion).batches == 3
    outcomes = _reload(ingestion)

    assert [len(o.loaded) for o in outcomes] == [2, 2, 1]
    assert lake.ids("bounded") == Counter(range(5))


@pytest.mark.parametrize("point", ["publishing", "published"])
def test_a_reload_that_died_is_settled_with_one_of_the_two(lake: Lake, point: str) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("died")
    (first,) = lake.load(ingestion)
    write_ids(folder, "a.csv", 10, 11)
    with dying_at(point):
        _reload(ingestion)
    published = point == "published"
    (loaded,) = lake.store.files.find(ingestion.id, ("SUCCESS",))
    assert loaded.batch_id == first.batch_id

    lake.load(ingestion, ended_runs={"reload-run"})

    (loaded,) = lake.store.files.find(ingestion.id, ("SUCCESS",))
    assert (loaded.batch_id != first.batch_id) == published
    assert lake.ids("died") == Counter([10, 11] if published else [1])
    (batch, *_) = [b for b in lake.store.batches.latest(ingestion.id) if b.kind == "reload"]
    assert batch.status == ("RECORDED" if published else "RELEASED")


def test_a_reload_that_meets_a_load_of_the_new_version_leaves_it(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2)
    source = {"type": "local", "url": str(folder), "on_change": "replace"}
    ingestion = lake.ingestion("race", source=source)
    lake.load(ingestion)
    os.utime(write_ids(folder, "a.csv", 10, 11), (1e9, 1e9))

    with once_at("writing", lambda: lake.load(ingestion)):
        outcomes = _reload(ingestion)

    assert "loaded or undone by another batch meanwhile" in _kept(outcomes)["a.csv"]
    assert lake.ids("race") == Counter([10, 11, 2])


def test_a_load_that_meets_a_reload_of_its_file_leaves_it(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    source = {"type": "local", "url": str(folder), "on_change": "replace"}
    ingestion = lake.ingestion("race_back", source=source)
    lake.load(ingestion)
    write_ids(folder, "a.csv", 10, 11)

    with once_at("writing", lambda: _reload(ingestion)):
        lake.load(ingestion)

    assert lake.ids("race_back") == Counter([10, 11])
    assert [f.status for f in lake.store.files.find(ingestion.id)] == ["REPLACED", "SUCCESS"]


def test_a_file_undone_during_its_reload_stays_undone(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2)
    ingestion = lake.ingestion("undone")
    lake.load(ingestion)
    a_row = next(f for f in lake.store.files.find(ingestion.id) if f.file_path.endswith("a.csv"))

    def an_undo_comes_first() -> None:
        with pytest.raises(FilesInUse, match="the reload"):
            undo(ingestion, ["a.csv"], run_id="u")
        # As an undo does that was published before this reload was claimed.
        with lake.store._database.writing() as connection:
            connection.exec_driver_sql(
                f"update processed_files set status = 'UNDONE' where id = {a_row.id}"
            )
        with connect(lake.settings) as spark:
            name = ingestion.spec.table.name
            spark.sql(f"delete from {name} where _source_file = '{a_row.file_path}'")

    with once_at("writing", an_undo_comes_first):
        outcomes = _reload(ingestion)

    assert list(_kept(outcomes)) == ["a.csv"]
    assert lake.ids("undone") == Counter([2])


def test_a_lost_state_learns_of_a_reload_from_the_table(lake: Lake, tmp_path: Path) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2)
    ingestion = lake.ingestion("lost_state")
    lake.load(ingestion)
    (outcome,) = _reload(ingestion, names=["a.csv"])
    lake.store.close()
    lake.store = ProcessedFiles(f"sqlite:///{tmp_path / 'new_state.db'}")
    lake.store.upgrade()
    ingestion = lake.ingestion("lost_state")

    lake.load(ingestion)

    assert lake.ids("lost_state") == Counter([1, 2])
    batches = {b.id: (b.kind, b.status) for b in lake.store.batches.latest(ingestion.id)}
    assert batches[outcome.batch_id] == ("reload", "RECORDED")
    assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}


def test_a_reload_says_which_files_a_restored_state_took_for_loaded(
    lake: Lake, tmp_path: Path
) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    replacing = {"source": {"type": "local", "url": str(folder), "on_change": "replace"}}
    ingestion = lake.ingestion("older", **replacing)
    lake.load(ingestion)
    lake.store.close()
    shutil.copy(tmp_path / "state.db", tmp_path / "backup.db")
    write_ids(folder, "a.csv", 10, 11)
    lake.load(ingestion)
    lake.store.close()
    lake.store = ProcessedFiles(f"sqlite:///{tmp_path / 'backup.db'}")
    ingestion = lake.ingestion("older", **replacing)

    outcomes = _reload(ingestion)

    assert [each.batch_id for each in outcomes] == [""]
    reason = _kept(outcomes)["a.csv"]
    assert reason.startswith("was replaced by a newer version")
    assert "the state was behind the table" in reason
    assert lake.ids("older") == Counter([10, 11])
    assert [len(each.loaded) for each in _reload(ingestion)] == [1]
    assert lake.ids("older") == Counter([10, 11])


def test_what_is_not_loaded_cannot_be_reloaded(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("nothing")

    with pytest.raises(NotLoaded, match="no loaded files"):
        plan_reload(ingestion)
    lake.load(ingestion)
    with pytest.raises(NotLoaded, match="no loaded files"):
        plan_reload(ingestion, PartitionKeys(("2020-01-01",)))
