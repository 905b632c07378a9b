"""F11: clocks that are off by a day, and files from 1970, from the future, and late ones."""

import random
import time

from tests.faults.ground import Ground, Outcome, change_files, rows_of
from tests.faults.site import Site

DAY = 86_400
CLOCKS = ("-1 day", "+1 day")
_SECONDS = {"-1 day": -DAY, "+1 day": DAY, "right": 0}
# Nanoseconds since 1970: the epoch itself, a moment after it, 1999, and the year 2100.
TIMES = (0, 1_000, 946_684_799_000_000_000, 4_102_444_800_123_456_789)


def wrong_clock(ground: Ground, site: Site, clock: str, seed: int) -> Outcome:
    """A worker whose clock is off loads files of odd times, is killed or not, and another goes on.

    Among the files is one with an older time and a smaller name than any that is loaded.
    """
    rng = random.Random(seed)
    change_files(site, rng, f"k{seed}")
    odd = rng.choice(TIMES)
    site.put(f"k{seed}-odd.csv", rows_of(rng, f"odd{seed}"), odd)
    late = time.time_ns() - (seed % 1000 + 2) * DAY * 10**9
    site.put(f"0-{10**9 - seed}.csv", rows_of(rng, f"late{seed}"), late)
    armed = rng.choice(("", "claimed=kill", "published=kill", "audited=kill"))
    job = site.job(armed, clock=_SECONDS[clock], lease=1)
    with ground.workers.one() as worker:
        answer = worker.do(job)
    wrong = [] if answer is None or "error" not in answer else [f"it was shown {answer['message']}"]
    # Not told that the run is over: then the lease alone decides, by whoever's clock.
    over = [job["run"]] if rng.random() < 0.5 or clock == "+1 day" else []
    if not over:
        time.sleep(1.2)
    seconds = ground.settle(site, over=over)
    verdict = site.check()
    verdict.disagree.extend(wrong)
    kind = site.database_url.partition(":")[0]
    return Outcome(
        "F11", f"clock {clock}, {armed or 'nothing killed'}, {kind}", seed, verdict, seconds
    )
