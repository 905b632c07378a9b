"""F7 and F10: the state database is down, locked, or fails some of the calls."""

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.ground import Ground, Outcome, change_files
from tests.faults.servers import BadNetwork
from tests.faults.site import Site, wait_until

# Of the messages: a call is two or three of them, so that one call in twenty fails.
FAILING_SHARE = 0.02
TRIES = 12


def down_at(ground: Ground, site: Site, point: str, seed: int) -> Outcome:
    """PostgreSQL goes away while a worker stands at the point, and comes back afterwards."""
    postgres = ground.own
    assert postgres is not None
    rng = random.Random(seed)
    change_files(site, rng, f"d{seed}")
    go = site.root / f"go-{seed}"
    job = site.job(f"{point}=pause:{go}")
    with ground.workers.one() as worker:
        worker.begin(job)
        wait_until(lambda: Path(f"{go}.reached").exists(), 120, f"the pause at {point}")
        postgres.stop()
        go.touch()
        answer = worker.answer()
    postgres.start()
    seconds = ground.settle(site, over=[job["run"]])
    verdict = site.check()
    if answer is None or answer.get("error") != "StateError":
        verdict.disagree.append(f"the worker did not say that its database is down: {answer}")
    return Outcome("F7", f"PostgreSQL down at {point}", seed, verdict, seconds)


def locked_for_a_while(ground: Ground, site: Site, _: str, seed: int) -> Outcome:
    """Another process keeps SQLite locked for some seconds; nobody is shown an error."""
    rng = random.Random(seed)
    change_files(site, rng, f"l{seed}")
    with ground.workers.one() as worker:
        worker.begin(site.job())
        file = site.database_url.removeprefix("sqlite:///")
        for _ in range(3):
            time.sleep(rng.uniform(0, 0.8))
            with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                time.sleep(rng.uniform(0.2, 2))
                other.execute("ROLLBACK")
        answer = worker.answer()
    verdict = site.check()
    if answer is None or "error" in answer:
        verdict.disagree.append(f"the worker was shown: {answer}")
    return Outcome("F7", "SQLite locked", seed, verdict, (answer or {}).get("seconds", 0.0))


def failing_calls(ground: Ground, site: Site, _: str, seed: int) -> Outcome:
    """Some of the calls to PostgreSQL fail, before or after they were carried out."""
    rng = random.Random(seed)
    change_files(site, rng, f"b{seed}")
    good = site.database_url
    port = urlsplit(good).port
    assert port is not None
    runs: list[str] = []
    broke: list[str] = []
    with BadNetwork(port, seed, FAILING_SHARE) as network:
        site.database_url = good.replace(f":{port}/", f":{network.port}/")
        try:
            for _ in range(TRIES):
                job = site.job(lease=1, over=list(runs))
                runs.append(job["run"])
                with ground.workers.one() as worker:
                    answer = worker.do(job)
                if answer is None or "unexpected" in answer:
                    broke.append(f"a worker broke: {answer and answer['unexpected']}")
                elif "error" not in answer:
                    break
        finally:
            site.database_url = good
    seconds = ground.settle(site, over=runs)
    verdict = site.check()
    verdict.disagree.extend(broke)
    case = f"{network.cuts} calls cut in {len(runs)} runs"
    return Outcome("F10", case, seed, verdict, seconds)
