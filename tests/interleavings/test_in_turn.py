"""What people do one after the other: the rows are in the table once, and the state knows them."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.interleavings.hub import Actor
from tests.interleavings.judge import agreement
from tests.interleavings.world import TABLE, A, B, TwinSource, World, open_world


@pytest.fixture
def world() -> Iterator[World]:
    with open_world() as world:
        yield world


def _head(world: World) -> int:
    return world.lake.tables[TABLE].main()[0].id


def _rows(world: World) -> Counter[int]:
    return Counter(i for ids in world.lake.tables[TABLE].main()[0].rows.values() for i in ids)


def _statuses(world: World) -> dict[str, str]:
    return dict(world.select("select file_version, status from processed_files"))


@pytest.mark.parametrize("loaded_again", [True, False])
def test_a_file_that_was_undone_and_retried_is_loaded_once_after_a_rollback_before_the_undo(
    world: World, loaded_again: bool
) -> None:
    world.source.put(A)
    world.settle()
    (first,) = _statuses(world)
    before = _head(world)
    world.undo(world.run_id(), A)
    world.retry(A)
    if loaded_again:
        world.settle()
    world.lake.roll_back(TABLE, before)
    world.source.put(B)

    world.settle()

    assert _rows(world) == Counter(i for each in _statuses(world) for i in TwinSource.ids_of(each))
    assert set(_statuses(world).values()) == {"SUCCESS"}
    # The state knows the batch that has the rows.
    world.undo(world.run_id(), A)
    assert _statuses(world)[first] == "UNDONE"
    assert not _rows(world).keys() & set(TwinSource.ids_of(first))


@pytest.mark.parametrize("expired", [True, False])
def test_after_a_rollback_past_two_replacements_the_version_in_main_is_the_loaded_one(
    world: World, expired: bool
) -> None:
    world.source.put(A)
    world.settle()
    before = _head(world)
    for _ in range(2):
        world.source.put(A)
        world.settle()
    world.lake.roll_back(TABLE, before)
    if expired:
        world.lake.expire(TABLE)
    world.source.put(B)

    world.settle()

    assert _statuses(world) == {"a1": "SUCCESS", "a2": "REPLACED", "a3": "UNDONE", "b1": "SUCCESS"}
    world.source.put(A)
    world.settle()
    assert _rows(world) == Counter(i for each in ("a4", "b1") for i in TwinSource.ids_of(each))


def _histories_read(world: World) -> int:
    """Load what waits; how often the table's history was read for it."""
    run = world.run_id()
    actor = world.hub.begin(run, run, lambda: world.load(run))
    while not actor.ended:
        world.hub.step(actor)
    assert actor.error is None
    return [step.what for step in actor.done].count("history")


def test_a_load_reads_the_history_to_audit_only_while_nobody_else_moves_main(world: World) -> None:
    def load_one_more() -> int:
        world.source.put(A)
        return _histories_read(world)

    load_one_more()
    assert [load_one_more() for _ in range(3)] == [1, 1, 1]
    # Main as it is was seen by others only.
    world.lake.roll_back(TABLE, world.lake.tables[TABLE].main()[1].id)
    assert load_one_more() > 1
    assert load_one_more() == 1
    # So is a table that took the place of the old one.
    world.lake.drop(TABLE)
    assert load_one_more() > 1


@pytest.mark.parametrize("late_is_recorded_first", [True, False])
def test_a_batch_that_is_recorded_after_main_was_rolled_back_past_it_is_seen(
    world: World, late_is_recorded_first: bool
) -> None:
    def published(path: str) -> Actor:
        """A worker that has published and not recorded yet."""
        world.source.put(path)
        run = world.run_id()
        actor = world.hub.begin(run, run, lambda: world.load(run))
        while "published" not in actor.passed:
            world.hub.step(actor)
        return actor

    world.source.put(A)
    world.settle()
    before = _head(world)
    late = published(B)
    world.lake.roll_back(TABLE, before)
    # This one sees main as it is, and nothing of the batch before.
    other = published(A)
    for actor in (late, other) if late_is_recorded_first else (other, late):
        while not actor.ended:
            world.hub.step(actor)
    assert _statuses(world)["b1"] == "SUCCESS"
    assert agreement(world) == []

    world.source.put(A)
    world.load(world.run_id())

    assert _statuses(world)["b1"] == "UNDONE"
    assert agreement(world) == []
