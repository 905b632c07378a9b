"""Each hostile name of a file is loaded from exactly that file, whatever is beside it."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.fixtures.lake import Lake
from tests.fixtures.s3 import S3Bucket
from tests.hostile.corpus import file_names, object_keys
from tests.integration.s3_steps import keys_are, s3_ingestion


def _bodies(names: list[str], kind: str) -> dict[str, bytes]:
    """Content of each name, in which its number tells the file; sizes differ and repeat."""

    def rows(i: int) -> list[int]:
        return [i, 1000 + i]

    if kind == "csv":
        return {
            n: ("id\n" + "".join(f"{v}\n" for v in rows(i))).encode() for i, n in enumerate(names)
        }
    return {
        n: "".join(json.dumps({"id": v}) + "\n" for v in rows(i)).encode()
        for i, n in enumerate(names)
    }


def _expected(names: list[str], root: str) -> Counter[tuple[str, int]]:
    return Counter((f"{root}{n}", v) for i, n in enumerate(names) for v in (i, 1000 + i))


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_local_files_of_any_name_are_loaded_from_their_own_file(lake: Lake, kind: str) -> None:
    names = file_names(f".{kind}")
    folder = lake.folder()
    for name, body in _bodies(names, kind).items():
        path = Path(f"{folder}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    ingestion = lake.ingestion("names", format={"type": kind})

    (outcome,) = lake.load(ingestion)

    assert [(f.path, f.reason) for f in outcome.files if f.status != "SUCCESS"] == []
    assert Counter(lake.rows("names", "_source_file", "id")) == _expected(names, f"{folder}/")


def test_objects_of_any_key_are_loaded_from_their_own_object(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys_are(monkeypatch, "tests", "tests")
    keys = object_keys(".json")
    s3_bucket.put_many({f"in/{key}": body for key, body in _bodies(keys, "json").items()})
    # What a path that is normalised would lead to, outside of the prefix.
    canary = b'{"id": -7}\n'
    s3_bucket.put_many({"private/salaries.json": canary, "x.json": canary, "..json": canary})
    ingestion = s3_ingestion(lake, s3_bucket, "keys", format={"type": "json"})

    (outcome,) = lake.load(ingestion)

    assert [(f.path, f.reason) for f in outcome.files if f.status != "SUCCESS"] == []
    root = f"s3://{s3_bucket.name}/in/"
    assert Counter(lake.rows("keys", "_source_file", "id")) == _expected(keys, root)


def test_keys_that_hadoop_resolves_do_not_cut_their_neighbours_short(
    lake: Lake, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys_are(monkeypatch, "tests", "tests")
    # So many that Spark would be given their folder. There it takes the length of the other object,
    # which comes later in the listing, for that of 01.json, and reads no further.
    names = [f"{i:02}.json" for i in range(34)]
    s3_bucket.put_many({f"in/{name}": body for name, body in _bodies(names, "json").items()})
    s3_bucket.put_many({"in//00.json": b'{"id": -1}\n', "in/sub/../01.json": b"{}"})
    left_out = {"include": ["*.json"]}
    ingestion = s3_ingestion(lake, s3_bucket, "many", source=left_out, format={"type": "json"})

    lake.load(ingestion)

    root = f"s3://{s3_bucket.name}/in/"
    assert Counter(lake.rows("many", "_source_file", "id")) == _expected(names, root)
