"""Actors that go on one at a time, a step each, as they are told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import greenlet

from tests.interleavings.twin import DONE


class Abandoned(BaseException):
    """Ends an actor that was killed, once all has been judged; nothing of it is done any more."""


@dataclass(frozen=True)
class Step:
    """What an actor is about to do.

    Attributes:
        what: The operation.
        place: What it touches: the state, the table or the source.
        writes: Whether it may change it.
    """

    what: str
    place: str
    writes: bool

    def clashes(self, other: "Step") -> bool:
        """Whether the order of the two may matter."""
        return self.place == other.place and (self.writes or other.writes)


@dataclass(eq=False)
class Actor:
    """One worker.

    Attributes:
        name: In the schedule.
        run_id: Its run.
        next: What it is about to do; None once it has ended.
        done: The steps that it has done.
        result: What it has returned.
        error: What it has raised.
        killed: Whether it was killed, and so never goes on.
        heard: What it was told since its last digest was made.
        known: A digest of what it was told before.
        clocks: The last times that it was told.
        passed: The failpoints that it has passed.
    """

    name: str
    run_id: str
    next: Step | None = None
    done: list[Step] = field(default_factory=list)
    result: Any = None
    error: BaseException | None = None
    killed: bool = False
    fate: str = DONE
    in_transaction: bool = False
    body: Any = None
    heard: list[str] = field(default_factory=list)
    known: str = ""
    clocks: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.killed or self.next is None


class Hub:
    """Holds the actors of one schedule."""

    def __init__(self) -> None:
        self.actors: dict[str, Actor] = {}
        self._by_greenlet: dict[Any, Actor] = {}
        self._main = greenlet.getcurrent()

    def begin(self, name: str, run_id: str, work: Callable[[], Any]) -> Actor:
        """Make an actor that stands before its first step."""
        actor = self.actors[name] = Actor(name, run_id)

        def body() -> None:
            try:
                actor.result = work()
            except Abandoned:
                return
            except Exception as error:
                actor.error = error
            actor.next = None

        actor.body = greenlet.greenlet(body, self._main)
        self._by_greenlet[actor.body] = actor
        actor.next = Step("begin", "", False)
        return actor

    def point(self, what: str, place: str, writes: bool) -> str:
        """Stand before a step until it is the actor's turn; what becomes of the step."""
        actor = self._by_greenlet.get(greenlet.getcurrent())
        if actor is None:
            return DONE
        if actor.killed:
            raise Abandoned
        if actor.in_transaction:
            # What others do meanwhile could as well be done before it or after it.
            return DONE
        actor.next = Step(what, place, writes)
        self._main.switch()
        if actor.killed:
            raise Abandoned
        fate, actor.fate = actor.fate, DONE
        return fate

    def holds_lock(self, holds: bool) -> None:
        """Note that the actor at work is in a transaction that keeps other writers out."""
        actor = self.current
        if actor is not None:
            actor.in_transaction = holds

    @property
    def current(self) -> Actor | None:
        """The actor that is at work."""
        return self._by_greenlet.get(greenlet.getcurrent())

    def passes(self, point: str) -> None:
        """Note that the actor at work has passed a failpoint."""
        actor = self.current
        if actor is not None:
            actor.passed.append(point)

    def hear(self, what: object) -> None:
        """Note what an actor was told."""
        actor = self.current
        if actor is not None:
            actor.heard.append(repr(what))

    def step(self, actor: Actor, fate: str = DONE) -> None:
        """Have an actor do its next step, and stand before the one after it."""
        assert actor.next is not None
        actor.done.append(actor.next)
        actor.fate = fate
        actor.body.switch()

    def kill(self, actor: Actor) -> None:
        """Let an actor never go on; not even its handlers run."""
        actor.killed = True

    def close(self) -> None:
        """Unwind those that were killed, without another step of theirs."""
        for actor in self.actors.values():
            if actor.body:  # it has begun, and not ended
                actor.killed = True
                actor.body.throw(Abandoned)
        self._by_greenlet.clear()
