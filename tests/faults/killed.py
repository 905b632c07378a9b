"""F1: a worker is killed at a named point; one further run leaves everything right."""

import random
from collections.abc import Mapping
from typing import Any

from autoloader_dagster import failpoints
from tests.faults.ground import Ground, Outcome, change_files
from tests.faults.site import Site

POINTS = tuple(point for point in failpoints.POINTS if point != "settling")
UNDO_POINTS = (
    "claimed", "caught-up", "branched", "written", "publishing", "published", "recorded",
    "dropping",
)  # fmt: skip
# While a call is in flight: somewhere within the time that it takes.
IN_FLIGHT = {"writing": 0.8, "publishing": 0.15, "dropping": 0.1}


def kill_at(ground: Ground, site: Site, point: str, seed: int) -> Outcome:
    """Change the files, kill a worker at the point, run once more, and check the whole table.

    Now and then the one that was to settle it is killed as well, before it has.
    """
    rng = random.Random(seed)
    change_files(site, rng, f"s{seed}")
    armed = _arm(point, rng)
    over = [_killed(ground, site.job(armed))]
    if rng.random() < 0.25:
        job = site.job("settling=kill", over=list(over))
        with ground.workers.one() as worker:
            if worker.do(job) is None:
                armed += ", settling=kill"
        over.append(job["run"])
    if rng.random() < 0.3:
        change_files(site, rng, f"later{seed}")
    seconds = ground.settle(site, over=over)
    return Outcome("F1", f"{armed}, {site.kind}", seed, site.check(), seconds)


def kill_undo_at(ground: Ground, site: Site, point: str, seed: int) -> Outcome:
    """Kill a worker while it takes files out; either all of them are out afterwards, or none."""
    rng = random.Random(seed)
    change_files(site, rng, f"u{seed}")
    ground.settle(site, over=[])
    loaded = sorted(set(site.versions) - site.gone - site.undone)
    chosen = rng.sample(loaded, min(len(loaded), 2))
    armed = _arm(point, rng)
    over = [_killed(ground, site.job(armed, undo=chosen))]
    seconds = ground.settle(site, over=over)
    verdict = site.check()
    site.undone |= set(chosen)
    if not verdict:
        # It was not done; nothing hinders its being done now.
        with ground.workers.one() as worker:
            answer = worker.do(site.job(undo=chosen))
        verdict = site.check()
        if answer is None or "error" in answer:
            verdict.disagree.append(f"the undo could not be done again: {answer}")
    else:
        verdict = site.check()
    return Outcome("F1", f"undo, {armed}, {site.kind}", seed, verdict, seconds)


def _arm(point: str, rng: random.Random) -> str:
    if point in IN_FLIGHT and rng.random() < 0.7:
        return f"{point}=kill:{rng.uniform(0.01, IN_FLIGHT[point]):.3f}"
    return f"{point}=kill"


def _killed(ground: Ground, job: Mapping[str, Any]) -> str:
    """Have the job done until its worker is killed; gives its run."""
    armed = job["environ"]["AUTOLOADER_FAILPOINTS"]
    with ground.workers.one() as worker:
        answer = worker.do(job)
        # Only a delayed kill may come too late for its job, and then it is still to come.
        assert answer is None or ":" in armed, f"{armed} was not reached: {answer}"
        worker.wait()
    return job["run"]
