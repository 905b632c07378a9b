"""``run``, ``preview`` and ``query`` on a real Spark server, and what Dagster knows of it after."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autoloader_dagster.settings import Settings
from tests.fixtures.lake import read_table
from tests.integration.cli_steps import Project

_ASK_DAGSTER = """
import json, dagster as dg
with dg.DagsterInstance.get() as instance:
    runs = instance.get_runs()
    event = instance.get_latest_materialization_event(dg.AssetKey(["cli", "%s"]))
    print(json.dumps({
        "runs": {run.run_id: run.status.value for run in runs},
        "materialized_by": event.run_id if event else None,
        "partition": event.asset_materialization.partition if event else None,
    }))
"""


@pytest.fixture
def project(tmp_path: Path, spark_settings: Settings) -> Project:
    """A project whose Spark server, catalog and warehouse are the shared ones."""
    state = {
        "AUTOLOADER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return Project(tmp_path, spark_settings.home, state)


def _dagster(project: Project, table: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ASK_DAGSTER % table],
        env=project.env(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_run_loads_sets_aside_and_is_in_dagsters_log(
    project: Project, spark_settings: Settings
) -> None:
    by_path = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv"}
    project.spec("mixed", partition=by_path)
    (project.folder() / "2024-03-01.csv").write_text("id,name\n1,one\n2,two\n")
    (project.folder() / "2024-03-02.csv").write_text("id,name\n3,three\n")
    (project.folder() / "2024-03-03.csv").write_text("<html>404</html>")

    preview = project.run("preview", "mixed", "--json")
    assert preview.code == 0, preview.err
    assert preview.json["table_exists"] is False
    assert preview.json["columns"] == [
        {"name": "id", "type": "bigint", "original": "id", "new": True},
        {"name": "name", "type": "string", "original": "name", "new": True},
    ]
    rows = sorted((row["id"], row["name"]) for row in preview.json["rows"])
    assert rows == [(1, "one"), (2, "two"), (3, "three")]
    (bad,) = preview.json["bad_files"]
    assert bad["error_type"] == "NotCsv"
    assert project.run("status", "mixed", "--json").json["ingestions"][0]["waiting"] == 0

    done = project.run("run", "mixed", "--json")
    assert done.code == 1, done.err
    report = done.json
    assert report == {
        "ingestion": "default/mixed",
        "run_id": report["run_id"],
        "status": "SUCCESS",
        "files": {
            "loaded": 2,
            "unchanged": 0,
            "failed": 0,
            "quarantined": 1,
            "skipped": 0,
            "held": 0,
            "waiting": 0,
            "processing": 0,
        },
        "same_content": [],
        "notes": [],
        "rows": 3,
        "bad_rows": 0,
        "bytes": 36,
        "seconds": report["seconds"],
        "batches": [
            {
                "batch_id": report["batches"][0]["batch_id"],
                "snapshot_id": report["batches"][0]["snapshot_id"],
                "files": 2,
                "rows": 3,
            }
        ],
    }
    known = _dagster(project, "mixed")
    assert known["runs"] == {report["run_id"]: "SUCCESS"}
    assert known["materialized_by"] == report["run_id"]
    assert known["partition"] in ("2024-03-01", "2024-03-02")
    assert sorted(read_table(spark_settings, "lake.cli.mixed")["id"].to_pylist()) == [1, 2, 3]
    files = {Path(f["path"]).stem: f for f in project.run("files", "mixed", "--json").json["files"]}
    assert files["2024-03-01"]["run_id"] == report["run_id"]
    assert files["2024-03-01"]["snapshot_id"] == report["batches"][0]["snapshot_id"]
    assert files["2024-03-03"]["status"] == "QUARANTINED"
    assert "is a web page" in files["2024-03-03"]["reason"]

    again = project.run("run", "mixed", "--json")
    assert again.code == 0
    assert again.json["run_id"] is None
    assert again.json["files"]["unchanged"] == 3

    (batch,) = project.run("history", "mixed", "--json").json["batches"]
    assert (batch["batch_id"], batch["rows"]) == (report["batches"][0]["batch_id"], 3)
    shown = project.run("preview", "mixed", "--rows", "1")
    assert "nothing is pending" in shown.out


def test_one_partition_can_be_loaded_by_itself(project: Project) -> None:
    by_day = {"by": "path", "pattern": "{yyyy}-{MM}-{dd}.csv"}
    project.spec("parts", partition={**by_day, "start": "2024-03-01"})
    (project.folder() / "2024-02-29.csv").write_text("id;n\n29;1\n")
    for day in (1, 2):
        # Plainly another delimiter than the spec's.
        (project.folder() / f"2024-03-0{day}.csv").write_text(f"id;n\n{day};1\n")
    done = project.run("run", "parts", "--partition", "2024-03-02", "--json")
    assert done.code == 0, done.err
    assert (done.json["files"]["loaded"], done.json["files"]["waiting"]) == (1, 1)
    assert _dagster(project, "parts")["partition"] == "2024-03-02"
    (row,) = project.run("status", "parts", "--json").json["ingestions"]
    assert (row["waiting"], row["loaded"]) == (1, 1)
    rest = project.run("run", "parts")
    assert rest.code == 0, rest.err
    assert "2024-03-01" in rest.out
    # The file that waited was known, and is not called unchanged.
    assert "1 file loaded, 1 row from 9 B, 1 file unchanged, 1 held;" in rest.out
    project.spec("parts", partition={**by_day, "start": "2024-02-01"})
    held = project.run("run", "parts")
    assert "1 file loaded, 1 row from 10 B, 2 files unchanged;" in held.out
    (note,) = done.json["notes"]
    assert note.startswith("2024-03-02.csv has one column, 'id;n', and its cells seem to be")
    assert note.endswith("set format.options.delimiter: ';'")
    assert "! 2024-03-01.csv has one column" in " ".join(rest.out.split())


def test_query_shows_rows_and_says_which_tables_there_are(project: Project) -> None:
    project.spec("queried", partition={"by": "none"})
    (project.folder() / "a.csv").write_text("year\n2013\n2014\n")
    assert project.run("run", "queried").code == 0
    done = project.run("query", "select year from lake.cli.queried order by 1", "--json")
    assert done.code == 0, done.err
    assert done.json == {"columns": ["year"], "rows": [{"year": 2013}, {"year": 2014}]}
    people = project.run("query", "select year from lake.cli.queried", "--limit", "1")
    assert "there are more than 1" in people.out
    # A program gets all rows: of a part with exit code 0 it would not know that it is one.
    numbers = "select id from range(1000)"
    whole = project.run("query", numbers, "--csv")
    assert (whole.code, whole.err) == (0, "")
    assert whole.out.split() == ["id", *map(str, range(1000))]
    assert len(project.run("query", numbers, "--json").json["rows"]) == 1000
    for form in ("--csv", "--json"):
        part = project.run("query", numbers, form, "--limit", "10")
        assert "there are more than 10 rows" in part.err
    broken = project.run("query", "--csv", "select raise_error('no') from range(3)")
    assert broken.code == 2
    assert broken.err.startswith("error: ")
    missing = project.run("query", "select * from lake.cli.nothing")
    assert missing.code == 1
    assert "lake.cli.queried" in missing.err
    assert len(missing.err.splitlines()) == 2
    wrong = project.run("query", "selec 1")
    assert wrong.code == 2
    assert "a statement that begins with 'SELEC' is not a query" in wrong.err
    wrong = project.run("query", "select 1 +")
    assert wrong.code == 2
    assert wrong.err.startswith("error: [PARSE_SYNTAX_ERROR]")


def test_a_source_whose_only_file_is_bad_is_never_nothing_to_load(project: Project) -> None:
    project.spec("broken")
    (project.folder() / "a.csv").write_text("<html>404</html>")

    for command in ("preview", "run", "run", "preview"):
        done = project.run(command, "broken")

        assert done.code == 1, done.out
        assert "NotCsv" in done.out
        assert "nothing to load" not in done.out


def test_a_changed_table_name_is_refused_also_where_no_file_waits(project: Project) -> None:
    project.spec("before", partition={"by": "none"})
    (project.folder() / "a.csv").write_text("id\n1\n")
    assert project.run("run", "before").code == 0

    project.spec("before", partition={"by": "none"}, table={"name": "lake.cli.after"})
    refused = project.run("run", "before")
    assert refused.code == 1, refused.out
    assert "lake.cli.before has 1 row of 1 loaded file" in refused.err
    assert "nothing to load" not in refused.out
    project.spec("before", partition={"by": "none"})
    assert project.run("run", "before").code == 0
