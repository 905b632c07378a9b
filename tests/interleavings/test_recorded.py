"""Every order that ever went wrong goes right, and is found again when its fix is taken out."""

import itertools
from collections.abc import Iterator

import pytest

from autoloader_dagster.loading.batch.files import Members
from autoloader_dagster.loading.recovery.main_read import MainRead
from tests.interleavings.scenarios import Scenario
from tests.interleavings.schedule import Stage
from tests.interleavings.world import open_world

# What was found, by the walk or by hand, and the order in which it went wrong.
FIRST_LOAD = "a reconcile that asked for the table before its first load"
UNDO = "a reconcile that read the rows before an undo took them out"
REPLACE = "an older version that is published while a newer one is loaded"
RECORDED = {
    FIRST_LOAD: ("replace / new / load + reconcile", "b>columns b1 a*"),
    UNDO: ("replace / loaded / undo + reconcile", "b>rows_of_files b1 a*"),
    REPLACE: ("replace / new / load + change + load!", "a>publish b* c>drop_branch a1 c*"),
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


def _search(stage: Stage, name: str, *orders: str) -> set[str]:
    """The first that goes wrong in a recorded scenario, with n of an order from 1 on."""
    scenario = Scenario.parse(RECORDED[name][0])
    for order in orders:
        for steps in itertools.count(1):
            played = stage.play(scenario, order.replace("n", str(steps)))
            if played.wrong:
                return set(played.wrong)
            if not played.whole:
                break
    return set()


def test_the_search_finds_a_reconcile_whose_writes_are_not_guarded(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MainRead, "unchanged", lambda self: None)
    first = _search(stage, FIRST_LOAD, "bn a*", "an b*")
    assert "row 11 is 2 times in the table" in first
    undone = _search(stage, UNDO, "bn a*", "an b*")
    assert "a1 was undone, and is loaded again" in undone


def test_the_search_finds_a_batch_that_replaces_what_its_claim_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = Members.leave_out_what_is_loaded

    def as_claimed(self: Members) -> None:
        claimed = dict(self._files)
        try:
            now(self)
        finally:
            self._files.update((path, claimed[path]) for path in self._files)

    monkeypatch.setattr(Members, "leave_out_what_is_loaded", as_claimed)
    # Worker a stands before its publish, the file changes, and c settles what a has left behind;
    # the publish lands somewhere in between.
    wrong = _search(stage, REPLACE, "a>publish b* cn a1 c*")
    assert any("(11, 12)" in each for each in wrong)


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
