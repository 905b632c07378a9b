"""Walks all orders of a scenario's steps, each state once.

The process forks where the order parts: a child goes on with one choice, and its parent with the
next. What was reached before in another order is not gone into again, for what follows is the same;
so the orders that are covered are many more than the steps that are done, and are counted exactly.
"""

import gc
import json
import mmap
import os
import random
import struct
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.interleavings.digest import Names, digest
from tests.interleavings.hub import Actor
from tests.interleavings.scenarios import Scenario
from tests.interleavings.schedule import Stage, joined
from tests.interleavings.world import World

_SLOT = struct.Struct("<16sd")
_FIELDS = ("edges", "states", "ends", "forks", "wrong", "left")


@dataclass(frozen=True)
class Bounds:
    """How far to go.

    Attributes:
        kills: Actors that are killed in one order.
        faults: Writes of the table that are lost in one order, or their answers.
        switches: How often an actor is left before it has ended or been killed; None for any.
        seconds: After which no more is gone into.
    """

    kills: int = 1
    faults: int = 0
    switches: int | None = None
    seconds: float = 1e9


@dataclass(frozen=True)
class Walk:
    """What walking a scenario came to.

    Attributes:
        orders: How many orders of steps are covered, counted by the states they share.
        states: States that were gone into.
        steps: Steps that were done.
        ends: Ends that were judged.
        whole: Whether all within the bounds was walked, and not only what the time allowed.
        found: Schedule and what is wrong after it.
    """

    scenario: Scenario
    orders: float
    states: int
    steps: int
    ends: int
    whole: bool
    seconds: float
    found: tuple[tuple[str, tuple[str, ...]], ...]


class _Shared:
    """What all processes of one walk share: the states that were seen, and counts."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._seen = mmap.mmap(-1, slots * _SLOT.size)
        self._counts = mmap.mmap(-1, 8 * (len(_FIELDS) + 1))

    def count(self, field: str, more: int = 1) -> None:
        at = 8 * _FIELDS.index(field)
        now = struct.unpack_from("<q", self._counts, at)[0]
        struct.pack_into("<q", self._counts, at, now + more)

    def counted(self, field: str) -> int:
        return struct.unpack_from("<q", self._counts, 8 * _FIELDS.index(field))[0]

    @property
    def answer(self) -> float:
        """What the child that has just ended has counted."""
        return struct.unpack_from("<d", self._counts, 8 * len(_FIELDS))[0]

    @answer.setter
    def answer(self, orders: float) -> None:
        struct.pack_into("<d", self._counts, 8 * len(_FIELDS), orders)

    def slot(self, key: bytes) -> tuple[int, float | None]:
        """Where a state is kept, and how many orders go on from it if that is known."""
        at = int.from_bytes(key[:8], "big") % self._slots
        while True:
            known, orders = _SLOT.unpack_from(self._seen, at * _SLOT.size)
            if known == key:
                return at, orders
            if known == bytes(16):
                return at, None
            at = (at + 1) % self._slots

    def keep(self, at: int, key: bytes, orders: float) -> None:
        _SLOT.pack_into(self._seen, at * _SLOT.size, key, orders)


class Explorer:
    """Walks scenarios on one world.

    Args:
        world: Is forked, and so are its greenlets.
        folder: For what children find.
        slots: How many states there is room for.
    """

    def __init__(self, world: World, folder: Path, slots: int = 1 << 20) -> None:
        self._world = world
        self._stage = Stage(world)
        self._found = folder / "found.jsonl"
        self._slots = slots

    def walk(self, scenario: Scenario, bounds: Bounds, seed: int | None = None) -> Walk:
        """Go through all orders within the bounds; with a seed, begin anywhere among them."""
        began = time.monotonic()
        self._shared = _Shared(self._slots)
        self._found.write_text("")
        self._until = began + bounds.seconds
        self._random = random.Random(seed) if seed is not None else None
        self._scenario, self._bounds = scenario, bounds
        # What is imported and compiled on first use is there before the first fork.
        self._stage.play(scenario, "a12 b*")
        actors = self._stage.set(scenario)
        self._names = Names(self._world)
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            sys.stdout.flush()
            self._in_child(
                lambda: self._go(actors, [], bounds.kills, bounds.faults, bounds.switches, "")
            )
        finally:
            # What is frozen stays so: else all that is imported would be looked through again.
            gc.enable()
        found = [json.loads(line) for line in self._found.read_text().splitlines()]
        count = self._shared.counted
        return Walk(
            scenario,
            self._shared.answer,
            count("states"),
            count("edges"),
            count("ends"),
            not count("left"),
            time.monotonic() - began,
            tuple((schedule, tuple(wrong)) for schedule, wrong in found),
        )

    def _in_child(self, work) -> float:
        """Do something in a child, and give what it counted."""
        self._shared.count("forks")
        child = os.fork()
        if child == 0:
            try:
                self._shared.answer = work()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if status:
            raise RuntimeError(f"a child of the walk through {self._scenario} has failed")
        return self._shared.answer

    def _go(
        self,
        actors: dict[str, Actor],
        path: list[str],
        kills: int,
        faults: int,
        switches: int | None,
        last: str,
    ) -> float:
        """Go on from here in every order; how many there are. Leaves nothing as it was."""
        shared = self._shared
        living = [actor for actor in actors.values() if not actor.ended]
        # Where only one is left and nothing may be done to it, there is one order.
        key = digest(self._world, self._names, f"{kills} {faults} {switches} {last}")
        slot, known = shared.slot(key)
        if known is not None:
            return known
        shared.count("states")
        if not living:
            self._judge(actors, path)
            shared.keep(slot, key, 1.0)
            return 1.0
        if time.monotonic() > self._until:
            shared.count("left")
            return 0.0
        choices = self._choices(living, kills, faults, switches, last)
        if self._random is not None:
            self._random.shuffle(choices)
        orders = 0.0
        for i, token in enumerate(choices):
            left = (actors, path, token, kills, faults, switches, last)
            if i < len(choices) - 1:
                # In a child, because this process goes on from here with the next choice.
                orders += self._in_child(lambda left=left: self._choose(*left))
            else:
                orders += self._choose(*left)
        slot, _ = shared.slot(key)
        shared.keep(slot, key, orders)
        return orders

    def _choices(
        self,
        living: list[Actor],
        kills: int,
        faults: int,
        switches: int | None,
        last: str,
    ) -> list[str]:
        for actor in living:
            # Killed there, it is killed before its next step that others see.
            if self._harmless(actor, living):
                return [f"{actor.name}1"]
        names = [actor.name for actor in living]
        if switches == 0 and last in names:
            living = [actor for actor in living if actor.name == last]
        found = []
        for actor in living:
            found.append(f"{actor.name}1")
            begun = len(actor.done) > 0
            if self._is_person(actor) or actor.next is None:
                continue
            if kills and begun:
                found.append(f"{actor.name}!")
            if faults and actor.next.place == "table" and actor.next.writes:
                found += [f"{actor.name}~", f"{actor.name}-"]
        return found

    def _harmless(self, actor: Actor, living: list[Actor]) -> bool:
        """Whether the next step is a look at what nobody changes, so that any time is as good."""
        step = actor.next
        if step is None or step.writes or step.place == "state":
            return False
        if step.place == "table":
            return False
        changes = ("change", "remove")
        return not step.place or not any(
            self._scenario.kinds[other.name] in changes for other in living if other is not actor
        )

    def _is_person(self, actor: Actor) -> bool:
        kind = self._scenario.kinds[actor.name]
        return kind in ("change", "remove", "expire", "roll back")

    def _choose(
        self,
        actors: dict[str, Actor],
        path: list[str],
        token: str,
        kills: int,
        faults: int,
        switches: int | None,
        last: str,
    ) -> float:
        self._shared.count("edges")
        name, what = token[0], token[1]
        living = [actor for actor in actors.values() if not actor.ended]
        if switches is None or self._harmless(actors[name], living):
            name = last or ""
        elif last not in ("", name) and not actors[last].ended:
            switches -= 1
        self._stage.follow(actors, token)
        return self._go(
            actors,
            [*path, token],
            kills - (what == "!"),
            faults - (what in "~-"),
            switches,
            name,
        )

    def _judge(self, actors: dict[str, Actor], path: list[str]) -> None:
        self._shared.count("ends")
        played = self._stage.end(self._scenario, actors)
        if played.wrong:
            self._shared.count("wrong")
            with self._found.open("a") as file:
                file.write(json.dumps([joined(path), played.wrong]) + "\n")
