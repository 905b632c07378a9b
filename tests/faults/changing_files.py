"""F6: files change, grow, shrink and vanish between being listed, looked at, read and published."""

import os
import random
import time
from pathlib import Path

from tests.faults.ground import Ground, Outcome, change_files, rows_of
from tests.faults.site import Site, wait_until

MOMENTS = (
    "listed", "discovered", "claimed", "looked", "branched", "writing", "written", "audited",
    "publishing", "published", "in flight",
)  # fmt: skip
CHANGES = ("replace", "same size", "same time", "append", "truncate", "delete")


def change_between(ground: Ground, site: Site, moment: str, seed: int) -> Outcome:
    """Hold a worker at a moment, change some of the files that it loads, and let it go on."""
    rng = random.Random(seed)
    change_files(site, rng, f"c{seed}")
    new = [p for p, known in site.versions.items() if f"/c{seed}-" in p or len(known) > 1]
    go = site.root / f"go-{seed}"
    armed = f"writing=sleep:{rng.uniform(0, 0.05):.3f}"
    if moment != "in flight":
        armed = f"{moment}=pause:{go}"
    changes: list[str] = []
    job = site.job(armed)
    with ground.workers.one() as worker:
        worker.begin(job)
        if moment == "in flight":
            time.sleep(rng.uniform(0.2, 2.5))
        else:
            wait_until(lambda: Path(f"{go}.reached").exists(), 120, f"the pause at {moment}")
        for path in rng.sample(new, rng.randint(1, min(2, len(new)))):
            changes.append(_change(site, Path(path), rng))
        go.touch()
        answer = worker.answer()
    assert answer is not None, "the worker died"
    seconds = ground.settle(site, over=[job["run"]])
    verdict = site.check()
    if "error" in answer:
        verdict.disagree.append(f"the run failed: {answer['message']}")
    case = f"{' and '.join(changes)} at '{moment}', {site.kind}"
    return Outcome("F6", case, seed, verdict, seconds)


def _change(site: Site, path: Path, rng: random.Random) -> str:
    how = rng.choice(CHANGES)
    if not path.exists():
        return "nothing"
    before, status = path.read_bytes(), path.stat()
    if how == "delete":
        site.delete(path)
        return how
    if how == "append":
        with path.open("ab") as grows:
            grows.write(b"777,appended\n" * rng.randint(1, 50))
    elif how == "truncate":
        lines = before.splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: max(2, len(lines) // 2)]) + b"1,cut\n")
    elif how == "same size":
        # Another content of the same length, under a time of its own.
        site.put(path.name, before.swapcase())
        return how
    else:
        content = rows_of(rng, f"{path.stem}-{rng.randrange(10**6)}", rng.randint(1, 60))
        same_time = how == "same time" and len(content) != status.st_size
        site.put(path.name, content, status.st_mtime_ns if same_time else None)
        return how
    if path.stat().st_mtime_ns == status.st_mtime_ns:
        os.utime(path)
    site.seen(path)
    return how
