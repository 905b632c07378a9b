"""An ingestion whose files are in a bucket, with its credentials where a user has them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.sources.registry import copy_store_of, open_source
from autoloader_dagster.spark.session import connect
from autoloader_dagster.specs.connections import load_connections
from tests.fixtures.lake import Lake
from tests.fixtures.s3 import S3Bucket


def keys_are(monkeypatch: pytest.MonkeyPatch, key: str, secret: str) -> None:
    """Set the variables that the connection refers to."""
    monkeypatch.setenv("LANDING_KEY", key)
    monkeypatch.setenv("LANDING_SECRET", secret)


def s3_ingestion(
    lake: Lake,
    bucket: S3Bucket,
    name: str,
    below: str = "in/",
    endpoint: str | None = None,
    **parts: Any,
) -> Ingestion:
    """A spec on ``s3://bucket/in/`` by a connection whose keys are ``env:`` references.

    Its secrets are read now, as a run reads them when it begins.
    """
    source = {
        "type": "s3",
        "url": f"s3://{bucket.name}/{below}",
        "connection": "landing",
        **parts.pop("source", {}),
    }
    landing = {
        "type": "s3",
        "endpoint_url": endpoint or bucket.server.endpoint,
        "access_key_id": "env:LANDING_KEY",
        "secret_access_key": "env:LANDING_SECRET",
    }
    specs: Path = lake.root / "specs"
    specs.mkdir(exist_ok=True)
    (specs / "_connections.yaml").write_text(yaml.safe_dump({"landing": landing}))
    loaded = lake.spec(name, source=source, **parts)
    connections = load_connections(specs, [])
    resolved = connections.get(loaded.tenant, "landing").resolve()
    return Ingestion(
        loaded,
        open_source(loaded.spec, resolved),
        lake.store,
        lambda: connect(lake.settings),
        lake.settings.staging_dir,
        copy_store=copy_store_of(lake.settings, connections),
    )
