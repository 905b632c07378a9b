"""Runs a scenario in one order of its steps, which a short text says.

``a7 b* a!``: actor a does seven steps, b goes on to its end, and a is killed where it stands.
``a>publish`` has a go on until it is about to do that, ``a@written`` until it has passed that
failpoint. ``a~`` has the answer to a's next write lost, ``a-`` the write itself. Those that are
left go on one after the other; then one more run settles what was left behind.
"""

import re
from dataclasses import dataclass

from tests.interleavings.hub import Actor
from tests.interleavings.judge import agreement, judge
from tests.interleavings.scenarios import BEFORE, KINDS, Scenario
from tests.interleavings.twin import LOST, NEVER
from tests.interleavings.world import Moment, World

_TOKEN = re.compile(r"([abc])(\d+|[*!~-]|[>@][\w-]+)")
# No actor has so many steps, unless it goes round in a circle.
_MOST_STEPS = 2_000


@dataclass(frozen=True)
class Played:
    """What one order came to.

    Attributes:
        wrong: What is wrong.
        steps: How many steps were done before settling.
        ended: For each token, whether it went through as it was written.
    """

    wrong: tuple[str, ...]
    steps: int
    whole: bool


class Stage:
    """Plays schedules on a world.

    Args:
        world: Is set back for each.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._moments: dict[tuple[str, str], Moment] = {}
        self._nothing = world.moment()

    def set(self, scenario: Scenario) -> dict[str, Actor]:
        """Set the world back to where the scenario begins; gives its actors."""
        key = scenario.policy, scenario.before
        if key not in self._moments:
            self.world.restore(self._nothing, scenario.policy)
            BEFORE[scenario.before](self.world)
            self._moments[key] = self.world.moment()
        self.world.restore(self._moments[key], scenario.policy)
        self.world.remember()
        actors = {}
        for name, kind in scenario.kinds.items():
            run_id = self.world.run_id()
            actors[name] = self.world.hub.begin(
                name, run_id, lambda kind=kind, run_id=run_id: KINDS[kind](self.world, run_id)
            )
        return actors

    def play(self, scenario: Scenario, schedule: str) -> Played:
        """Run the scenario in this order."""
        actors = self.set(scenario)
        whole = self.follow(actors, schedule)
        return self.end(scenario, actors, whole)

    def follow(self, actors: dict[str, Actor], schedule: str) -> bool:
        """Do what a schedule says; whether each of its steps was there to be done."""
        hub, whole = self.world.hub, True
        for token in schedule.split():
            match = _TOKEN.fullmatch(token)
            assert match, token
            actor, what = actors[match[1]], match[2]
            if what == "!":
                whole &= not actor.ended
                if not actor.ended:
                    hub.kill(actor)
            elif what[0] in ">@":
                while not actor.ended and not _stands_at(actor, what):
                    hub.step(actor)
                whole &= not actor.ended
            elif what in "~-":
                whole &= not actor.ended
                if not actor.ended:
                    hub.step(actor, LOST if what == "~" else NEVER)
            else:
                steps = _MOST_STEPS if what == "*" else int(what)
                for _ in range(steps):
                    if actor.ended:
                        whole &= what == "*"
                        break
                    hub.step(actor)
        return whole

    def end(self, scenario: Scenario, actors: dict[str, Actor], whole: bool = True) -> Played:
        """Let everybody come to an end, settle, and judge."""
        for actor in actors.values():
            for _ in range(_MOST_STEPS):
                if actor.ended:
                    break
                self.world.hub.step(actor)
        steps = sum(len(actor.done) for actor in actors.values())
        wrong: list[str] = [f"{a.name} has no end" for a in actors.values() if not a.ended]
        wrong += agreement(self.world)
        try:
            self.world.settle("roll back" in scenario.actors)
            wrong += judge(self.world, scenario.kinds)
            wrong += agreement(self.world)
        except Exception as error:
            wrong.append(f"settling said {type(error).__name__}: {error}")
        return Played(tuple(wrong), steps, whole)


def _stands_at(actor: Actor, what: str) -> bool:
    if what[0] == "@":
        return what[1:] in actor.passed
    return actor.next is not None and actor.next.what == what[1:].replace("_", " ")


def shrink(stage: Stage, scenario: Scenario, schedule: str) -> str:
    """A shorter schedule that still goes wrong."""
    tokens = schedule.split()
    changed = True
    while changed:
        changed = False
        for i, token in enumerate(tokens):
            smaller = [tokens[:i] + tokens[i + 1 :]]
            if token[1:].isdigit() and int(token[1:]) > 1:
                number = int(token[1:])
                smaller += [
                    [*tokens[:i], f"{token[0]}{n}", *tokens[i + 1 :]]
                    for n in {number // 2, number - 1}
                ]
            for fewer in smaller:
                if stage.play(scenario, " ".join(fewer)).wrong:
                    tokens, changed = fewer, True
                    break
            if changed:
                break
    return " ".join(tokens)


def joined(tokens: list[str]) -> str:
    """Neighbouring steps of one actor as one token."""
    found: list[str] = []
    for token in tokens:
        last = found[-1] if found else ""
        if token[1:].isdigit() and last[:1] == token[0] and last[1:].isdigit():
            found[-1] = f"{token[0]}{int(last[1:]) + int(token[1:])}"
        else:
            found.append(token)
    return " ".join(found)
