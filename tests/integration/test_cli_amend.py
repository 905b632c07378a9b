"""``undo``, ``reload``, ``retry``, ``trace`` as a person uses them."""

import shlex
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from autoloader_dagster.settings import Settings
from autoloader_dagster.spark.session import connect
from tests.fixtures.lake import read_table
from tests.integration.cli_steps import Project


@pytest.fixture
def project(tmp_path: Path, spark_settings: Settings) -> Project:
    environ = {
        "AUTOLOADER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return Project(tmp_path, spark_settings.home, environ)


def test_a_file_is_undone_traced_and_loaded_again(
    project: Project, spark_settings: Settings
) -> None:
    project.spec("orders", partition={"by": "none"}, table={"name": "lake.amend.orders"})
    for number in (1, 2):
        (project.folder() / f"{number}.csv").write_text(f"id\n{number}\n{number}0\n")
    assert project.run("run", "orders").code == 0

    asked = project.run("undo", "orders", "1.csv")
    assert asked.code == 0, asked.err
    assert "default/orders: 2 rows of 1 file, loaded by 1 batch, would go from" in asked.out
    assert asked.out.endswith("nothing was changed; --yes does it\n")
    assert _ids(spark_settings) == [1, 2, 10, 20]

    done = project.run("undo", "orders", "1.csv", "--yes", "--json")
    assert done.code == 0, done.err
    assert (done.json["rows"], done.json["dry_run"]) == (2, False)
    assert _ids(spark_settings) == [2, 20]

    # Forward from the file, and back from its batch.
    traced = project.run("trace", "orders", "1.csv", "--json").json
    (file,) = traced["files"]
    assert file["status"] == "UNDONE"
    loaded, undone = traced["batches"]
    assert (loaded["kind"], undone["kind"]) == ("load", "undo")
    assert (file["batch_id"], undone["batch_id"]) == (loaded["batch_id"], done.json["batch_id"])
    assert (undone["run_id"], undone["snapshot_id"]) == (
        done.json["run_id"],
        done.json["snapshot_id"],
    )
    other = project.run("trace", "orders", "2.csv")
    (line,) = [line for line in other.out.splitlines() if line.startswith("rows:")]
    *_, query = shlex.split(line)
    rows = project.run("query", query, "--json").json["rows"]
    assert sorted(row["id"] for row in rows) == [2, 20]

    # The run is in Dagster, and the asset's history shows what went.
    with dg.DagsterInstance.from_config(project.environ["DAGSTER_HOME"]) as instance:
        run = instance.get_run_by_id(done.json["run_id"])
        assert run is not None
        assert (run.job_name, run.status) == ("autoloader_undo", dg.DagsterRunStatus.SUCCESS)
        latest = instance.get_latest_materialization_event(dg.AssetKey(["amend", "orders"]))
        assert latest is not None
        assert latest.asset_materialization is not None
        metadata = latest.asset_materialization.metadata
        assert metadata["autoloader/rows_taken_out"].value == 2
        assert metadata["autoloader/batch_id"].value == done.json["batch_id"]
        assert metadata["dagster/row_count"].value == 2
    assert _checked_by(project, "orders") == {done.json["run_id"]}

    # It stays out until somebody asks for it.
    assert project.run("run", "orders", "--json").json["files"]["loaded"] == 0
    again = project.run("retry", "orders", "1.csv", "--json")
    assert again.code == 0, again.err
    assert [file["was"] for file in again.json["files"]] == ["UNDONE"]
    assert again.json["run"]["rows"] == 2
    assert _ids(spark_settings) == [1, 2, 10, 20]

    # Its whole history, and back from the batch whose rows the undo took out.
    history = project.run("trace", "orders", "1.csv", "--json").json["batches"]
    assert [batch["kind"] for batch in history] == ["load", "undo", "load"]
    assert [batch["batch_id"] for batch in history][:2] == [loaded["batch_id"], undone["batch_id"]]
    first = project.run("trace", "orders", loaded["batch_id"], "--json").json
    assert [Path(file["path"]).name for file in first["files"]] == ["1.csv", "2.csv"]

    whole = project.run("undo", "orders", "--batch", again.json["run"]["batches"][0]["batch_id"],
                        "--yes")  # fmt: skip
    assert whole.code == 0, whole.err
    assert "2 rows of 1 file went from lake.amend.orders" in whole.out
    assert _ids(spark_settings) == [2, 20]


def test_what_cannot_be_undone_or_retried_has_a_clear_answer(
    project: Project, spark_settings: Settings
) -> None:
    project.spec("orders", partition={"by": "none"}, table={"name": "lake.amend.refused"})
    (project.folder() / "good.csv").write_text("id\n1\n2\n")
    (project.folder() / "bad.csv").write_text("<html>404</html>")
    assert project.run("run", "orders").code == 1

    cases = {
        ("undo", "orders"): (2, "needs files or a batch"),
        ("undo", "orders", "good.csv", "--batch", "x"): (2, "needs files or a batch"),
        ("undo", "orders", "nothing.csv"): (1, "knows no file nothing.csv"),
        ("undo", "orders", "bad.csv"): (1, "is quarantined"),
        ("undo", "orders", "--batch", "20200101T000000Z-abcdef"): (1, "20200101T000000Z-abcdef"),
        ("retry", "orders", "nothing.csv"): (1, "knows no file nothing.csv"),
        ("trace", "orders", "nothing.csv"): (1, "knows no file nothing.csv"),
        ("trace", "orders", "b\udcff"): (2, r"error: the argument 'b\udcff' is not UTF-8"),
        ("adopt", "orders", "--from", "b\udcff"): (2, r"the argument 'b\udcff' is not UTF-8"),
        ("undo", "nobody", "a.csv"): (1, "nobody"),
    }
    for arguments, (code, said) in cases.items():
        done = project.run(*arguments)
        assert (done.code, said in done.err) == (code, True), (arguments, done)

    # A loaded file, and one that is gone by now.
    loaded = project.run("retry", "orders", "good.csv")
    assert loaded.code == 1
    assert "is loaded" in loaded.out
    (project.folder() / "bad.csv").unlink()
    gone = project.run("retry", "orders", "--json")
    assert gone.code == 1
    (left,) = gone.json["left"]
    assert left["path"].endswith("bad.csv")
    assert gone.json["run"] is None

    # A file that is gone for good, and keeps the check red.
    assert not _check(project, "every_file_loaded").passed
    assert "dismiss needs files" in project.run("dismiss", "orders", "--yes").err
    asked = project.run("dismiss", "orders", "bad.csv")
    assert asked.code == 0, asked.err
    assert asked.out.endswith("nothing was changed; --yes does it\n")
    nothing = project.run("dismiss", "orders", "good.csv", "--yes")
    assert nothing.code == 1
    assert "is loaded" in nothing.out
    assert nothing.out.endswith("default/orders: no such file failed or is quarantined\n")
    dismissed = project.run("dismiss", "orders", "bad.csv", "--yes", "--json")
    assert dismissed.code == 0, dismissed.err
    assert [file["was"] for file in dismissed.json["files"]] == ["QUARANTINED"]
    assert _check(project, "every_file_loaded").passed
    (row,) = [
        file
        for file in project.run("files", "orders", "--json").json["files"]
        if file["status"] == "SKIPPED"
    ]
    assert "dismissed; it was QUARANTINED" in row["reason"]

    # Rows that somebody took out by hand.
    with connect(spark_settings) as spark:
        spark.sql("delete from lake.amend.refused where id = 2")
    changed = project.run("undo", "orders", "good.csv", "--yes")
    assert changed.code == 1
    assert "1 row in the table, and 2 were loaded" in changed.err
    assert project.run("undo", "orders", "good.csv", "--accept-differences", "--yes").code == 0
    assert _rows(spark_settings, "lake.amend.refused") == 0


def test_a_state_that_is_older_than_the_table_is_named_as_a_cause(
    project: Project, tmp_path: Path
) -> None:
    project.spec(
        "older",
        source={"type": "local", "url": "../in", "on_change": "replace"},
        partition={"by": "none"},
        table={"name": "lake.amend.older"},
    )
    file, state, backup = project.folder() / "a.csv", tmp_path / "state.db", tmp_path / "old.db"
    file.write_text("id\n1\n")
    assert project.run("run", "older").code == 0
    _copy_database(state, backup)
    file.write_text("id\n1\n2\n")
    assert project.run("run", "older").code == 0
    _copy_database(backup, state)

    undone = project.run("undo", "older", "a.csv", "--yes")
    assert undone.code == 1
    assert "Either somebody changed or removed these rows" in undone.err
    assert "'autoloader reconcile older --yes' updates the state" in undone.err

    again = project.run("reload", "older", "--yes")
    assert again.code == 1
    assert "was replaced by a newer version" in again.out
    assert "0 files loaded again, 0 rows; no batch; run" in again.out
    assert project.run("undo", "older", "a.csv", "--yes").code == 0


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as ours, closing(sqlite3.connect(target)) as copy:
        ours.backup(copy)


def test_a_partition_is_loaded_again(project: Project, spark_settings: Settings) -> None:
    by_day = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv", "start": "2026-01-01"}
    project.spec("daily", partition=by_day, table={"name": "lake.amend.daily"})
    for day in (1, 2):
        (project.folder() / f"2026-01-0{day}.csv").write_text(f"id\n{day}\n")
    assert project.run("run", "daily").code == 0

    asked = project.run("reload", "daily", "--partition", "2026-01-02")
    assert asked.code == 0, asked.err
    assert "1 file, 5 B, would be loaded again" in asked.out
    assert asked.out.endswith("nothing was changed; --yes does it\n")
    planned = project.run("reload", "daily", "--json")
    assert (planned.code, planned.json["dry_run"], planned.json["rows"]) == (0, True, 2)
    nothing = project.run("reload", "daily", "--partition", "2026-01-03", "--yes")
    assert nothing.code == 1
    assert "nothing of this is loaded" in nothing.err

    done = project.run("reload", "daily", "--partition", "2026-01-02", "--yes", "--json")
    assert done.code == 0, done.err
    assert [file["partition"] for file in done.json["files"]] == ["2026-01-02"]
    assert _rows(spark_settings, "lake.amend.daily") == 2
    kinds = [b["kind"] for b in project.run("history", "daily", "--json").json["batches"]]
    assert kinds == ["reload", "load"]
    with dg.DagsterInstance.from_config(project.environ["DAGSTER_HOME"]) as instance:
        latest = instance.get_latest_materialization_event(dg.AssetKey(["amend", "daily"]))
        assert latest is not None
        assert latest.run_id == done.json["run_id"]
        assert latest.asset_materialization is not None
        metadata = latest.asset_materialization.metadata
        names = ("dagster/partition_row_count", "dagster/row_count", "autoloader/rows")
        assert [metadata[name].value for name in names] == [1, 2, 1]
    assert _checked_by(project, "daily") == {done.json["run_id"]}

    (project.folder() / "2026-01-02.csv").unlink()
    gone = project.run("reload", "daily", "--yes", "--json")
    assert gone.code == 1, "a file that was asked for is not in the source any more"
    assert [file["partition"] for file in gone.json["files"]] == ["2026-01-01"]
    assert "2026-01-02.csv" in gone.json["left"][0]["path"]
    none_left = project.run("reload", "daily", "--partition", "2026-01-02", "--yes")
    assert none_left.code == 1, "none of the files that were asked for can be loaded again"
    assert "2026-01-02.csv" in none_left.out
    assert _rows(spark_settings, "lake.amend.daily") == 2


def test_a_renamed_and_moved_spec_adopts_the_state_of_its_old_name(
    project: Project, spark_settings: Settings
) -> None:
    table = "lake.amend.renamed"
    source = {"type": "local", "url": str(project.folder())}
    project.spec("orders", source=source, partition={"by": "none"}, table={"name": table})
    (project.folder() / "a.csv").write_text("id\n1\n")
    assert project.run("run", "orders").code == 0
    (project.specs / "acme").mkdir()
    (project.specs / "orders.yaml").rename(project.specs / "acme" / "orders_eu.yaml")
    (project.folder() / "b.csv").write_text("id\n2\n")

    refused = project.run("run", "acme/orders_eu")
    assert refused.code == 1, refused.out
    assert f"table {table} holds files that the ingestion default/orders loaded" in refused.err
    assert "run 'autoloader adopt acme/orders_eu --from default/orders'" in refused.err
    assert _rows(spark_settings, table) == 1
    asked = project.run("adopt", "acme/orders_eu", "--from", "default/orders")
    assert asked.code == 0, asked.err
    assert asked.out == (
        "1 file and 1 batch of default/orders would belong to acme/orders_eu; --yes does it\n"
    )
    assert project.run("history", "acme/orders_eu", "--json").json["batches"] == []
    wrong = project.run("adopt", "acme/orders_eu", "--from", "acme/orders_eu", "--yes")
    assert (wrong.code, "has a spec of its own" in wrong.err) == (2, True), wrong

    done = project.run("adopt", "acme/orders_eu", "--from", "orders", "--yes", "--json")
    assert done.code == 0, done.err
    assert done.json == {
        "from": "default/orders",
        "to": "acme/orders_eu",
        "table": table,
        "files": 1,
        "batches": 1,
        "tables": [table],
        "done": True,
    }
    files = project.run("files", "acme/orders_eu", "--json").json["files"]
    assert {Path(f["path"]).name: f["status"] for f in files} == {
        "a.csv": "SUCCESS",
        "b.csv": "DISCOVERED",
    }


def test_a_lost_state_is_rebuilt_from_the_table(project: Project) -> None:
    project.spec("orders", partition={"by": "none"}, table={"name": "lake.amend.lost"})
    (project.folder() / "a.csv").write_text("id\n1\n2\n")
    assert project.run("run", "orders").code == 0
    agrees = project.run("reconcile", "orders")
    assert agrees.code == 0, agrees.err
    assert "nothing differs" in agrees.out
    for path in project.root.glob("state.db*"):
        path.unlink()

    found = project.run("reconcile", "orders", "--json")
    assert found.code == 1, found.err
    (told,) = found.json["ingestions"]
    assert (told["agrees"], told["applied"], told["rows_in_table"]) == (False, False, 2)
    assert "--yes" in told["findings"][0]["meaning"]
    assert _checked_by(project, "lost") == {told["run_id"]}
    mended = project.run("reconcile", "orders", "--yes")
    assert mended.code == 0, mended.err
    assert "; the state was updated;" in mended.out
    assert project.run("reconcile", "--json").json["ingestions"][0]["agrees"]
    assert project.run("run", "orders", "--json").json["files"]["loaded"] == 0
    assert project.run("reconcile", "nobody").code == 1

    with dg.DagsterInstance.from_config(project.environ["DAGSTER_HOME"]) as instance:
        jobs = [run.job_name for run in instance.get_runs()]
    assert jobs.count("autoloader_reconcile") == 4


def test_reconcile_changes_nothing_while_the_server_is_out_of_reach(project: Project) -> None:
    project.spec("orders", partition={"by": "none"})
    (project.folder() / "a.csv").write_text("id\n1\n")
    done = project.run("reconcile", "orders", "--yes", SPARK_REMOTE="sc://127.0.0.1:1")
    assert done.code == 2
    assert "127.0.0.1:1" in done.err


def _check(project: Project, name: str) -> dg.AssetCheckEvaluation:
    """The last answer of a check of the table 'refused'."""
    key = dg.AssetCheckKey(dg.AssetKey(["amend", "refused"]), name)
    evaluation = _checks(project, key)[key].evaluation
    assert evaluation is not None
    return evaluation


def _checked_by(project: Project, table: str) -> set[str]:
    """The runs that gave the last answers of both checks of a table."""
    asset = dg.AssetKey(["amend", table])
    keys = [dg.AssetCheckKey(asset, name) for name in ("every_file_loaded", "no_bad_rows")]
    return {record.run_id for record in _checks(project, *keys).values()}


def _checks(
    project: Project, *keys: dg.AssetCheckKey
) -> Mapping[dg.AssetCheckKey, AssetCheckExecutionRecord]:
    with dg.DagsterInstance.from_config(project.environ["DAGSTER_HOME"]) as instance:
        return instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))


def _ids(settings: Settings) -> list[int]:
    return sorted(read_table(settings, "lake.amend.orders").column("id").to_pylist())


def _rows(settings: Settings, table: str) -> int:
    return read_table(settings, table).num_rows
