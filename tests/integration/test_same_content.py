"""The same content under another name is loaded, and said."""

import json
import re

import dagster as dg

from tests.fixtures.project import Project
from tests.fixtures.s3 import S3Bucket


def test_content_that_was_loaded_under_another_name_is_loaded_and_said(
    project: Project, s3_bucket: S3Bucket
) -> None:
    address = f"s3://{s3_bucket.name}/in"
    project.write_spec(
        "copies",
        source={"type": "s3", "url": f"{address}/", "connection": "landing"},
        partition={"by": "none"},
    )
    project.connect_bucket(s3_bucket)
    s3_bucket.put_many({"in/a.csv": b"id\n1\n2\n", "in/b.csv": b"id\n3\n4\n", "in/empty.csv": b""})
    cli = "autoloader_dagster.cli.app"
    first = json.loads(project.run(cli, "run", "copies", "--json", check=False).stdout)
    assert (first["rows"], first["same_content"]) == (4, [])

    s3_bucket.put_many({"in/copy.csv": b"id\n1\n2\n", "in/new.csv": b"id\n5\n6\n"})
    s3_bucket.put("in/empty_too.csv", b"")
    second = json.loads(project.run(cli, "run", "copies", "--json", check=False).stdout)
    assert second["same_content"] == [
        {"file": f"{address}/copy.csv", "same_as": f"{address}/a.csv"}
    ]
    assert project.ids("copies") == [1, 1, 2, 2, 3, 4, 5, 6]
    with dg.DagsterInstance.from_config(project.environ["DAGSTER_HOME"]) as instance:
        log = [str(entry.user_message) for entry in instance.all_logs(second["run_id"])]
        event = instance.get_latest_materialization_event(
            dg.AssetKey([project.namespace, "copies"])
        )
    assert any(f"The first: {address}/copy.csv, as {address}/a.csv" in text for text in log)
    assert event
    assert event.asset_materialization
    same = event.asset_materialization.metadata["autoloader/same_content"]
    assert isinstance(same, dg.TableMetadataValue)
    (record,) = same.records
    assert record.data == {"file": f"{address}/copy.csv", "same_as": f"{address}/a.csv"}

    s3_bucket.put("in/third.csv", b"id\n1\n2\n")
    said = project.run(cli, "run", "copies").stdout
    assert "1 file has the content of a file that was loaded under another name" in said
    assert re.search(r"^third\.csv +a\.csv *$", said, re.MULTILINE), said
