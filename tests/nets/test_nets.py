"""Bounded runs of the nets that ``script/soak`` draws without end, and that each one catches."""

from collections import Counter
from pathlib import Path

import pytest

from tests.nets import ways_out
from tests.nets.canaries import Net

pytestmark = pytest.mark.filterwarnings("ignore")

KINDS = ("connection", "database", "catalog")


def test_no_canary_is_seen(tmp_path: Path) -> None:
    with Net(tmp_path, seed=3) as net:
        for _ in range(9):
            net.next(KINDS)
    assert net.tally.found == []
    assert net.tally.cases.total() >= 9


def test_the_net_finds_canaries_where_nothing_is_struck(tmp_path: Path) -> None:
    with Net(tmp_path, seed=3, blind=True) as net:
        for _ in range(9):
            net.next(KINDS)
    assert net.tally.hits


def test_no_spec_of_a_tenant_gets_out(tmp_path: Path) -> None:
    tally: Counter[str] = Counter()
    for number in range(10):
        assert ways_out.check(5, number, tmp_path / "site", tally) == []
    assert tally["passed"] > 0


def test_the_net_finds_ways_out_where_tenants_are_not_limited(tmp_path: Path) -> None:
    assert ways_out.check(5, 0, tmp_path / "site", Counter(), unguarded=True)
