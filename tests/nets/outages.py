"""Servers that go away in any order, for minutes or days, while files keep coming.

``script/soak --outages --minutes 20 --seed 7`` draws cases until the time is over, and
``script/soak --outages --seed 7/12 --cases 1`` has one of them again.
"""

import argparse
import logging
import random
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from autoloader_dagster import failpoints
from tests.fixtures.catalogs import Catalogs, open_catalogs
from tests.fixtures.postgres import fresh_database, running_postgres
from tests.fixtures.s3 import S3Server, running_s3
from tests.nets.outage_cases import PARTITIONS, REFUSALS, Drawer, Step
from tests.nets.outage_site import EVERY, Page, Site, open_site

# By what is away: what a page says meanwhile of the cause, and of what to do.
PAGES = {
    "spark": (
        "SPARK_REMOTE.* (cannot be reached|.*does not answer|does not know this session)",
        "Start it|start it|Check that it is running|Start again",
    ),
    "catalog": (
        "Failed to connect|Connection refused|Connection reset|Broken pipe|I/O error|"
        "starting up|503|NoHttpResponse|failed to respond|Service unavailable|"
        "does not answer within",
        "the catalog",
    ),
    "state": ("The state database", "Start the database|Wait until it has started"),
    "source": (
        "no answer|Connection refused|503|Service Unavailable",
        "can reach it|the source|that the endpoint is running",
    ),
}
# Dagster ends a tick after a minute.
TICK_SECONDS = 55
# A page that shows one of these tells of a fault of ours, not of an outage. The last is a cause
# that was put after a sentence.
_OURS = re.compile(r"Traceback|unexpected (?!eof)|fault of autoloader|\w\.[:;,] ")


@dataclass
class Player:
    """Has steps happen at a site, and holds each page and the end against what must be.

    Attributes:
        site: Where.
        said: What the pages said, by step.
        wrong: What was not as it must be.
        ticks: How many there were.
        died: Whether the run of the last tick died, and so tells nothing.
    """

    site: Site
    said: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ticks: int = 0
    died: bool = False

    def play(self, steps: Iterable[Step]) -> list[str]:
        """Have them happen, until one goes wrong; what did."""
        for step in steps:
            self.said.append(f"- {step}")
            self._do(step)
            if self.wrong:
                break
        return self.wrong

    def _do(self, step: Step) -> None:
        self._do_alone(step)
        if step.then is not None and step.kind != "tick":
            self._do(step.then)

    def _do_alone(self, step: Step) -> None:
        site = self.site
        if step.kind in ("arrives", "changes", "spoils"):
            site.put(step.name, good=step.kind != "spoils")
        elif step.kind == "deleted":
            site.delete(step.name)
        elif step.kind == "passes":
            site.pass_time(step.number)
        elif step.kind in REFUSALS:
            site.take_away(step.name, int(step.number), REFUSALS[step.kind])
        elif step.kind == "back":
            site.bring_back(step.name)
        elif step.kind == "blip":
            site.proxies[step.name].cut()
        elif step.kind == "dies":
            self.died = True
            raise failpoints.Death
        elif step.kind == "forgets":
            _forget_session()
        elif step.kind == "fails":
            site.fail_again(int(step.number))
        elif step.kind == "tick":
            self._tick(step)
        elif step.kind == "settles":
            self._settle()
        else:
            raise ValueError(f"there is no step '{step.kind}'")

    def _tick(self, step: Step) -> None:
        before, self.died = self.site.away, False
        waits = set(self.site.waits() if before else ())
        with self._meanwhile(step) as moment:
            page = self._page(moment)
        # What was to happen and did not will not happen later.
        after = self.site.away
        for name in self.site.proxies:
            if name not in after:
                self.site.bring_back(name)
        if before and waits:
            # Something may have changed in the tick that makes a file wait no more.
            waits &= set(self.site.waits())
        must_tell = waits or not {"state", "source"}.isdisjoint(before)
        told = any(_names(name, page.text) for name in {*before, *after})
        if must_tell and not told and not self.died:
            self.wrong.append(
                f"{', '.join(before)} is away, {len(waits)} files wait, and a page does not say "
                f"so: {page.text}"
            )

    def _page(self, asked: Callable[[], None] = lambda: None) -> Page:
        began = time.monotonic()
        page = self.site.tick(asked)
        self.ticks += 1
        seconds = f"{page.seconds:.1f} of {time.monotonic() - began:.1f} s"
        self.said.append(f"  {seconds}: {page.text}")
        if page.seconds > TICK_SECONDS:
            self.wrong.append(f"a tick took {page.seconds:.0f} s: {page.text}")
        self.wrong += page.strange
        if _OURS.search(page.text):
            self.wrong.append(f"a page tells of a fault of ours: {page.text}")
        return page

    @contextmanager
    def _meanwhile(self, step: Step) -> Iterator[Callable[[], None]]:
        """Have the step's ``then`` happen at its moment, once; gives what is called when asked."""
        then, once = step.then, threading.Lock()

        def happen() -> None:
            if then is not None and once.acquire(blocking=False):
                self.said.append(f"  now: {then}")
                self._do(then)

        if then is None:
            yield lambda: None
        elif step.at == "asked":
            yield happen
        elif step.at == "request":
            self._do(then)
            yield lambda: None
        else:
            with failpoints.on(step.at, happen):
                yield lambda: None

    def _settle(self) -> None:
        """All is well again: two ticks load all that waits."""
        for name in self.site.proxies:
            self.site.bring_back(name)
        for _ in range(2):
            self.site.pass_time(EVERY)
            self._page()
            if self.wrong or not self.site.unsettled():
                break
        self.wrong += self.site.wrong()


def _names(server: str, text: str) -> bool:
    """Whether a page tells that this server is away, and what to do."""
    return all(re.search(pattern, text) for pattern in PAGES[server])


def _forget_session() -> None:
    """Have the server forget the session of this thread, as if it had been started again."""
    from pyspark.sql.connect.proto import base_pb2
    from pyspark.sql.connect.session import SparkSession

    session = SparkSession.getActiveSession()
    if session is None:
        return
    client = session.client
    with suppress(Exception):  # it is away, and so is the session
        request = base_pb2.ReleaseSessionRequest(
            session_id=client._session_id, client_type=client._builder.userAgent
        )
        client._stub.ReleaseSession(request, metadata=client._builder.metadata(), timeout=5)


@dataclass(frozen=True)
class Servers:
    """What all cases share.

    Attributes:
        catalogs: With the Spark server.
        s3: The source's.
        postgres: URL of a superuser of the state's.
    """

    catalogs: Catalogs
    s3: S3Server
    postgres: str


@contextmanager
def running_servers(root: Path) -> Iterator[Servers]:
    """Servers of one's own for the block."""
    with (
        running_postgres() as postgres,
        running_s3(root / "s3.log") as s3,
        open_catalogs(postgres.url, root / "servers") as catalogs,
    ):
        yield Servers(catalogs, s3, postgres.url)


def run_case(servers: Servers, seed: str, root: Path) -> Player:
    """Draw one case and have it happen."""
    rng = random.Random(seed)
    catalog = servers.catalogs.by_name[rng.choice(("pglake", "restlake"))]
    spec = {
        "partition": rng.choice(PARTITIONS),
        "batch": {"max_files": rng.choice((1, 2, 100))},
    }
    with (
        fresh_database(servers.postgres, "outages_") as state,
        open_site(
            servers.catalogs, catalog, servers.s3.fresh_bucket(), state, root, **spec
        ) as site,
    ):
        player = Player(site, [f"{catalog.name}, {spec}"])
        try:
            player.play(Drawer(rng, site).steps())
        except Exception:
            player.wrong.append(traceback.format_exc())
        return player


def main() -> int:
    """Draw cases until the time is over; exit 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="script/soak --outages", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", default="1", help="7, or 7/12 to begin with its case 12")
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="at most so many")
    parser.add_argument("--verbose", action="store_true", help="show what every page says")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in ("dagster", "autoloader_dagster", "pyiceberg"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    seed, _, first = options.seed.partition("/")
    began, number, tally = time.monotonic(), int(first or 0), Counter[str]()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(running_servers(root))
        while time.monotonic() < began + options.minutes * 60 and tally["cases"] < options.cases:
            case, start = f"{seed}/{number}", time.monotonic()
            player = run_case(servers, case, root / str(number))
            shutil.rmtree(root / str(number), ignore_errors=True)
            tally["cases"] += 1
            tally["ticks"] += player.ticks
            tally["wrong"] += bool(player.wrong)
            result = f"{len(player.wrong)} wrong" if player.wrong else "good"
            _tell(f"case {case}: {player.ticks} ticks, {time.monotonic() - start:.1f} s, {result}")
            if player.wrong or options.verbose:
                _tell("\n".join([*player.said, *(f"WRONG: {each}" for each in player.wrong)]))
                _tell(f"again: script/soak --outages --seed {case} --cases 1")
            number += 1
    minutes = (time.monotonic() - began) / 60
    counts = f"{tally['cases']} cases, {tally['ticks']} ticks, {minutes:.0f} minutes"
    _tell(f"{counts}, {tally['wrong']} wrong")
    return 1 if tally["wrong"] else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
