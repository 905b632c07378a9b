"""Loads by a Spark cluster whose executors are processes of their own, from S3 and into S3."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.formats.json.ordinary import can_take_apart
from tests.fixtures.cluster_places import ClusterPlaces
from tests.fixtures.json_lines import lines_apart
from tests.fixtures.lake import Lake
from tests.fixtures.s3 import S3Bucket
from tests.integration.s3_steps import keys_are, s3_ingestion

# More than goes along with the plan, so that executors read the files themselves.
_MANY = range(40_000)


@pytest.fixture(autouse=True)
def some_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    keys_are(monkeypatch, "tests", "tests")


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array(_MANY, pa.int64())}), file)
    return file.getvalue()


CONTENT = {
    "csv": ("id\n" + "".join(f"{i}\n" for i in _MANY)).encode(),
    "json": "".join(json.dumps({"id": i}) + "\n" for i in _MANY).encode(),
    "parquet": _parquet(),
}


@pytest.mark.parametrize(
    "kind", ["csv", pytest.param("json", marks=pytest.mark.whole_cluster), "parquet"]
)
def test_a_file_of_each_format_is_loaded_by_executors(
    cluster: ClusterPlaces, cluster_lake: Lake, bucket: S3Bucket, kind: str
) -> None:
    before = _tasks(cluster)
    bucket.put(f"in/a.{kind}", CONTENT[kind])
    ingestion = s3_ingestion(cluster_lake, bucket, kind, format={"type": kind})

    (outcome,) = cluster_lake.load(ingestion)

    assert (outcome.rows, outcome.bad_rows) == (len(_MANY), 0)
    assert sorted(cluster_lake.table(kind)["id"].to_pylist()) == list(_MANY)
    assert _tasks(cluster) > before


def test_json_lines_are_taken_apart_by_the_workers_of_executors(
    cluster: ClusterPlaces, cluster_lake: Lake, bucket: S3Bucket
) -> None:
    bucket.put("in/a.json", CONTENT["json"] + b'{"id": 1, "id": 2}\n')
    ingestion = s3_ingestion(
        cluster_lake, bucket, "apart", format={"type": "json"}, errors={"max_bad_rows": 1}
    )
    with ingestion.connect() as spark:
        assert can_take_apart(spark)

    with lines_apart():
        (outcome,) = cluster_lake.load(ingestion)

    assert (outcome.rows, outcome.bad_rows) == (len(_MANY) + 1, 1)
    table = cluster_lake.table("apart")
    assert sorted(i for i in table["id"].to_pylist() if i is not None) == list(_MANY)
    twice = '{"_row":"{\\"id\\": 1, \\"id\\": 2}"}'
    assert [text for text in table["_rescued"].to_pylist() if text] == [twice]


def _tasks(cluster: ClusterPlaces) -> int:
    return sum(each["totalTasks"] for each in cluster.executors())
