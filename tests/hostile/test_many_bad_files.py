"""Whatever single files do, the others of their batch are in the table after the first run."""

import os
import stat
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster import failpoints
from autoloader_dagster.errors import LoadError
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.load import load
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.sources.local.source import LocalFileSource
from autoloader_dagster.sources.registry import open_source
from autoloader_dagster.spark.session import connect
from tests.fixtures.lake import Lake, write_ids


def _damaged(path: Path) -> None:
    """A Parquet file whose footer is sound and whose data is not, so that only Spark finds out."""
    pq.write_table(pa.table({"id": list(range(100))}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[4:120] = os.urandom(116)
    path.write_bytes(data)


def test_any_number_of_bad_files_leaves_in_one_run(lake: Lake) -> None:
    for bad, good in ((13, 5), (14, 1)):
        name = f"bad{bad}"
        folder = lake.folder(name)
        for i in range(bad):
            _damaged(folder / f"bad{i:03}.parquet")
        for i in range(good):
            pq.write_table(pa.table({"id": [i]}), folder / f"good{i:03}.parquet")
        ingestion = lake.ingestion(
            name,
            source={"type": "local", "url": str(folder)},
            format={"type": "parquet"},
        )

        lake.load(ingestion)

        assert lake.ids(name) == Counter(range(good))
        found = Counter((f.status, f.error_type) for f in lake.store.files.find(ingestion.id))
        assert found == {("SUCCESS", None): good, ("FAILED", "Unreadable"): bad}


def test_files_that_fail_only_together_are_loaded_in_smaller_batches(lake: Lake) -> None:
    for i in range(5):
        write_ids(lake.folder(), f"{i}.csv", i)
    ingestion, most = lake.ingestion("together"), 0

    def fail() -> None:
        if len(list(lake.store.files.find(ingestion.id, ("PROCESSING",)))) > most:
            raise RuntimeError("the files do not go together")

    with failpoints.on("writing", fail):
        with pytest.raises(LoadError, match="do not go together"):
            lake.load(ingestion)
        waiting = {(f.status, f.retry_count) for f in lake.store.files.find(ingestion.id)}
        assert waiting == {("DISCOVERED", 0)}, "a single file that fails to be written is kept"
        most = 2
        outcomes = lake.load(ingestion)

    assert [len(outcome.files) for outcome in outcomes] == [2, 1, 2]
    assert lake.ids("together") == Counter(range(5))
    assert {(f.status, f.retry_count) for f in lake.store.files.find(ingestion.id)} == {
        ("SUCCESS", 0)
    }


class _OtherAddresses(LocalFileSource):
    """Names some files to Spark in a way that Spark does not give back."""

    def spark_path(self, ref: FileRef) -> str:
        path = super().spark_path(ref)
        return path.replace("/odd", "/./odd") if "/odd" in path else path


def test_files_that_spark_names_otherwise_are_staged_and_the_rest_loads(lake: Lake) -> None:
    folder = lake.folder()
    for i in range(3):
        (folder / f"a{i}.json").write_text(f'{{"id": {i}}}\n')
        (folder / f"odd{i}.json").write_text(f'{{"id": {10 + i}}}\n')
    plain = lake.ingestion("odd", format={"type": "json"})
    source = open_source(plain.spec, None)
    assert isinstance(source, LocalFileSource)
    source.__class__ = _OtherAddresses
    ingestion = Ingestion(
        plain.loaded, source, lake.store, lambda: connect(lake.settings), lake.settings.staging_dir
    )

    lake.load(ingestion)

    assert lake.ids("odd") == Counter([0, 1, 2, 10, 11, 12])
    assert {path.split("/")[-1] for _, path in lake.rows("odd", "id", "_source_file")} == {
        f"{name}{i}.json" for name in ("a", "odd") for i in range(3)
    }


def test_copies_are_for_their_owner_alone_and_leftovers_go(lake: Lake, tmp_path: Path) -> None:
    (lake.folder() / "_hidden.json").write_text('{"id": 1}\n')
    plain = lake.ingestion("copies", format={"type": "json"})
    staging = tmp_path / "staging"
    ingestion = Ingestion(
        plain.loaded, plain.source, lake.store, lambda: connect(lake.settings), staging
    )
    modes: list[int] = []

    def look() -> None:
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in sorted(staging.rglob("*")))

    with failpoints.on("prepared", look):
        lake.load(ingestion)

    assert modes == [0o700, 0o600]
    (batch_id,) = {f.batch_id for f in lake.store.files.find(ingestion.id)}
    (old, new) = staging / "preview-0", staging / "preview-1"
    for left in (staging / str(batch_id), old, new):
        left.mkdir()
        (left / "x.json").write_text("what a killed worker left")
    day_ago = time.time() - 25 * 3600
    os.utime(old, (day_ago, day_ago))
    list(load(ingestion, None, "run-9"))
    assert list(staging.iterdir()) == [new]


def test_names_that_cannot_be_recorded_are_quarantined_once_and_the_rest_loads(lake: Lake) -> None:
    (lake.folder() / "a.json").write_text('{"id": 1}\n')
    Path(os.fsdecode(os.fsencode(lake.folder()) + b"/b\xff.json")).write_text('{"id": 2}\n')
    folder = Path(os.fsdecode(os.fsencode(lake.folder()) + b"/\xfe"))
    folder.mkdir()
    (folder / "c.json").write_text('{"id": 3}\n')
    ingestion = lake.ingestion("unusable", format={"type": "json"})

    for _ in range(2):
        lake.load(ingestion)

    assert lake.ids("unusable") == Counter([1])
    found = {
        Path(f.file_path).name: (f.status, f.error_type)
        for f in lake.store.files.find(ingestion.id)
    }
    quarantined = ("QUARANTINED", "UnusableFile")
    assert found == {
        "a.json": ("SUCCESS", None),
        r"b\udcff.json (name is not UTF-8)": quarantined,
        "c.json (name is not UTF-8)": quarantined,
    }
