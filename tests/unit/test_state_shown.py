"""What commands show of the state, in this process: snapshots for programs, specs that are gone."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from autoloader_dagster.cli.app import main
from autoloader_dagster.orchestration.runs.tags import INGESTION_TAG
from autoloader_dagster.state import ProcessedFiles
from tests.integration.state_steps import discover, load, ref

_SNAPSHOT = 8031846592187654321


class Shown:
    """A folder with the state of ``acme/orders``: two files with ten rows each, and one that waits.

    Its spec is written by ``spec``.
    """

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys
        state = ProcessedFiles(f"sqlite:///{root / 'home' / 'state.db'}")
        (root / "home").mkdir()
        (root / "ingestion_specs" / "acme").mkdir(parents=True)
        state.upgrade()
        discover(state, ref("a.csv"), ref("b.csv"))
        load(state, _SNAPSHOT)
        discover(state, ref("c.csv"))
        state.close()
        (root / "in").mkdir()

    def spec(self, name: str, **parts: Any) -> Path:
        path = self.root / "ingestion_specs" / "acme" / f"{name}.yaml"
        text = {
            "source": {"type": "local", "url": str(self.root / "in")},
            "format": {"type": "csv"},
            "table": {"name": f"lake.shop.{name}"},
            **parts,
        }
        path.write_text(yaml.safe_dump(text))
        return path

    def out(self, *arguments: str, code: int = 0) -> str:
        assert main(arguments) == code, self._capsys.readouterr().err
        return self._capsys.readouterr().out

    def json(self, *arguments: str) -> Any:
        return json.loads(self.out(*arguments, "--json"))


@pytest.fixture
def shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shown:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOLOADER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    return Shown(tmp_path, capsys)


def test_a_snapshot_id_is_text_for_programs(shown: Shown) -> None:
    """It has 19 digits, and a number of JavaScript or jq keeps 15 of them."""
    shown.spec("orders")
    (batch,) = shown.json("history", "orders")["batches"]
    assert batch["snapshot_id"] == str(_SNAPSHOT)
    traced = shown.json("trace", "orders", batch["batch_id"])
    assert [each["snapshot_id"] for each in traced["batches"]] == [str(_SNAPSHOT)]
    assert {each["snapshot_id"] for each in traced["files"]} == {str(_SNAPSHOT)}
    files = {Path(f["path"]).name: f for f in shown.json("files", "orders")["files"]}
    assert files["a.csv"]["snapshot_id"] == str(_SNAPSHOT)
    assert files["c.csv"]["snapshot_id"] is None


def test_history_fits_a_terminal_and_keeps_the_batch_in_one_piece(shown: Shown) -> None:
    shown.spec("orders")
    batch = shown.json("history", "orders")["batches"][0]["batch_id"]
    out = shown.out("history", "orders")
    assert batch in out
    assert max(map(len, out.splitlines())) <= 80, out


def test_what_a_deleted_spec_left_behind_is_shown(shown: Shown) -> None:
    spec = shown.spec("orders")
    shown.spec("other")
    for command in (["status"], ["list"], ["doctor"]):
        assert "spec is gone" not in shown.out(*command)
    assert shown.json("status")["orphans"] == []

    spec.unlink()
    said = "acme/orders: its spec is gone; its table lake.shop.orders keeps 20 rows of 2 files"
    for command in (["status"], ["list"], ["doctor"]):
        out = " ".join(shown.out(*command).split())
        assert said in out, command
    assert "autoloader adopt NEW --from acme/orders" in shown.out("status")
    expected = [
        {"ingestion": "acme/orders", "tables": ["lake.shop.orders"], "files": 2, "rows": 20}
    ]
    assert shown.json("status")["orphans"] == expected
    assert shown.json("list")["orphans"] == expected
    assert "spec is gone" not in shown.out("status", "other")


def test_a_deleted_spec_is_known_on_another_schema_that_can_be_used(shown: Shown) -> None:
    shown.spec("orders").unlink()
    with closing(sqlite3.connect(shown.root / "home" / "state.db")) as state, state:
        state.execute("UPDATE autoloader_alembic_version SET version_num = '9999'")
    said = "acme/orders: its spec is gone"
    for command in (["list"], ["doctor"], ["status"]):
        assert said in " ".join(shown.out(*command).split()), command
    with closing(sqlite3.connect(shown.root / "home" / "state.db")) as state, state:
        # The version that wrote this one has changed what this one reads.
        state.execute("UPDATE autoloader_schema SET usable_from = '9999'")
    assert said not in shown.out("list")


def test_commands_on_a_deleted_spec_show_what_the_state_knows(
    shown: Shown, capsys: pytest.CaptureFixture[str]
) -> None:
    shown.spec("orders").unlink()
    shown.spec("other")
    said = "acme/orders: its spec is gone; its table lake.shop.orders keeps 20 rows of 2 files"
    orphan = {"ingestion": "acme/orders", "tables": ["lake.shop.orders"], "files": 2, "rows": 20}

    history = shown.json("history", "orders")
    assert history["orphan"] == orphan
    (batch,) = history["batches"]
    traced = shown.json("trace", "acme/orders", batch["batch_id"])
    assert traced["orphan"] == orphan
    assert traced["table"] == "lake.shop.orders"
    assert {Path(file["path"]).name for file in traced["files"]} == {"a.csv", "b.csv"}
    assert shown.json("trace", "orders", "a.csv")["batches"][0]["batch_id"] == batch["batch_id"]
    status = shown.json("status", "orders")
    assert status["orphans"] == [orphan]
    assert [row["rows"] for row in status["ingestions"]] == [20]
    for command in (["history", "orders"], ["trace", "orders", "a.csv"], ["status", "orders"]):
        out = " ".join(shown.out(*command).split())
        assert said in out, command
        assert "autoloader adopt NEW --from acme/orders" in out, command
    # What needs the spec fails, and says the same.
    for command in ("run", "files", "preview", "undo", "reload", "retry", "reconcile"):
        capsys.readouterr()
        assert main([command, "orders"]) == 1
        assert said in " ".join(capsys.readouterr().err.split()), command
    assert main(["history", "unknown"]) == 1
    assert "there is no spec 'unknown'" in capsys.readouterr().err


def test_a_broken_spec_is_not_gone_and_a_state_that_is_down_hides_no_spec(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown.spec("orders", partition={"every": "dayly"})
    assert "spec is gone" not in shown.out("list")
    assert shown.json("list")["orphans"] == []
    monkeypatch.setenv("AUTOLOADER_DATABASE_URL", "postgresql://x:geheim@127.0.0.1:1/state")
    assert "orders" in shown.out("list")
    assert shown.json("list")["orphans"] is None


def test_status_says_which_run_has_failed_and_what_to_do(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = True

    @dg.asset(key=["shop", "orders"])
    def orders() -> None:
        if away:
            raise dg.Failure("acme/orders: the server is away\n  -> Start it.")

    shown.spec("orders")
    home = tmp_path / "dagster"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    (row,) = shown.json("status")["ingestions"]
    assert (row["waiting"], row["why_waiting"]) == (1, None)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        tags = {INGESTION_TAG: "acme/orders"}
        run = dg.materialize([orders], instance=instance, tags=tags, raise_on_error=False)
    why = f"run {run.run_id[:8]} failed: acme/orders: the server is away\n  -> Start it."
    (row,) = shown.json("status")["ingestions"]
    assert row["why_waiting"] == why
    assert f"files of acme/orders wait: {why}" in shown.out("status")

    # Runs that are started in the UI, as backfills or by GraphQL do not have the tag.
    for away in (False, True):
        with dg.DagsterInstance.from_config(str(home)) as instance:
            run = dg.materialize([orders], instance=instance, raise_on_error=False)
        (row,) = shown.json("status")["ingestions"]
        why = f"run {run.run_id[:8]} failed: acme/orders: the server is away\n  -> Start it."
        assert row["why_waiting"] == (why if away else None)
