"""Retry requeues files, and says of each file why not."""

import os
from collections import Counter
from pathlib import Path

import pytest

from autoloader_dagster.errors import NotLoaded
from autoloader_dagster.loading.changes.dismiss import dismiss
from autoloader_dagster.loading.changes.retry import RetryOutcome, plan_retry, retry
from autoloader_dagster.loading.discover import discover
from tests.fixtures.lake import Lake

NO_CSV = b"PK\x03\x04 no csv"


def _left(outcome: RetryOutcome) -> dict[str, str]:
    return {Path(each.path).name: each.reason for each in outcome.left}


def _names(outcome: RetryOutcome) -> list[str]:
    return sorted(Path(each.path).name for each in outcome.files)


def test_all_that_failed_or_were_quarantined_wait_again(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "good.csv").write_text("id\n1\n")
    (folder / "bad.csv").write_bytes(NO_CSV)
    (folder / "gone.csv").write_bytes(NO_CSV)
    (folder / "changed.csv").write_bytes(NO_CSV)
    ingestion = lake.ingestion("all_again")
    lake.load(ingestion)
    (folder / "gone.csv").unlink()
    (folder / "changed.csv").write_text("id\n5\n")
    before = lake.statuses(ingestion)

    plan = plan_retry(ingestion)
    assert _names(plan) == ["bad.csv"]
    assert lake.statuses(ingestion) == before, "a plan changes nothing"
    outcome = retry(ingestion)

    assert _names(outcome) == ["bad.csv"]
    assert _left(outcome) == {
        "gone.csv": "is not in the source any more",
        "changed.csv": "was changed in the source since; the next listing finds that version",
    }
    (row,) = lake.store.files.find(ingestion.id, ("DISCOVERED",))
    assert (row.retry_count, row.error_type, row.batch_id) == (0, None, None)
    assert outcome.partitions == (row.partition_key,)
    lake.load(ingestion, listed=True)
    assert lake.statuses(ingestion)["bad.csv"] == "QUARANTINED"


def test_a_loaded_file_is_refused_and_a_skipped_one_that_came_back_is_loaded(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "a.csv").write_text("id\n1\n")
    back = folder / "b.csv"
    back.write_text("id\n2\n")
    was = back.stat().st_mtime_ns
    ingestion = lake.ingestion("by_name")
    discover(ingestion)
    back.unlink()
    lake.load(ingestion, listed=True)
    assert lake.statuses(ingestion) == {"a.csv": "SUCCESS", "b.csv": "SKIPPED"}
    back.write_text("id\n2\n")
    os.utime(back, ns=(was, was))

    with pytest.raises(NotLoaded, match=r"knows no file c\.csv"):
        retry(ingestion, ["a.csv", "c.csv"])
    outcome = retry(ingestion, ["a.csv", "b.csv"])

    assert _left(outcome) == {"a.csv": "is loaded; use 'autoloader reload' to load it again"}
    assert [(Path(f.path).name, f.was) for f in outcome.files] == [("b.csv", "SKIPPED")]
    lake.load(ingestion, listed=True)
    assert Counter(lake.rows("by_name")) == Counter([(1,), (2,)])


@pytest.mark.parametrize("on_change", ["ignore", "fail"])
def test_a_version_beside_a_loaded_one_is_left_to_reload(lake: Lake, on_change: str) -> None:
    folder = lake.folder()
    (folder / "a.csv").write_text("id\n1\n")
    source = {"type": "local", "url": str(folder), "on_change": on_change}
    ingestion = lake.ingestion("beside", source=source)
    lake.load(ingestion)
    (folder / "a.csv").write_text("id\n10\n11\n")
    lake.load(ingestion)

    outcome = retry(ingestion, ["a.csv"])

    assert outcome.files == ()
    told = _left(outcome)["a.csv"]
    assert f"source.on_change is '{on_change}'; use 'autoloader reload'" in told
    assert lake.load(ingestion) == []
    assert Counter(lake.rows("beside")) == Counter([(1,)])


def test_a_file_without_a_partition_waits_only_once_it_has_one(lake: Lake) -> None:
    folder = lake.folder()
    (folder / "odd.csv").write_text("id\n1\n")
    partition = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv", "start": "2026-01-01"}
    ingestion = lake.ingestion("placed", partition=partition)
    discover(ingestion)

    assert "does not match partition.pattern" in _left(retry(ingestion))["odd.csv"]
    # Dismissed, it is not among those that failed; by its name it is placed as before.
    assert [Path(file.path).name for file in dismiss(ingestion, ["odd.csv"]).files] == ["odd.csv"]
    assert discover(ingestion).unchanged == 1
    assert retry(ingestion) == RetryOutcome((), ())
    assert "does not match partition.pattern" in _left(retry(ingestion, ["odd.csv"]))["odd.csv"]
    fixed = lake.ingestion("placed", partition={"by": "none"})
    assert _names(retry(fixed, ["odd.csv"])) == ["odd.csv"]

    lake.load(fixed, listed=True)
    assert lake.statuses(fixed) == {"odd.csv": "SUCCESS"}
