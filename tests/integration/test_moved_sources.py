"""A landing folder that was moved takes its loaded files along, and they are not loaded again."""

import shutil
from collections import Counter
from pathlib import Path

from autoloader_dagster.loading.changes.retry import retry
from autoloader_dagster.loading.changes.undo import undo
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.lake import Lake, write_ids


def test_files_that_moved_with_their_folder_are_quarantined_and_the_new_ones_are_loaded(
    lake: Lake, state_url: str
) -> None:
    lake.store.close()
    lake.store = ProcessedFiles(state_url)
    lake.store.upgrade()
    before = lake.folder("before")
    write_ids(before, "a.csv", 1, 2)
    write_ids(before / "2026", "b.csv", 3)
    lake.load(lake.ingestion("moved", source={"type": "local", "url": str(before)}))

    after = lake.root / "after"
    shutil.move(before, after)
    write_ids(after, "c.csv", 4)
    # Another file of the same name and size.
    write_ids(after / "2027", "b.csv", 5)
    ingestion = lake.ingestion("moved", source={"type": "local", "url": str(after)})
    (outcome,) = lake.load(ingestion)

    assert lake.ids("moved") == Counter([1, 2, 3, 4, 5]), "no row is there twice"
    reasons = {Path(each.path).name: each.reason or "" for each in outcome.files if each.reason}
    assert set(reasons) == {"a.csv", "b.csv"}
    assert f"was loaded from {before}/a.csv" in reasons["a.csv"]
    assert lake.load(ingestion) == []

    # The way on that the reason names.
    undo(ingestion, [f"{before}/a.csv"], run_id="undo-run")
    retry(ingestion, ["a.csv"])
    lake.load(ingestion)
    assert lake.ids("moved") == Counter([1, 2, 3, 4, 5])


def test_files_that_are_back_where_they_were_loaded_leave_nothing_to_decide(lake: Lake) -> None:
    before = lake.folder("before")
    write_ids(before, "a.csv", 1)
    lake.load(lake.ingestion("back", source={"type": "local", "url": str(before)}))
    after = shutil.copytree(before, lake.root / "after")
    ingestion = lake.ingestion("back", source={"type": "local", "url": str(after)})
    lake.load(ingestion)
    assert lake.statuses(ingestion) == {"a.csv": "QUARANTINED"}

    ingestion = lake.ingestion("back", source={"type": "local", "url": str(before)})
    assert lake.load(ingestion) == []
    assert [each.status for each in lake.store.files.find(ingestion.id)] == ["SUCCESS", "SKIPPED"]


def test_files_that_moved_are_known_also_where_the_state_was_lost(
    lake: Lake, state_url: str
) -> None:
    before = lake.folder("before")
    write_ids(before, "a.csv", 1, 2)
    lake.load(lake.ingestion("lost", source={"type": "local", "url": str(before)}))
    after = lake.root / "after"
    shutil.move(before, after)
    write_ids(after, "b.csv", 3)
    lake.store.close()
    lake.store = ProcessedFiles(state_url)
    lake.store.upgrade()

    ingestion = lake.ingestion("lost", source={"type": "local", "url": str(after)})
    lake.load(ingestion)

    assert lake.ids("lost") == Counter([1, 2, 3])
    statuses = sorted(each.status for each in lake.store.files.find(ingestion.id))
    assert statuses == ["QUARANTINED", "SUCCESS", "SUCCESS"]
