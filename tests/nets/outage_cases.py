"""What happens in a case of the net of outages, drawn at random: the steps, one after the other."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from autoloader_dagster import failpoints
from tests.fixtures import refusals
from tests.nets.outage_site import BY_DAY, Site

HOUR = 3600
# How a server goes away: it is not there, or what it still says.
REFUSALS = {
    "away": None,
    "silent": refusals.silent,
    "busy": refusals.busy_http,
    "starting": refusals.starting_postgres,
}
# Where in a tick or a run something may happen, and at any request to a server.
_MOMENTS = ("asked", *failpoints.POINTS, *["request"] * 6)
# Those that only a run reaches.
_IN_RUNS = [each for each in failpoints.POINTS if each not in ("listed", "discovered")]
PARTITIONS = (
    BY_DAY,
    BY_DAY,
    {**BY_DAY, "every": "month"},
    {"by": "path", "pattern": "*_{shop}_*.csv"},
    {"by": "none"},
)


@dataclass(frozen=True)
class Step:
    """One thing that happens.

    Attributes:
        kind: What; see ``Player``.
        name: Of the file or the server.
        number: Seconds, or how often.
        at: For a tick: the moment in it at which ``then`` happens.
        then: What; for another step, what happens next.
    """

    kind: str
    name: str = ""
    number: float = 0
    at: str = ""
    then: "Step | None" = None

    def __str__(self) -> str:
        words = [self.kind, self.name, f"{self.number:g}" if self.number else ""]
        if self.then is not None:
            words.append(f"({self.then} at {self.at})" if self.at else f"and {self.then}")
        return " ".join(filter(None, words))


class Drawer:
    """Draws the steps of a case; what has happened before decides what may come.

    Args:
        rng: Chooses.
        site: Where they will happen.
    """

    def __init__(self, rng: random.Random, site: Site) -> None:
        self._rng = rng
        self._site = site
        self._number = 0
        self._deaths = 0

    def steps(self) -> Iterator[Step]:
        """One or two times: things happen while servers are away, and then all is well again."""
        rng = self._rng
        yield self._arrival()
        if rng.random() < 0.7:
            yield Step("tick")
        for _ in range(rng.choice((1, 1, 2))):
            for _ in range(rng.randint(5, 14)):
                yield self._step()
            away = [name for name in self._site.proxies if name in self._site.away]
            rng.shuffle(away)
            for name in away[: rng.randint(0, len(away))]:
                yield Step("back", name)
                if rng.random() < 0.6:
                    yield Step("tick")
            yield Step("settles")

    def _step(self) -> Step:
        rng, away = self._rng, self._site.away
        there = [key for key, file in self._site.files.items() if file.there]
        up = [name for name in self._site.proxies if name not in away]
        choices = [
            (2, self._arrival()),
            (3, Step("tick")),
            (4, self._eventful_tick(up, there)),
            (1.5, Step("passes", number=rng.choice((5, 40, 60, 1800, 12 * HOUR, 48 * HOUR)))),
        ]
        if there:
            key = rng.choice(there)
            choices += [
                (1, Step("changes", key)), (0.4, Step("spoils", key)), (0.4, Step("deleted", key)),
            ]  # fmt: skip
        if up:
            server = rng.choice(up)
            choices.append((2.5 if len(away) < 2 else 0.5, self._away(server)))
        if away:
            choices.append((1, Step("back", rng.choice(away))))
            choices.append((0.7, Step("fails", number=rng.choice((1, 8, 25)))))
        weights, steps = zip(*choices, strict=True)
        return rng.choices(steps, weights)[0]

    def _away(self, server: str) -> Step:
        """It goes away in some way; silence of the others would take too long for a net."""
        is_postgres = server == "state" or self._site.catalog.name == "pglake"
        also = {"spark": ["silent"], "state": ["silent", "starting"], "source": ["busy"]}.get(
            server, ["starting" if is_postgres else "busy"]
        )
        return Step(self._rng.choice(("away", "away", *also)), server)

    def _arrival(self) -> Step:
        rng = self._rng
        self._number += 1
        day = f"2026-{rng.randint(1, 9):02}-{rng.choice((1, 2, 3, 15)):02}"
        kind = "spoils" if rng.random() < 0.12 else "arrives"
        return Step(kind, f"{day}-x_{rng.choice(('south', 'north', 'east'))}_{self._number}.csv")

    def _eventful_tick(self, up: list[str], there: list[str]) -> Step:
        rng = self._rng
        at = rng.choice(_MOMENTS)
        server = rng.choice(up) if up else "spark"
        if at == "request":
            most = {"spark": 60, "catalog": 120, "state": 120, "source": 20}[server]
            number = int(most ** rng.random()) + 1
            return Step("tick", at=at, then=Step("away", server, number))
        if self._deaths < 2 and rng.random() < 0.15:
            # The worker dies, alone or beside a server. Often, and its files wait for good reason.
            self._deaths += 1
            dies = Step("dies")
            at = rng.choice(_IN_RUNS)
            return Step(
                "tick", at=at, then=rng.choice((dies, replace(self._away(server), then=dies)))
            )
        away = self._away(server)
        events = [away, away, Step("blip", server), Step("forgets")]
        events.append(Step("passes", number=rng.choice((60, HOUR, 48 * HOUR))))
        events.append(self._arrival())
        if there:
            events.append(Step(rng.choice(("changes", "spoils", "deleted")), rng.choice(there)))
        return Step("tick", at=at, then=rng.choice(events))
