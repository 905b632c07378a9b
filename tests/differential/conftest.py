import pytest

from autoloader_dagster.settings import Settings
from tests.differential.harness import Bench
from tests.differential.oracles import ORACLES
from tests.fixtures.lake import Lake


@pytest.fixture(scope="session")
def spark_settings(production_settings: Settings) -> Settings:
    """Values are compared as the server of production reads them."""
    return production_settings


@pytest.fixture
def bench(lake: Lake) -> Bench:
    """Local files, the shared Spark server."""
    return Bench(lake, ORACLES)
