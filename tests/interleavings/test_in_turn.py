"""What people do one after the other: the rows are in the table once, and the state knows them."""

from collections import Counter
from collections.abc import Iterator

import pytest

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
