"""The ground on which the cases take place; it lasts for the session."""

from collections.abc import Iterator

import pytest

from autoloader_dagster.settings import Settings
from tests.faults.ground import Ground


@pytest.fixture(scope="session")
def ground(
    spark_settings: Settings, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """On the session's Spark server and PostgreSQL."""
    made = Ground(spark_settings, tmp_path_factory.mktemp("faults"), lambda: postgres_url)
    yield made
    made.close()
