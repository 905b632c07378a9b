"""Bounded runs of the nets that ``script/soak`` draws without end, and that each one catches."""

from pathlib import Path

import pytest

from tests.nets.canaries import Net

pytestmark = pytest.mark.filterwarnings("ignore")

KINDS = ("connection", "database")


def test_no_canary_is_seen(tmp_path: Path) -> None:
    with Net(tmp_path, seed=3) as net:
        for _ in range(6):
            net.next(KINDS)
    assert net.tally.first == []
    assert net.tally.cases.total() >= 6


def test_the_net_finds_canaries_where_nothing_is_struck(tmp_path: Path) -> None:
    with Net(tmp_path, seed=3, blind=True) as net:
        for _ in range(6):
            net.next(KINDS)
    assert net.tally.hits
