"""Copies of files that Spark cannot read in place."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoloader_dagster.errors import UsageError
from autoloader_dagster.loading.batch import stage as staging
from tests.unit.look_steps import csv, folder, look_at_bytes


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
