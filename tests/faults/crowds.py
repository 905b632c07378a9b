"""F3: many workers at once, on one spec and on two that write one table."""

from concurrent.futures import ThreadPoolExecutor

from tests.faults.checker import Verdict
from tests.faults.ground import Ground, Outcome


def crowd(ground: Ground, database: str, workers: int, files: int, specs: int) -> Outcome:
    """Have ``workers`` processes load ``files`` files at once; nobody may be shown an error."""
    site = ground.site(database)
    names = [site.name] if specs == 1 else [f"{site.name}_{n}" for n in range(specs)]
    for name in names:
        folder = site.landing / name
        folder.mkdir()
        site.write_spec(
            name if specs > 1 else None,
            source={"type": "local", "url": str(folder)},
            table={"name": f"lake.{site.namespace}.{site.name}", "shared": specs > 1},
            batch={"max_files": max(1, files // 10)},
        )
    for number in range(files):
        site.put(f"{names[number % specs]}/{number:04}.csv", f"id,said\n{number},row-{number}\n")
    taken = [ground.workers.take() for _ in range(workers)]
    wrong: list[str] = []
    try:
        for number, worker in enumerate(taken):
            worker.begin(site.job(names=[names[number % specs]]))
        with ThreadPoolExecutor(workers) as threads:
            answers = list(threads.map(lambda worker: worker.answer(480), taken))
        for answer in answers:
            if answer is None or "error" in answer:
                wrong.append(f"a worker was shown: {answer and answer['message']}")
        seconds = max((answer or {}).get("seconds", 0.0) for answer in answers)
    finally:
        for worker in taken:
            ground.workers.give_back(worker)
    verdict: Verdict = site.check(ingestions=[f"default/{name}" for name in names])
    for name in names if not verdict else ():
        with site.late_pages(name) as pages:
            verdict.disagree.extend(pages.untrue())
    verdict.disagree.extend(wrong)
    case = f"{workers} workers, {files} files, {specs} specs, {database}"
    return Outcome("F3", case, 0, verdict, seconds)
