"""F5: a worker stands still past its lease, another one does the work, and the first wakes up."""

import random
import signal
import time

from tests.faults.checker import Verdict
from tests.faults.ground import Ground, Outcome, change_files
from tests.faults.site import Site, wait_until

POINTS = (
    "claimed", "looked", "prepared", "caught-up", "branched", "deleted", "writing", "written",
    "audited", "publishing", "published", "recorded",
)  # fmt: skip
LEASE_SECONDS = 1.0
# What a zombie may say; anything else would frighten its user.
CLEAR = (
    "was taken over by another worker",
    "was settled by another worker",
    "is not held by",
    "which stood still",
)


def wake_a_zombie(ground: Ground, site: Site, point: str, seed: int) -> Outcome:
    """Stop a worker at the point, settle its work by another one, and let it go on."""
    rng = random.Random(seed)
    change_files(site, rng, f"z{seed}")
    delay = f":{rng.uniform(0.05, 0.8):.3f}" if point == "writing" else ""
    job = site.job(f"{point}=stop{delay}", lease=LEASE_SECONDS)
    with ground.workers.one() as zombie:
        zombie.begin(job)
        wait_until(lambda: zombie.stopped, 120, f"the stop at {point}")
        time.sleep(LEASE_SECONDS + 0.2)  # the lease is the database's clock's, nothing else tells
        if rng.random() < 0.5:
            change_files(site, rng, f"y{seed}")
        try:
            seconds = ground.settle(site, over=[])
            while_asleep = site.check()
        except AssertionError as error:
            # It was stopped within a transaction, and SQLite has one writer: all wait for it.
            if site.kind != "sqlite" or "is locked by another process" not in str(error):
                raise
            seconds, while_asleep = 0.0, Verdict()
        zombie.send(signal.SIGCONT)
        answer = zombie.answer()
    assert answer is not None, "the zombie died"
    verdict = site.check()
    for what in ("lost", "double", "unsettled", "disagree"):
        getattr(verdict, what).extend(f"{x} (while asleep)" for x in getattr(while_asleep, what))
    if "error" in answer and not any(words in answer["message"] for words in CLEAR):
        verdict.disagree.append(f"the zombie said: {answer['message']}")
    if verdict.unsettled and not while_asleep.unsettled:
        # It may have given its files back; then they wait for a run, as any other.
        seconds += ground.settle(site, over=[job["run"]])
        verdict = site.check()
    return Outcome("F5", f"stop at {point}{delay}, {site.kind}", seed, verdict, seconds)
