"""Each version of each file is in the table once, whatever happens in between."""

import os
from collections import Counter
from pathlib import Path

import pytest

from autoloader_dagster import failpoints
from autoloader_dagster.errors import SparkUnavailable, TableError
from autoloader_dagster.iceberg.table import IcebergTable
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.spark.session import connect
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.lake import Lake, write_ids
from tests.fixtures.moments import dying_at, once_at


def test_only_new_and_changed_files_are_loaded(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1, 2)
    write_ids(folder, "b.csv", 3)
    source = {"type": "local", "url": str(folder), "on_change": "replace"}
    ingestion = lake.ingestion("again", source=source)
    lake.load(ingestion)
    assert lake.load(ingestion) == []

    write_ids(folder, "b.csv", 30, 31)
    write_ids(folder, "c.csv", 4)
    (outcome,) = lake.load(ingestion)

    assert sorted(Path(f.path).name for f in outcome.loaded) == ["b.csv", "c.csv"]
    assert lake.ids("again") == Counter([1, 2, 30, 31, 4])
    assert lake.load(ingestion) == []


def test_a_changed_file_that_is_empty_now_takes_its_rows_out(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1, 2)
    write_ids(folder, "b.csv", 3)
    ingestion = lake.ingestion(
        "emptied", source={"type": "local", "url": str(folder), "on_change": "replace"}
    )
    lake.load(ingestion)
    (folder / "a.csv").write_text("id\n")

    (outcome,) = lake.load(ingestion)

    assert outcome.snapshot_id is not None
    assert lake.ids("emptied") == Counter([3])
    assert lake.load(ingestion) == []


@pytest.mark.parametrize(
    ("on_change", "expected"),
    [("ignore", [1]), ("append", [1, 2]), ("replace", [2]), ("fail", [1])],
)
def test_a_changed_file_follows_on_change(lake: Lake, on_change: str, expected: list[int]) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion(
        "changed", source={"type": "local", "url": str(folder), "on_change": on_change}
    )
    lake.load(ingestion)
    os.utime(write_ids(folder, "a.csv", 2), ns=(1, 1))

    lake.load(ingestion)

    assert lake.ids("changed") == Counter(expected)


def test_a_file_that_changes_between_listing_and_reading_is_loaded_once_and_whole(
    lake: Lake,
) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2)
    ingestion = lake.ingestion("moving")
    discover(ingestion)

    with once_at("written", lambda: write_ids(folder, "b.csv", 20, 21)):
        lake.load(ingestion, listed=True)

    assert lake.ids("moving") == Counter([1, 20, 21])
    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS", "b.csv": "SUCCESS"}


@pytest.mark.parametrize("ids", [(2, 3, 4), (2,), (7, 8)], ids=["appended", "cut", "same size"])
@pytest.mark.parametrize("step", ["looked", "staged", "written"])
def test_a_file_that_changes_at_any_step_is_loaded_as_it_is_then(
    lake: Lake, step: str, ids: tuple[int, ...]
) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2, 3)
    ingestion = lake.ingestion("unsteady")

    with once_at(step, lambda: write_ids(folder, "b.csv", *ids)):
        lake.load(ingestion)

    assert lake.ids("unsteady") == Counter([1, *ids])
    loaded = lake.store.files.find(ingestion.id, ("SUCCESS",))
    now = {ref.path: ref.version for page in ingestion.source.list_pages() for ref in page}
    assert {file.file_path: file.file_version for file in loaded} == now


def test_a_file_deleted_between_listing_and_reading_is_skipped(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    gone = write_ids(folder, "b.csv", 2)
    ingestion = lake.ingestion("gone")
    discover(ingestion)
    gone.unlink()

    lake.load(ingestion, listed=True)

    assert lake.ids("gone") == Counter([1])
    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS", "b.csv": "SKIPPED"}


def test_an_answer_that_is_lost_after_publishing_is_caught_up_with(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("lost")

    def lose_the_answer() -> None:
        raise ConnectionError("the answer was lost")

    with failpoints.on("published", lose_the_answer), pytest.raises(ConnectionError):
        lake.load(ingestion)

    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS"}
    assert lake.load(ingestion) == []
    assert lake.ids("lost") == Counter([1])


def test_a_run_that_died_before_publishing_is_taken_up(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("died")
    discover(ingestion)
    with dying_at("publishing"):
        lake.load(ingestion, listed=True)
    assert lake.statuses(ingestion) == {"a.csv": "PROCESSING"}
    assert lake.load(ingestion) == [], "its lease still holds"

    lake.load(ingestion, ended_runs={"run-1"})

    assert lake.ids("died") == Counter([1])
    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS"}


def test_a_run_that_died_after_publishing_is_recorded_and_not_loaded_again(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("died_late")
    with dying_at("published"):
        lake.load(ingestion)
    assert lake.statuses(ingestion) == {"a.csv": "PROCESSING"}

    assert lake.load(ingestion, ended_runs={"run-1"}) == []

    assert lake.ids("died_late") == Counter([1])
    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS"}


@pytest.mark.parametrize("published", [True, False])
def test_a_file_that_changed_after_its_run_had_died_is_loaded_by_the_next_run(
    lake: Lake, published: bool
) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    source = {"type": "local", "url": str(lake.folder()), "on_change": "replace"}
    ingestion = lake.ingestion("died_and_changed", source=source)
    with dying_at("published" if published else "audited"):
        lake.load(ingestion)
    write_ids(lake.folder(), "a.csv", 2, 3)

    # Its listing comes before the dead run is settled, and leaves the file alone.
    lake.load(ingestion, ended_runs={"run-1"})

    assert lake.ids("died_and_changed") == Counter([2, 3])
    kept = {row.status for row in lake.store.files.find(ingestion.id)}
    assert kept == {"SUCCESS", "REPLACED"}


def test_main_that_moved_meanwhile_makes_a_new_attempt(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("moved")
    lake.load(ingestion)
    write_ids(lake.folder(), "b.csv", 2)

    def move_main() -> None:
        with connect(lake.settings) as spark:
            name = ingestion.spec.table.name
            spark.sql(f"insert into {name} select 99, null, 'x', null, null, 'by-hand'")

    with once_at("written", move_main):
        lake.load(ingestion)

    assert lake.ids("moved") == Counter([1, 2, 99])
    (row,) = [b for b in lake.store.batches.latest(ingestion.id) if b.attempt == 2]
    assert row.status == "RECORDED"


def test_a_branch_that_came_back_on_another_base_is_not_published(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("zombie")
    lake.load(ingestion)
    write_ids(lake.folder(), "b.csv", 2)

    def drop_the_branch_and_make_it_again() -> None:
        with connect(lake.settings) as spark:
            table = IcebergTable(spark, ingestion.spec.table.name)
            (branch,) = table.branches()
            table.drop_branch(branch)
            spark.sql(f"insert into {table.name} select 99, null, 'x', null, null, 'by-hand'")
            table.create_branch(branch, table.head())

    with once_at("writing", drop_the_branch_and_make_it_again):
        lake.load(ingestion)

    assert lake.ids("zombie") == Counter([1, 2, 99])


def test_a_lost_state_database_is_rebuilt_from_the_table(lake: Lake, tmp_path: Path) -> None:
    for i in range(3):
        write_ids(lake.folder(), f"{i}.csv", i)
    ingestion = lake.ingestion("rebuilt", batch={"max_files": 1})
    lake.load(ingestion)
    assert len(lake.store.batches.latest(ingestion.id)) == 3
    lake.store.close()
    lake.store = ProcessedFiles(f"sqlite:///{tmp_path / 'new_state.db'}")
    lake.store.upgrade()
    ingestion = lake.ingestion("rebuilt", batch={"max_files": 1})
    write_ids(lake.folder(), "3.csv", 3)

    lake.load(ingestion)

    assert lake.ids("rebuilt") == Counter([0, 1, 2, 3])
    assert set(lake.statuses(ingestion).values()) == {"SUCCESS"}


def test_batches_are_bounded_and_each_is_one_snapshot(lake: Lake) -> None:
    for i in range(5):
        write_ids(lake.folder(), f"{i}.csv", i)
    ingestion = lake.ingestion("bounded", batch={"max_files": 2})

    outcomes = lake.load(ingestion)

    assert [len(o.files) for o in outcomes] == [2, 2, 1]
    assert len({o.snapshot_id for o in outcomes}) == 3
    assert lake.ids("bounded") == Counter(range(5))


def test_a_table_with_another_layout_is_refused_and_nothing_is_lost(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("alien")
    with connect(lake.settings) as spark:
        spark.sql(f"create namespace if not exists lake.{lake.namespace}")
        spark.sql(f"create table {ingestion.spec.table.name} (id bigint) using iceberg")

    with pytest.raises(TableError, match=r"exists with another layout.*_source_file"):
        lake.load(ingestion)

    assert lake.statuses(ingestion) == {"a.csv": "DISCOVERED"}


def test_a_dead_server_releases_the_batch(lake: Lake) -> None:
    write_ids(lake.folder(), "a.csv", 1)
    ingestion = lake.ingestion("dead")

    def server_is_gone() -> None:
        raise SparkUnavailable("the server is gone", "start it")

    with failpoints.on("writing", server_is_gone), pytest.raises(SparkUnavailable):
        lake.load(ingestion)

    assert lake.statuses(ingestion) == {"a.csv": "DISCOVERED"}
    lake.load(ingestion)
    assert lake.ids("dead") == Counter([1])


def test_an_emptied_file_that_shared_a_data_file_with_others_loses_only_its_rows(
    lake: Lake,
) -> None:
    folder = lake.folder()
    for i in range(4):
        os.utime(write_ids(folder, f"{i}.csv", i, i + 10), (1e9, 1e9))
    ingestion = lake.ingestion(
        "shared_data_file", source={"type": "local", "url": str(folder), "on_change": "replace"}
    )
    lake.load(ingestion)
    (folder / "2.csv").write_text("id\n")
    (empty,) = lake.load(ingestion)
    assert lake.ids("shared_data_file") == Counter([0, 10, 1, 11, 3, 13])
    assert empty.snapshot_id is not None

    # Its rows are gone already, so nothing is left to delete.
    (folder / "2.csv").write_text("id\r\n")
    lake.load(ingestion)
    assert lake.statuses(ingestion)["2.csv"] == "SUCCESS"
    write_ids(folder, "2.csv", 22)
    lake.load(ingestion)
    assert lake.ids("shared_data_file") == Counter([0, 10, 1, 11, 22, 3, 13])


def test_attempts_leave_no_branch_behind(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    ingestion = lake.ingestion("tidy")
    lake.load(ingestion)
    write_ids(folder, "b.csv", 2)
    gone = write_ids(folder, "c.csv", 3)

    with once_at("written", gone.unlink):
        lake.load(ingestion)

    with connect(lake.settings) as spark:
        heads = IcebergTable(spark, ingestion.spec.table.name).history().heads
    assert set(heads) == {"main"}
    assert lake.ids("tidy") == Counter([1, 2])


@pytest.mark.parametrize("rows_before", ["1\n", ""])
def test_a_replaced_file_whose_data_files_could_be_dropped_whole_is_replaced(
    lake: Lake, rows_before: str
) -> None:
    """Iceberg then deletes by statistics alone, in a commit that carries no mark of ours."""
    folder = lake.folder()
    write_ids(folder, "a.csv", 7)
    (folder / "z.csv").write_text(f"id\n{rows_before}")
    ingestion = lake.ingestion(
        "dropped_whole",
        source={"type": "local", "url": str(folder), "on_change": "replace"},
        batch={"max_files": 1},
        table={
            "name": f"lake.{lake.namespace}.dropped_whole",
            "properties": {"write.metadata.metrics.default": "full"},
        },
    )
    lake.load(ingestion)
    write_ids(folder, "z.csv", 2, 3)

    (outcome,) = lake.load(ingestion)

    assert outcome.rows == 2
    assert lake.ids("dropped_whole") == Counter([7, 2, 3])
    assert lake.store.batches.latest(ingestion.id)[0].attempt == 1
