"""What there was before, and who works at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.interleavings.world import TABLE, A, B, World

# Each prepares a world; all of it is settled work, but for what the source has new.
BEFORE: dict[str, Callable[[World], None]] = {}
# Each is what one actor does, given the world and its run.
KINDS: dict[str, Callable[[World, str], Any]] = {}


def _before(name: str) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    def add(prepare: Callable[[World], None]) -> Callable[[World], None]:
        BEFORE[name] = prepare
        return prepare

    return add


@_before("new")
def _new(world: World) -> None:
    world.source.put(A)


@_before("two new")
def _two_new(world: World) -> None:
    world.source.put(A)
    world.source.put(B)


@_before("loaded")
def _loaded(world: World) -> None:
    world.source.put(A)
    world.settle()


@_before("loaded, one new")
def _loaded_one_new(world: World) -> None:
    _loaded(world)
    world.source.put(B)


@_before("loaded, changed")
def _loaded_changed(world: World) -> None:
    _loaded(world)
    world.source.put(A)


@_before("undone")
def _undone(world: World) -> None:
    _loaded(world)
    world.undo(world.run_id(), A)


@_before("two loaded")
def _two_loaded(world: World) -> None:
    world.source.put(A)
    world.settle()
    world.source.put(B)
    world.settle()


def _expired(world: World, run_id: str) -> Callable[[], set[str]]:
    return lambda: world.other_runs(run_id)


KINDS |= {
    "load": lambda world, run: world.load(run),
    "undo": lambda world, run: world.undo(run, A),
    "reload": lambda world, run: world.reload(run, A),
    "reconcile": lambda world, run: world.reconcile(run),
    "retry": lambda world, run: world.retry(A),
    # The same, to which the leases of all others have run out.
    "load!": lambda world, run: world.load(run, _expired(world, run)),
    "undo!": lambda world, run: world.undo(run, A, _expired(world, run)),
    "reload!": lambda world, run: world.reload(run, A, _expired(world, run)),
    "reconcile!": lambda world, run: world.reconcile(run, _expired(world, run)),
    # What others do to the source and the table, in one step.
    "change": lambda world, run: world.by_hand("change", lambda: world.source.put(A)),
    "remove": lambda world, run: world.by_hand("remove", lambda: world.source.take_away(A)),
    "expire": lambda world, run: world.by_hand("expire", lambda: world.lake.expire(TABLE)),
    "roll back": lambda world, run: world.by_hand("roll back", lambda: _roll_back(world)),
}


def _roll_back(world: World) -> None:
    data = world.lake.tables.get(TABLE)
    if data is not None and len(data.main()) > 1:
        world.lake.roll_back(TABLE, data.main()[1].id)


@dataclass(frozen=True)
class Scenario:
    """Who works at once, on what.

    Attributes:
        policy: ``source.on_change``.
        before: What there was.
        actors: What each of them does; they are called a, b, c.
    """

    policy: str
    before: str
    actors: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.policy} / {self.before} / {' + '.join(self.actors)}"

    @classmethod
    def parse(cls, text: str) -> "Scenario":
        policy, before, actors = text.split(" / ")
        return cls(policy, before, tuple(actors.split(" + ")))

    @property
    def kinds(self) -> dict[str, str]:
        return dict(zip("abc", self.actors, strict=False))
