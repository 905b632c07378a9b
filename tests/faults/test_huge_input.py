"""F16: input that is made to use memory up is set aside or loaded, in bounded memory."""

import gzip
from pathlib import Path

from tests.faults.ground import Ground
from tests.fixtures.sizes import size

# A worker with Spark's client takes about 200 MB by itself.
WORKER_MB = 500


def test_monstrous_files_are_set_aside_in_bounded_memory(ground: Ground) -> None:
    site = ground.site("sqlite")
    site.write_spec(format={"type": "csv"})
    good = site.put("good.csv", "id,said\n1,one\n")
    # A line of 1 GB: many members, which are one stream.
    line = site.landing / "line.csv.gz"
    with line.open("wb") as file:
        file.write(gzip.compress(b"id,said\n1,"))
        member = gzip.compress(b"x" * 10_000_000, 1)
        for _ in range(100):
            file.write(member)
        file.write(gzip.compress(b"\n"))
    deep = ground.site("sqlite")
    deep.write_spec(format={"type": "json"})
    fine = deep.put("good.json", '{"id": 1}\n')
    # The checker could not read them either.
    monsters = [deep.landing / "nested.json", deep.landing / "array.json"]
    monsters[0].write_bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n")
    monsters[1].write_bytes(b"[" * 100_000 + b"]" * 100_000)
    with ground.workers.one() as worker:
        answer = worker.do(site.job(), 500)
        assert answer is not None
        statuses = _statuses(answer)
        assert statuses[str(good)] == "SUCCESS"
        assert statuses[str(line)] in ("QUARANTINED", "FAILED"), answer
        answer = worker.do(deep.job(), 300)
        assert answer is not None
        statuses = _statuses(answer)
        assert statuses[str(fine)] == "SUCCESS"
        assert {statuses[str(path)] for path in monsters} == {"QUARANTINED"}
        assert answer["peak_mb"] < WORKER_MB
    for place in (site, deep):
        with place.late_pages() as pages:
            assert pages.untrue() == []


def test_thousands_of_columns_are_loaded(ground: Ground) -> None:
    # Java takes no method of so many columns from 500 on; 5,000 only take longer.
    columns = size(800, 5_000)
    site = ground.site("sqlite")
    site.write_spec()
    names = ",".join(f"column_{n}" for n in range(columns))
    wide: Path = site.put("wide.csv", f"{names}\n{','.join(map(str, range(columns)))}\n")
    with ground.workers.one() as worker:
        answer = worker.do(site.job(), 500)
    assert answer is not None
    assert _statuses(answer)[str(wide)] in ("SUCCESS", "QUARANTINED"), answer
    assert answer["peak_mb"] < WORKER_MB
    verdict = site.check(aside=[str(wide)])
    assert not verdict, str(verdict)
    with site.late_pages() as pages:
        assert pages.untrue() == []


def _statuses(answer: dict) -> dict[str, str]:
    assert "error" not in answer, answer
    return {path: s for batch in answer["batches"] for path, s in batch["files"].items()}
