"""Commands that list a source and know the state, and what they say when something is not well."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.cli_steps import Project

_FILE_KEYS = {
    "path", "version", "size", "modified_at", "status", "reason", "error_type",
    "partition", "rows", "bad_rows", "batch_id", "run_id", "snapshot_id",
}  # fmt: skip
_DEAD_REMOTE = "sc://127.0.0.1:1"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path / ".autoloader")


@pytest.fixture
def dailies(project: Project) -> Project:
    """A spec by path: one file to load, one before the start, one that matches nothing."""
    project.spec("daily", partition={"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv",
                                     "start": "2024-01-01"})  # fmt: skip
    for name in ("2024-03-01.csv", "2023-03-01.csv", "notes.csv"):
        (project.folder() / name).write_text("id\n1\n")
    return project


def test_files_lists_what_would_load_and_why_the_rest_would_not(dailies: Project) -> None:
    done = dailies.run("files", "daily", "--json")
    assert done.code == 0, done.err
    assert set(done.json) == {"files"}
    assert all(set(file) == _FILE_KEYS for file in done.json["files"])
    by_name = {Path(file["path"]).name: file for file in done.json["files"]}
    assert by_name["2024-03-01.csv"]["status"] == "DISCOVERED"
    assert by_name["2024-03-01.csv"]["partition"] == "2024-03-01"
    assert by_name["2024-03-01.csv"]["reason"] is None
    assert by_name["2023-03-01.csv"]["status"] == "HELD"
    assert "set partition.start" in by_name["2023-03-01.csv"]["reason"]
    assert by_name["notes.csv"]["status"] == "QUARANTINED"
    assert by_name["notes.csv"]["error_type"] == "NoPartition"
    assert by_name["notes.csv"]["size"] == 5


def test_files_can_be_chosen_by_status(dailies: Project) -> None:
    done = dailies.run("files", "daily", "--status", "held,quarantined", "--json")
    assert {file["status"] for file in done.json["files"]} == {"HELD", "QUARANTINED"}
    assert len(dailies.run("files", "daily", "--limit", "1", "--json").json["files"]) == 1
    wrong = dailies.run("files", "daily", "--status", "lost")
    assert wrong.code == 2
    assert "unknown status 'LOST'" in wrong.err
    assert "3 files listed" in dailies.run("files", "daily").out


def test_a_missing_folder_is_exit_1_and_names_spec_and_folder(project: Project) -> None:
    project.spec("orders", source={"type": "local", "url": "../nowhere"})
    for command in (["files", "orders"], ["run", "orders", "--json"], ["preview", "orders"]):
        done = project.run(*command)
        assert done.code == 1, command
        assert f"folder {project.root / 'nowhere'} of spec 'orders' does not exist" in done.err
        assert "\n  -> Create it" in done.err
        assert not done.out


def test_a_broken_spec_is_exit_1_with_its_faults(project: Project) -> None:
    project.spec("bad", partition={"every": "dayly"})
    done = project.run("run", "bad")
    assert done.code == 1
    assert "the spec 'bad' is broken" in done.err
    assert "partition.every" in done.err


def test_an_unknown_spec_is_exit_1_with_a_proposal(project: Project) -> None:
    project.spec("orders")
    done = project.run("history", "order")
    assert done.code == 1
    assert "there is no spec 'order'" in done.err
    assert "orders" in done.err


def test_a_dead_database_is_exit_2_without_its_password(project: Project) -> None:
    project.spec("orders")
    project.folder()
    url = "postgresql://loader:geheim@127.0.0.1:1/state"
    for command in (["status"], ["files", "orders"], ["run", "orders"], ["db", "upgrade"]):
        done = project.run(*command, AUTOLOADER_DATABASE_URL=url)
        assert done.code == 2, command
        assert "127.0.0.1:1/state cannot be reached" in done.err
        assert "geheim" not in done.err


def test_the_database_is_upgraded_by_hand_or_by_itself(project: Project) -> None:
    project.spec("orders")
    assert project.run("db", "current", "--json").json["revision"] is None
    assert project.run("db", "upgrade").code == 0
    current = project.run("db", "current", "--json").json
    assert current["revision"] == current["wanted"]


def test_a_run_without_files_starts_no_run(project: Project) -> None:
    project.spec("orders")
    project.folder()
    done = project.run("run", "orders", "--json", SPARK_REMOTE=_DEAD_REMOTE)
    assert done.code == 0, done.err
    assert done.json == {
        "ingestion": "default/orders",
        "run_id": None,
        "status": "SUCCESS",
        "files": {
            "loaded": 0,
            "unchanged": 0,
            "failed": 0,
            "quarantined": 0,
            "skipped": 0,
            "held": 0,
            "waiting": 0,
            "processing": 0,
        },
        "same_content": [],
        "rows": 0,
        "bad_rows": 0,
        "bytes": 0,
        "seconds": done.json["seconds"],
        "batches": [],
        "notes": [],
    }


def test_several_specs_are_run_and_one_that_fails_stops_no_other(project: Project) -> None:
    project.spec("first", source={"type": "local", "url": "../nowhere"})
    project.spec("second")
    project.spec("resting", status="paused")
    project.spec("broken", partition={"every": "dayly"})
    project.folder()
    done = project.run("run", "--all", "--json", SPARK_REMOTE=_DEAD_REMOTE)
    assert done.code == 1
    runs = {run["ingestion"]: run for run in done.json["runs"]}
    assert list(runs) == ["default/first", "default/second"]
    assert runs["default/first"]["status"] == "FAILURE"
    assert "nowhere of spec 'first' does not exist" in runs["default/first"]["error"]
    assert (runs["default/second"]["status"], runs["default/second"]["error"]) == ("SUCCESS", None)
    assert "error: folder" in done.err
    assert "broken and not loaded: default/broken;" in done.err

    done = project.run("run", "second", "resting", "second", SPARK_REMOTE=_DEAD_REMOTE)
    assert done.code == 0, done.err
    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        "default/second",
        "default/resting",
    ]
    for wrong in (["--all", "second"], [], ["second", "resting", "--partition", "x"]):
        assert project.run("run", *wrong).code == 2, wrong


def test_all_specs_are_compared_and_one_that_fails_stops_no_other(project: Project) -> None:
    project.spec("first")
    project.spec("second")
    project.spec("broken", partition={"every": "dayly"})
    project.folder()
    done = project.run("reconcile", "--json", SPARK_REMOTE=_DEAD_REMOTE)
    assert done.code == 2
    assert {each["ingestion"] for each in done.json["ingestions"]} == {
        "default/first",
        "default/second",
    }
    assert all("127.0.0.1:1" in each["error"] for each in done.json["ingestions"])
    assert done.err.count("error: default/") == 2
    assert "broken and not compared: default/broken; 'autoloader validate' shows why" in done.err


def test_a_command_for_all_specs_says_that_there_are_none(project: Project) -> None:
    project.spec("resting", status="paused")
    done = project.run("run", "--all")
    assert (done.code, done.out) == (0, "")
    assert "no spec is active in ingestion_specs" in done.err
    (project.specs / "resting.yaml").unlink()
    done = project.run("reconcile")
    assert (done.code, done.out) == (0, "")
    assert "there is no spec in ingestion_specs" in done.err


def test_a_partition_that_is_not_there_is_wrong_usage(dailies: Project) -> None:
    done = dailies.run("run", "daily", "--partition", "2023-12-31")
    assert done.code == 2
    assert "has no partition '2023-12-31'" in done.err
    assert "from 2024-01-01" in done.err
    dailies.spec("whole", partition={"by": "none"})
    assert "has no partitions" in dailies.run("run", "whole", "--partition", "x").err
    dailies.spec("named", partition={"by": "path", "pattern": "region={region}/**"})
    named = dailies.run("run", "named", "--partition", "north")
    assert named.code == 2
    assert "has no partition 'north'" in named.err


def test_a_dead_spark_server_is_exit_2_and_loses_nothing(dailies: Project) -> None:
    done = dailies.run("run", "daily", "--json", SPARK_REMOTE=_DEAD_REMOTE)
    assert done.code == 2
    assert "sc://127.0.0.1:1 (SPARK_REMOTE) cannot be reached" in done.err
    assert done.json["status"] == "FAILURE"
    assert done.json["run_id"]
    assert done.json["files"]["loaded"] == 0
    (row,) = dailies.run("status", "daily", "--json").json["ingestions"]
    # In the batch of a run that has ended, or given back by it already: the next run loads it.
    assert row["waiting"] + row["processing"] == 1
    assert row.pop("why_waiting").startswith(f"run {done.json['run_id'][:8]} failed: ")
    assert {key: row[key] for key in row if key not in ("waiting", "processing")} == {
        "ingestion": "default/daily",
        "held": 1,
        "loaded": 0,
        "quarantined": 1,
        "rows": 0,
        "last_load": None,
    }


def test_query_without_a_server_is_exit_2(project: Project) -> None:
    done = project.run("query", "select 1", SPARK_REMOTE=_DEAD_REMOTE)
    assert done.code == 2
    assert "SPARK_REMOTE" in done.err


def test_up_refuses_a_port_in_use_before_anything_starts(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = project.run("up", "--port", str(port))
    assert done.code == 2
    assert f"127.0.0.1:{port} cannot be listened on" in done.err
    assert "autoloader up --port" in done.err
    assert not project.home.exists()


def test_doctor_says_what_is_not_well_and_what_to_do(project: Project) -> None:
    project.spec("orders", source={"type": "local", "url": "../nowhere"})
    done = project.run("doctor", "--json", SPARK_REMOTE=_DEAD_REMOTE)
    assert done.code == 2
    assert all(set(c) == {"name", "status", "detail", "hint"} for c in done.json["checks"])
    checks = {check["name"]: check for check in done.json["checks"]}
    assert checks["Spark"]["status"] == "fail"
    assert checks["source of default/orders"]["status"] == "fail"
    assert "does not exist" in checks["source of default/orders"]["detail"]
    assert checks["state database"]["status"] == "warn"
    assert checks["home"]["status"] in ("ok", "warn")


def test_doctor_is_content_with_a_project_that_is_well(project: Project) -> None:
    project.spec("orders")
    (project.folder() / "a.csv").write_text("id\n1\n")
    done = project.run("doctor")
    assert done.code == 0, done.out
    assert "Java" in done.out
    assert "files are there" in done.out


def test_the_dagster_home_must_be_absolute(project: Project) -> None:
    project.spec("orders")
    project.folder()
    done = project.run("run", "orders", DAGSTER_HOME="dagster")
    assert done.code == 2
    assert "DAGSTER_HOME is 'dagster'" in done.err


def test_the_embedded_server_is_not_started_beside_a_remote_one(project: Project) -> None:
    done = project.run("spark", "start", SPARK_REMOTE=_DEAD_REMOTE)
    assert done.code == 2
    status = project.run("spark", "status", "--json", SPARK_REMOTE=f"{_DEAD_REMOTE}/;token=geheim")
    assert status.json["state"] == "stopped"
    assert "geheim" not in status.out
    assert "there was none" in project.run("spark", "stop").out


def test_only_db_upgrade_migrates_a_state_that_is_in_use(project: Project) -> None:
    project.spec("orders")
    assert project.run("status").code == 0, "an empty state is set up by any command"
    path = project.home / "state.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE autoloader_alembic_version SET version_num = '0002'")
        connection.commit()

    refused = project.run("status")
    assert refused.code == 2
    assert "is at the old revision 0002" in refused.err
    assert "autoloader db upgrade" in refused.err
    assert "'autoloader db upgrade' for" in project.run("db", "current").out
    assert project.run("db", "current", "--json").json["revision"] == "0002"
