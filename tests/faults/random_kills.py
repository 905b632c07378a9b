"""F2: workers, Spark's server and PostgreSQL are killed at random, again and again."""

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from tests.faults.ground import Ground, Outcome, change_files
from tests.faults.processes import Worker
from tests.faults.servers import kill_spark
from tests.faults.site import Site

KILLS = 4
WORKERS = 2
LEASE_SECONDS = 2.0


def kill_at_random(ground: Ground, site: Site, _: str, seed: int) -> Outcome:
    """Let some workers work, kill what comes, and have one further run settle it all.

    The ground's Spark server may be killed, and its own PostgreSQL, so nobody else may be at work
    on it.
    """
    postgres = ground.own if site.kind == "postgresql" else None
    rng = random.Random(seed)
    for part in range(3):
        change_files(site, rng, f"r{seed}-{part}")
    victims: list[str] = []
    runs: list[str] = []
    workers: list[Worker] = []
    with ThreadPoolExecutor(WORKERS) as threads:
        workers = list(threads.map(lambda _: ground.workers.take(), range(WORKERS)))
    unexpected: list[str] = []
    try:
        for worker in workers:
            _begin(site, worker, runs)
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.05, 2.0))
            kind = rng.choices(("worker", "spark", "postgres"), (70, 12, 18 if postgres else 0))[0]
            if kind == "spark" and not kill_spark(ground.settings):
                kind = "worker"
            if kind == "postgres" and postgres:
                postgres.kill()
                time.sleep(rng.choice((0, 0.5)))
                postgres.start()
            if kind == "worker":
                number = rng.randrange(WORKERS)
                workers[number].send(signal.SIGKILL)
                workers[number].close()
                workers[number] = ground.workers.take()
            for worker in workers:
                if worker.idle:
                    unexpected += _begin(site, worker, runs)
            victims.append(kind)
        for worker in workers:
            unexpected += _end(worker)
    finally:
        for worker in workers:
            ground.workers.give_back(worker)
    seconds = ground.settle(site, over=runs)
    verdict = site.check()
    verdict.disagree.extend(unexpected)
    return Outcome("F2", f"killed {', '.join(victims)}; {site.kind}", seed, verdict, seconds)


def _begin(site: Site, worker: Worker, runs: list[str]) -> list[str]:
    said = _end(worker)
    job = site.job(lease=LEASE_SECONDS)
    runs.append(job["run"])
    worker.begin(job)
    return said


def _end(worker: Worker) -> list[str]:
    """What an undisturbed end of a job said that no user should see."""
    if not worker.busy:
        return []
    answer = worker.answer()
    if answer is not None and "unexpected" in answer:
        return [f"a worker broke: {answer['unexpected']}"]
    return []
