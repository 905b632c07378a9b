"""F1: a worker is killed at a named point; one further run leaves everything right."""

import random
import signal
from concurrent.futures import ThreadPoolExecutor

from autoloader_dagster import failpoints
from tests.faults.ground import Ground, Outcome, change_files
from tests.faults.site import Site

POINTS = tuple(point for point in failpoints.POINTS if point != "settling")
# While a call is in flight: somewhere within the time that it takes.
IN_FLIGHT = {"writing": 0.8, "publishing": 0.15, "dropping": 0.1}
# Nothing is left to load then, and a run without work does not look for branches either.
ENDED = ("recorded", "dropping", "dropped")


def prepare(site: Site, ground: Ground, rng: random.Random) -> None:
    """A table with some files in it."""
    site.write_spec()
    change_files(site, rng, "first")
    ground.settle(site, over=[])


def kill_at(ground: Ground, site: Site, point: str, seed: int) -> Outcome:
    """Change the files, kill a worker at the point, run once more, and check the whole table."""
    rng = random.Random(seed)
    change_files(site, rng, f"s{seed}")
    armed = f"{point}=kill"
    if point in IN_FLIGHT and rng.random() < 0.7:
        armed += f":{rng.uniform(0.01, IN_FLIGHT[point]):.3f}"
    job = site.job(armed)
    with ground.workers.one() as worker:
        answer = worker.do(job)
        # Only a delayed kill may come too late for its job, and then it is still to come.
        assert answer is None or ":" in armed, f"{armed} was not reached: {answer}"
        assert worker.process.wait(30) == -signal.SIGKILL
    if point in ENDED or rng.random() < 0.3:
        change_files(site, rng, f"later{seed}")
    seconds = ground.settle(site, over=[job["run"]])
    database = site.database_url.partition(":")[0]
    return Outcome("F1", f"{armed}, {database}", seed, site.check(), seconds)


def kill_everywhere(ground: Ground, database: str, seed: int) -> list[Outcome]:
    """Every point once, on one site, in an order of the seed."""
    rng = random.Random(seed)
    site = ground.site(database)
    prepare(site, ground, rng)
    points = list(POINTS)
    rng.shuffle(points)
    return [kill_at(ground, site, p, seed * 100 + n) for n, p in enumerate(points)]


def kill_everywhere_on(ground: Ground, databases: tuple[str, ...], seed: int) -> list[Outcome]:
    """The same on several databases, side by side."""
    with ThreadPoolExecutor(len(databases)) as threads:
        done = threads.map(lambda database: kill_everywhere(ground, database, seed), databases)
        return [outcome for outcomes in done for outcome in outcomes]
