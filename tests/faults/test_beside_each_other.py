"""F5, F6, F7, F10, F11: zombies, changing files, bad databases and wrong clocks."""

from functools import partial

from tests.faults import bad_databases, changing_files, clocks, zombies
from tests.faults.ground import Ground, series, side_by_side, wrong


def test_a_zombie_publishes_nothing(ground: Ground) -> None:
    points = zombies.POINTS
    case = zombies.wake_a_zombie
    outcomes = side_by_side(
        [
            partial(series, ground, "sqlite", case, points[::2], 2),
            partial(series, ground, "postgresql", case, points[1::2], 3),
        ]
    )
    assert not wrong(outcomes)
    assert len(outcomes) == len(points)


def test_a_file_that_changes_meanwhile_is_loaded_whole_and_as_it_is_in_the_end(
    ground: Ground,
) -> None:
    moments = changing_files.MOMENTS
    case = changing_files.change_between
    outcomes = side_by_side(
        [
            partial(series, ground, "sqlite", case, moments[::2], 4),
            partial(series, ground, "postgresql", case, moments[1::2], 5),
        ]
    )
    assert not wrong(outcomes)
    assert len(outcomes) == len(moments)


def test_failing_calls_locks_and_wrong_clocks_lose_and_double_nothing(ground: Ground) -> None:
    outcomes = side_by_side(
        [
            partial(series, ground, "postgresql", bad_databases.failing_calls, ["", ""], 6),
            partial(series, ground, "sqlite", bad_databases.locked_for_a_while, [""], 7),
            partial(series, ground, "sqlite", clocks.wrong_clock, clocks.CLOCKS, 8,
                    partition={"by": "none"}),
            partial(series, ground, "postgresql", clocks.wrong_clock, clocks.CLOCKS, 9,
                    partition={"by": "none"}),
        ]
    )  # fmt: skip
    assert not wrong(outcomes)
    assert len(outcomes) == 7
