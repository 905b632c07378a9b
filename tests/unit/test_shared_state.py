"""Two deployments with specs of one name on one state database."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import IO

import pytest
import yaml

from autoloader_dagster.errors import TableMoved
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.load import load
from autoloader_dagster.loading.recovery.moved_table import moved_in_state
from autoloader_dagster.loading.recovery.reconcile import reconcile
from autoloader_dagster.settings import load_settings
from autoloader_dagster.sources.base import FileRef, source_kind
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.state.records import Claim, LoadedFile
from autoloader_dagster.state.store import ProcessedFiles
from tests.fixtures.lake import Lake, write_ids
from tests.interleavings.world import TABLE, World


class Untouched:
    """A source of which nothing may be looked at or opened."""

    left_out = 0
    lists_by_folder = False

    def spark_options(self) -> dict[str, str]:
        return {}

    def stat(self, paths: Sequence[str]) -> dict[str, FileRef | None]:
        raise AssertionError(f"{paths} are looked at")

    def open(self, ref: FileRef, start: int = 0, length: int | None = None) -> IO[bytes]:
        raise AssertionError(f"{ref.path} is opened")


def test_a_run_opens_no_file_that_is_not_below_its_own_source(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    specs = tmp_path / "theirs"
    specs.mkdir()
    text = {
        "source": {"type": "local", "url": "/inbox"},
        "format": {"type": "csv"},
        "table": {"name": TABLE},
        "partition": {"by": "none"},
    }
    (specs / "t.yaml").write_text(yaml.safe_dump(text))
    theirs = replace(world.ingestion, loaded=load_specs(specs).get("t"), source=Untouched())  # pyright: ignore[reportArgumentType]
    assert theirs.id == world.ingestion.id
    try:
        world.source.put("/in/a.csv")
        discover(world.ingestion)
        (outcome,) = load(theirs, None, world.run_id())
        (file,) = outcome.files
        assert (file.path, file.status) == ("/in/a.csv", "SKIPPED")
        assert file.reason == "it is not below source.url, which is /inbox"
        # The next listing of its own deployment finds it again.
        world.settle()
        assert world.select("select file_path, status from processed_files") == [
            ("/in/a.csv", "SUCCESS")
        ]
    finally:
        world.close()


def test_a_table_that_another_deployment_has_loaded_is_named_as_such(
    sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "state.db")
    store = ProcessedFiles(f"sqlite:///{tmp_path / 'state.db'}")
    settings = load_settings({"AUTOLOADER_HOME": str(tmp_path / "home")})
    lakes = [Lake(settings, store, tmp_path / name, name) for name in ("ours", "theirs")]
    ours, theirs = (lake.ingestion("orders") for lake in lakes)
    write_ids(lakes[0].folder(), "1.csv", 1)
    discover(ours)
    wanted = Claim(
        ours.id, "default", ours.spec.table.name, None, 9, 10**9, 1, "w", "r", timedelta(minutes=5)
    )
    batch = store.claims.claim(wanted)
    assert batch is not None
    store.batch_files.record(batch.batch_id, 7, [LoadedFile(batch.files[0].id, 1)], 1.0)

    refused = str(moved_in_state(theirs))
    table = "table.name of default/orders is lake.theirs.orders, but lake.ours.orders has 1 row"
    assert refused.startswith(f"{table} of 1 loaded file of default/orders")
    assert f"They are not below source.url, {theirs.spec.source.url}" in refused
    assert "another deployment with a spec of this name uses the same state database" in refused
    # That would have the other deployment load them again.
    assert "reconcile" not in refused
    with pytest.raises(TableMoved, match="They are not below"):
        reconcile(theirs, apply=True)
    # A person who changes the table alone is told how to go on.
    refused = str(moved_in_state(lakes[0].ingestion("orders", table={"name": "lake.ours.all"})))
    assert "If table.name was changed, set it to lake.ours.orders again." in refused
    assert "run 'autoloader reconcile orders --yes'" in refused
    store.close()


@pytest.mark.parametrize(
    ("url", "inside", "outside"),
    [
        ("/data/in", ["/data/in/a", "/data/in/b/c", "/data/in"], ["/data/in2/a", "/data/a"]),
        ("/", ["/a"], []),
        ("s3://b", ["s3://b/a"], ["s3://b2/a", "/b/a"]),
        ("s3://b/in/", ["s3://b/in/a"], ["s3://b/in2/a", "s3://b/a"]),
    ],
)
def test_a_source_holds_what_is_below_its_url(
    tmp_path: Path, url: str, inside: list[str], outside: list[str]
) -> None:
    kind = "s3" if url.startswith("s3:") else "local"
    text = {
        "source": {"type": kind, "url": url},
        "format": {"type": "csv"},
        "table": {"name": "lake.n.t"},
    }
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(text))
    section = load_specs(tmp_path).get("t").spec.source
    below = source_kind(section).relative_path
    assert [path for path in (*inside, *outside) if below(section, path) is not None] == inside
