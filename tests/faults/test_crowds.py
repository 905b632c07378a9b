"""F3: many processes on one spec, and two specs on one table."""

from functools import partial

from tests.faults.crowds import crowd
from tests.faults.ground import Ground, side_by_side, wrong


def test_eight_workers_load_a_thousand_files_once_and_see_no_error(ground: Ground) -> None:
    outcomes = [crowd(ground, "sqlite", 8, 1000, 1), crowd(ground, "postgresql", 8, 200, 2)]
    assert not wrong(outcomes)


def test_two_specs_fill_one_table_beside_each_other(ground: Ground) -> None:
    calls = [
        partial(lambda kind: [crowd(ground, kind, 2, 40, 2)], kind)
        for kind in ("sqlite", "postgresql")
    ]
    assert not wrong(side_by_side(calls))
