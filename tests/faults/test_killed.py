"""F1: killed at any point, on either database, a load is whole after one further run."""

from functools import partial

from tests.faults.ground import DATABASES, Ground, series, side_by_side, wrong
from tests.faults.killed import POINTS, UNDO_POINTS, kill_at, kill_undo_at


def test_a_worker_killed_anywhere_loses_and_doubles_nothing(ground: Ground) -> None:
    outcomes = side_by_side(
        [partial(series, ground, database, kill_at, POINTS, 1) for database in DATABASES]
    )
    assert not wrong(outcomes)
    assert len(outcomes) == len(POINTS) * len(DATABASES)


def test_an_undo_killed_anywhere_is_done_or_not_done(ground: Ground) -> None:
    outcomes = side_by_side(
        [
            partial(series, ground, "sqlite", kill_undo_at, UNDO_POINTS[::2], 12),
            partial(series, ground, "postgresql", kill_undo_at, UNDO_POINTS[1::2], 13),
        ]
    )
    assert not wrong(outcomes)
    assert len(outcomes) == len(UNDO_POINTS)
