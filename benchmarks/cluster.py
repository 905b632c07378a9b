r"""What loads cost on a cluster: seconds, and the time of the processor on each side.

    deploy/cluster-test --optimise --workers 2 run -- \
        .venv/bin/python -m benchmarks.cluster [--mb 200] [--files 500]

One big CSV, or many small ones, from the cluster's S3 server. The tables are made before.
"""

import argparse
import json
import os
import resource
import secrets
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from autoloader_dagster import load_specs, open_ingestion
from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.load import load
from benchmarks.sample_files import Files, make_files
from tests.fixtures.cluster_places import ClusterPlaces, running_places
from tests.fixtures.s3 import client_of


def main() -> None:
    """Load, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=200, help="size of the big file")
    parser.add_argument("--files", type=int, default=500, help="how many small files")
    options = parser.parse_args()
    places = running_places()
    if places is None:
        parser.error(
            "start it by deploy/cluster-test run -- .venv/bin/python benchmarks/cluster.py"
        )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, count, size in (
            ("big", 1, options.mb * 10**6),
            ("small", options.files, 12_000),
        ):
            _measure(places, root / name, name, make_files(root / name / "files", count, size))


def _measure(places: ClusterPlaces, root: Path, name: str, files: Files) -> None:
    client = client_of("s3", places.s3)
    bucket = f"bench-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=bucket)
    _specs(places, root / "specs", name, bucket)
    os.environ |= {"AUTOLOADER_SPECS_DIR": str(root / "specs"), "BENCH_KEY": "tests"}
    tiny = make_files(root / "tiny", 1, 2000)
    paths = sorted(path for path in files.folder.rglob("*") if path.is_file())
    for path in tiny.folder.rglob("*.csv"):
        _put(client, bucket, "tiny.csv", path)
    with open_ingestion(load_specs(root / "specs"), name) as ingestion:
        discover(ingestion)
        list(load(ingestion, None, "first"))
        for number, path in enumerate(paths):
            _put(client, bucket, f"{number:06}.csv", path)
        before = _executor_seconds(places)
        began, own = time.monotonic(), _own_seconds()
        discover(ingestion)
        rows = sum(outcome.rows for outcome in load(ingestion, None, "second"))
        seconds, own = time.monotonic() - began, _own_seconds() - own
    assert rows == files.rows, f"{rows:,} of {files.rows:,} rows are loaded"
    size = sum(path.stat().st_size for path in paths)
    executors = _executor_seconds(places) - before
    print(
        f"{name}: {len(paths):,} files, {size / 1e6:,.0f} MB, {len(places.executors())} executors: "
        f"{seconds:.1f} s; processor: client {own:.1f} s, executors {executors:.1f} s"
    )


def _specs(places: ClusterPlaces, folder: Path, name: str, bucket: str) -> None:
    folder.mkdir(parents=True)
    connection = {
        "type": "s3",
        "endpoint_url": places.s3,
        "access_key_id": "env:BENCH_KEY",
        "secret_access_key": "env:BENCH_KEY",
    }
    (folder / "_connections.yaml").write_text(yaml.safe_dump({"bench": connection}))
    spec = {
        "source": {"type": "s3", "url": f"s3://{bucket}/", "connection": "bench"},
        "format": {"type": "csv"},
        "table": {"name": f"lake.{bucket.replace('-', '_')}.{name}"},
        "batch": {"max_files": 10_000},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))


def _put(client: Any, bucket: str, key: str, path: Path) -> None:
    with path.open("rb") as body:
        client.put_object(Bucket=bucket, Key=key, Body=body)


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _executor_seconds(places: ClusterPlaces) -> float:
    """The processor's time of all tasks so far."""
    with urllib.request.urlopen(f"{places.ui}/api/v1/applications", timeout=30) as answer:
        application = json.load(answer)[0]["id"]
    url = f"{places.ui}/api/v1/applications/{application}/stages"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return sum(stage["executorCpuTime"] for stage in json.load(answer)) / 1e9


if __name__ == "__main__":
    main()
