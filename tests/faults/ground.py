"""What all cases share: one Spark server, one PostgreSQL, workers; and what a case comes to."""

import random
import secrets
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from autoloader_dagster.settings import Settings
from tests.faults.checker import Verdict
from tests.faults.processes import Workers
from tests.faults.site import Site
from tests.fixtures.postgres import PostgresServer

DATABASES = ("sqlite", "postgresql")
# In nanoseconds.
_DAY = 86_400 * 10**9


@dataclass(frozen=True)
class Outcome:
    """What a case came to.

    Attributes:
        fault: Its line of the list of faults, such as F1.
        case: How it was broken, in words.
        seed: Makes the same case again.
        verdict: What the checker found in the end.
        seconds: How long the run took that settled it.
    """

    fault: str
    case: str
    seed: int
    verdict: Verdict
    seconds: float

    def __str__(self) -> str:
        """The case, and all that is wrong."""
        return f"{self.fault} {self.case}, seed {self.seed}:\n{self.verdict}"


def wrong(outcomes: Sequence[Outcome]) -> str:
    """All that is wrong, for an assertion; empty if nothing is."""
    return "\n".join(str(outcome) for outcome in outcomes if outcome.verdict)


@dataclass
class Ground:
    """Servers and workers that many cases use, side by side.

    Attributes:
        settings: Of the home whose Spark server and catalog are used.
        root: Below it each site has its folder.
        postgres_url: Gives the URL of a superuser; called only when one is needed.
        own: That PostgreSQL, if it and the Spark server may be killed.
    """

    settings: Settings
    root: Path
    postgres_url: Callable[[], str]
    own: PostgresServer | None = None
    workers: Workers = field(init=False)
    databases: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Workers begin when they are asked for."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.workers = Workers(self.root / "workers.log")

    def site(self, database: str, settings: Settings | None = None) -> Site:
        """A site of its own, with an empty state database of this kind."""
        name = f"f_{secrets.token_hex(5)}"
        root = self.root / name
        root.mkdir()
        url = f"sqlite:///{root / 'state.db'}" if database == "sqlite" else self.new_database(name)
        return Site(settings or self.settings, root, url, name)

    def new_database(self, name: str) -> str:
        """An empty database in the shared PostgreSQL."""
        server = self.postgres_url()
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        self.databases.append(name)
        return server.rsplit("/", 1)[0] + f"/{name}"

    def settle(self, site: Site, over: list[str]) -> float:
        """One further run, by a worker that nobody disturbs; it must not fail.

        Returns:
            The seconds that it took.
        """
        with self.workers.one() as worker:
            answer = worker.do(site.job(over=over))
        assert answer is not None, "the undisturbed worker died"
        assert "error" not in answer, answer.get("unexpected") or answer["message"]
        return answer["seconds"]

    def close(self) -> None:
        """End what was begun."""
        self.workers.close()
        for name in self.databases:
            with psycopg.connect(self.postgres_url(), autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.databases.clear()


def rows_of(rng: random.Random, tag: str, rows: int | None = None) -> str:
    """A CSV whose every row tells which version of which file it is from."""
    count = rng.randint(1, 30) if rows is None else rows
    return "id,said\n" + "".join(f"{rng.randrange(10**9)},{tag}-{n}\n" for n in range(count))


def change_files(site: Site, rng: random.Random, tag: str) -> None:
    """Some files arrive, and some of those that are there are replaced."""
    there = sorted(path for path in site.versions if path not in site.gone)
    for number, path in enumerate(rng.sample(there, min(len(there), rng.randint(1, 2)))):
        name = Path(path).name
        _put(site, name, rows_of(rng, f"{tag}-{name}-{number}"))
    for number in range(rng.randint(1, 4)):
        name = f"{tag}-{number}.csv"
        _put(site, name, rows_of(rng, name))


def _put(site: Site, name: str, content: str) -> None:
    """Have a file of today or yesterday arrive, so that there are two partitions."""
    site.put(name, content, time.time_ns() - len(content) % 2 * _DAY)


Case = Callable[[Ground, Site, str, int], Outcome]


def series(
    ground: Ground,
    database: str,
    case: Case,
    variants: Sequence[str],
    seed: int,
    **spec: Any,
) -> list[Outcome]:
    """A case in all its variants, one after the other on one site, whose table grows on.

    After each, Dagster's pages are held against state and table. A case that cannot come to its
    end is one that did not settle, and ends the series.
    """
    site = ground.site(database)
    site.write_spec(**spec)
    change_files(site, random.Random(seed), "first")
    ground.settle(site, over=[])
    outcomes: list[Outcome] = []
    with site.late_pages() as pages:
        for number, variant in enumerate(variants):
            each = seed * 1000 + number
            try:
                outcome = case(ground, site, variant, each)
                if not outcome.verdict and not site.has_dagster:
                    outcome.verdict.disagree.extend(pages.untrue())
                outcomes.append(outcome)
            except Exception:
                stuck = Verdict(unsettled=[traceback.format_exc()])
                name = f"{getattr(case, '__name__', '')} {variant} {database}"
                return [*outcomes, Outcome("", name, each, stuck, 0.0)]
    return outcomes


def side_by_side(calls: Sequence[Callable[[], list[Outcome]]]) -> list[Outcome]:
    """Have them all done at once, each in a thread, for most of a case is waiting."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [outcome for found in threads.map(lambda call: call(), calls) for outcome in found]
