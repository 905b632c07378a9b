"""Copies of files that Spark cannot read in place."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from autoloader_dagster.errors import UsageError
from autoloader_dagster.formats.look import look_at
from autoloader_dagster.loading.batch import stage as staging
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.local.source import LocalFileSource
from tests.unit.look_steps import csv, folder, json, listed, look_at_bytes


def test_a_full_disk_is_reported_with_the_folder_and_what_to_do(tmp_path: Path) -> None:
    look = replace(look_at_bytes(tmp_path, b"id\n1\n", csv()), lines=None, stage_as=".csv")
    batch = tmp_path / "staging" / "batch"
    staged = staging.stage(folder(tmp_path / "one"), [look], batch, csv())
    (copy,) = staged.copies.values()
    copy.unlink()
    copy.symlink_to("/dev/full")

    with pytest.raises(UsageError) as caught:
        staging.stage(folder(tmp_path / "one"), [look], batch, csv())

    assert str(batch) in caught.value.what
    assert "No space left on device" in caught.value.what
    assert "Make room there" in caught.value.hint


def test_each_file_that_spark_cannot_reach_is_staged_under_a_name_it_reads(tmp_path: Path) -> None:
    class Remote(LocalFileSource):
        read_in_place = False

    source = Remote(str(tmp_path / "in"), FileFilter(), "remote")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text('{"id": 1}\n')
    (tmp_path / "in" / "b").write_bytes(gzip.compress(b'{"id": 2}\n'))
    looks = list(look_at(source, listed(source), json()))

    staged = staging.stage(source, looks, tmp_path / "staging" / "batch", json())

    read_from = [staged.readable(source, look, None).file.read_from for look in looks]
    assert [Path(path).name.split(".", 1)[1] for path in read_from] == ["json", "json.gz"]
    assert all(path.startswith(f"file://{tmp_path}/staging/") for path in read_from)
