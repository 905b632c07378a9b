"""A name that a person gives means the file of this name, whatever characters it is made of."""

import os
from pathlib import Path

import pytest

from autoloader_dagster.errors import NotLoaded
from autoloader_dagster.loading.changes.select_files import versions_named
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.spark.session import connect
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.lake import Lake
from tests.hostile.corpus import CONTROLS, file_names

# What the names of the corpus would select as patterns of a shell or of LIKE.
_VICTIMS = ("axx.csv", "ab.csv", "a1.csv", "ax1x.csv", "xunder.csv", "100x.csv", "xmetadata.csv")


def test_each_name_selects_its_own_file_and_no_other(lake: Lake, state: ProcessedFiles) -> None:
    folder = lake.folder()
    names = [*file_names(".csv"), *(f"{text}.csv" for text in CONTROLS), *_VICTIMS]
    for name in names:
        path = Path(f"{folder}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("id\n1\n")
    plain = lake.ingestion("chosen")
    ingestion = Ingestion(
        plain.loaded, plain.source, state, lambda: connect(lake.settings), lake.settings.staging_dir
    )
    discover(ingestion)

    def chosen(name: str) -> list[str]:
        return [row.file_path for row in versions_named(ingestion, [name])]

    root = f"{folder}/"
    assert {n: f for n in names if (f := chosen(n)) != [root + n]} == {}
    assert {n: f for n in names if (f := chosen(root + n)) != [root + n]} == {}

    # The last parts of a path are a name too, and a pattern is one where no file is called so.
    assert chosen("a*/x.csv") == [f"{root}a*/x.csv"]
    assert chosen("e" * 200 + "/x.csv") == [f"{root}{'d' * 200}/{'e' * 200}/x.csv"]
    assert set(chosen("100?.csv")) == {f"{root}100%.csv", f"{root}100x.csv"}
    assert set(chosen("?under.csv")) == {f"{root}_under.csv", f"{root}xunder.csv"}
    assert chosen("[ab]?csv") == [f"{root}[ab].csv"]
    for unknown in (
        "",
        "nowhere.csv",
        "%",
        "_.csv",
        "[ax]x.csv",
        os.fsdecode(b"b\xff.csv"),
        "a\0b",
    ):
        with pytest.raises(NotLoaded, match="knows no file"):
            chosen(unknown)
