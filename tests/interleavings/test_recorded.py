"""Every order that ever went wrong goes right, and is found again when its fix is taken out."""

from collections.abc import Iterator

import pytest

from tests.interleavings.scenarios import Scenario
from tests.interleavings.schedule import Stage
from tests.interleavings.world import open_world

# What was found, by the walk or by hand, and the order in which it went wrong.
RECORDED = {
    "a reload that chose its files before they were undone": (
        "replace / two loaded / reload + undo!",
        "a10 b27",
    ),
    "the same under append": ("append / loaded, one new / undo + reload", "b10"),
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_world() as world:
        yield Stage(world)


@pytest.mark.parametrize("name", RECORDED)
def test_an_order_that_went_wrong_goes_right(stage: Stage, name: str) -> None:
    scenario, schedule = RECORDED[name]
    assert stage.play(Scenario.parse(scenario), schedule).wrong == ()


def test_the_judge_sees_rows_that_are_lost_or_double(stage: Stage) -> None:
    """The net itself: what is broken by hand in the twin is told."""
    scenario = Scenario("replace", "two loaded", ("load",))
    assert stage.play(scenario, "a*").wrong == ()
    actors = stage.set(scenario)
    world = stage.world
    (data,) = world.lake.tables.values()
    head = data.snapshots[data.heads["main"]]
    key = next(iter(head.rows))
    object.__setattr__(head, "rows", {**head.rows, key: head.rows[key] * 2})
    doubled = stage.end(scenario, actors).wrong
    assert any("is 2 times in the table" in each for each in doubled)
    actors = stage.set(scenario)
    (data,) = world.lake.tables.values()
    head = data.snapshots[data.heads["main"]]
    object.__setattr__(head, "rows", {})
    lost = stage.end(scenario, actors).wrong
    assert any("the table has []" in each for each in lost)
