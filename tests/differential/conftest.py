import pytest

from tests.differential.harness import Bench
from tests.differential.oracles import ORACLES
from tests.fixtures.lake import Lake


@pytest.fixture
def bench(lake: Lake) -> Bench:
    """Local files, the shared Spark server."""
    return Bench(lake, ORACLES)
