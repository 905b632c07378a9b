"""Says what is lost, double or unsettled: pyiceberg, pyarrow, csv and plain SQL, none of our code.

The files are read by Python itself, the table by pyiceberg, and the state database by statements
written here, so that an error in the loader cannot hide behind the same error in its check.
"""

import csv
import gzip
import io
import json
import sqlite3
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

LINEAGE = ("_rescued", "_source_file", "_source_modified_at", "_partition_key", "_batch_id")
BATCH_PROPERTY = "autoloader.batch-id"
SET_ASIDE = ("QUARANTINED", "SKIPPED", "REPLACED", "UNDONE", "HELD")

# One row: its columns and values as text, without those that are null or empty.
Row = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Version:
    """One version of a file, as it was on the disk.

    Attributes:
        size: In bytes.
        modified_us: When it was changed, in microseconds since 1970.
        rows: What is in it.
    """

    size: int
    modified_us: int
    rows: Counter[Row]


Versions = Mapping[str, Sequence[Version]]


@dataclass(frozen=True)
class Verdict:
    """What is wrong; all of it empty if nothing is.

    Attributes:
        lost: Rows of files that are not in the table.
        double: Rows in the table that no file accounts for, or more often than it does.
        unsettled: Files and batches that somebody would have to come back to.
        disagree: Where the state says something else than the table.
        branches: Left behind; they hold disk space and nothing else, so they are no fault by
            themselves, and the next load with work to do takes them away.
    """

    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    disagree: list[str] = field(default_factory=list)
    branches: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.lost or self.double or self.unsettled or self.disagree)

    def __str__(self) -> str:
        """All that is wrong, a line each."""
        return "\n".join(
            f"{what}: {line}"
            for what in ("lost", "double", "unsettled", "disagree")
            for line in getattr(self, what)
        )


def version_of(path: Path) -> Version:
    """The file as it is now."""
    status = path.stat()
    return Version(status.st_size, status.st_mtime_ns // 1000, read_file(path))


def versions_in(folder: Path, pattern: str = "**/*") -> dict[str, list[Version]]:
    """Every file of a folder as it is now."""
    return {str(p): [version_of(p)] for p in sorted(folder.glob(pattern)) if p.is_file()}


def read_file(path: Path) -> Counter[Row]:
    """The rows of a file, by its name: csv with a header, json lines or parquet; maybe gzipped."""
    raw = path.read_bytes()
    name = path.name
    if name.endswith(".gz"):
        raw, name = gzip.decompress(raw), name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return Counter(map(_row, pq.read_table(io.BytesIO(raw)).to_pylist()))
    text = raw.decode()
    if name.endswith((".json", ".jsonl")):
        return Counter(_row(json.loads(line)) for line in text.splitlines() if line.strip())
    return Counter(map(_row, csv.DictReader(io.StringIO(text, newline=""))))


def check(
    catalog: Any,
    table: str,
    database_url: str,
    ingestions: Sequence[str],
    versions: Versions,
    *,
    gone: Iterable[str] = (),
    aside: Iterable[str] = (),
    undone: Iterable[str] = (),
    append: bool = False,
) -> Verdict:
    """Compare table, files and state.

    Args:
        catalog: A pyiceberg catalog.
        table: ``namespace.table`` in it.
        database_url: Of the state, as the loader has it.
        ingestions: All that load this table, as ``tenant/name``.
        versions: Every version that a file ever had, the present one last; see ``versions_in``.
        gone: Paths that are deleted by now; whatever whole version of them is loaded is right.
        aside: Paths that may be set aside, and then have no rows.
        undone: Paths whose present version was taken out again, and must have no rows.
        append: A changed file's older versions stay loaded (``on_change: append``).
    """
    verdict = Verdict()
    iceberg = catalog.load_table(table) if catalog.table_exists(table) else None
    rows = _rows_of(iceberg)
    main = _main(iceberg, verdict)
    state = _State(database_url, ingestions)
    _check_rows(verdict, rows, _as_undone(versions, set(undone)), set(gone), set(aside), append)
    _check_files(verdict, state, rows, main, versions, set(gone), {*aside, *undone})
    _check_batches(verdict, state, main)
    return verdict


def _as_undone(versions: Versions, undone: set[str]) -> Versions:
    """What has been taken out again counts as a file without rows."""
    return {
        path: [*known[:-1], replace(known[-1], rows=Counter())] if path in undone else known
        for path, known in versions.items()
    }


Loaded = dict[tuple[str, str], Counter[Row]]


def _rows_of(iceberg: Any) -> Loaded:
    """(path, batch) -> rows, by a full scan."""
    found: Loaded = defaultdict(Counter)
    if iceberg is None or iceberg.current_snapshot() is None:
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanned: pa.Table = iceberg.scan().to_arrow()
    for row in scanned.to_pylist():
        key = (row["_source_file"], row["_batch_id"])
        found[key][_row({k: v for k, v in row.items() if k not in LINEAGE})] += 1
    return found


def _main(iceberg: Any, verdict: Verdict) -> dict[int, str | None]:
    """Snapshot of main -> the batch that it carries."""
    if iceberg is None:
        return {}
    metadata = iceberg.metadata
    for name in metadata.refs:
        if name != "main":
            verdict.branches.append(name)
    known = {snapshot.snapshot_id: snapshot for snapshot in metadata.snapshots}
    main: dict[int, str | None] = {}
    at = metadata.current_snapshot_id
    while at is not None and at in known:
        snapshot = known[at]
        summary = snapshot.summary.additional_properties if snapshot.summary else {}
        main[at] = summary.get(BATCH_PROPERTY)
        at = snapshot.parent_snapshot_id
    for batch, times in Counter(main.values()).items():
        if batch is not None and times > 1:
            verdict.double.append(f"batch {batch} is in {times} snapshots of main")
    return main


def _check_rows(
    verdict: Verdict,
    rows: Loaded,
    versions: Versions,
    gone: set[str],
    aside: set[str],
    append: bool,
) -> None:
    """Table against files, without asking the state."""
    loaded: dict[str, Counter[Row]] = defaultdict(Counter)
    for (path, _), found in rows.items():
        loaded[path] += found
    for path in sorted(set(versions) | set(loaded)):
        known = versions.get(path, ())
        right: list[Counter[Row]] = [known[-1].rows] if known else []
        if append:
            right = [sum((version.rows for version in known), Counter())]
        if path in gone:
            right = [version.rows for version in known] + [Counter()]
        if path in aside:
            right.append(Counter())
        actual = loaded.get(path, Counter())
        if actual in right:
            continue
        wanted = right[0] if right else Counter()
        name = Path(path).name
        if lost := wanted - actual:
            verdict.lost.append(f"{lost.total()} of {wanted.total()} rows of {name}")
        if double := actual - wanted:
            verdict.double.append(f"{double.total()} rows of {name} too many")


def _check_files(
    verdict: Verdict,
    state: "_State",
    rows: Loaded,
    main: dict[int, str | None],
    versions: Versions,
    gone: set[str],
    aside: set[str],
) -> None:
    """State against table and files: every version in exactly one place, and in the right one."""
    accounted: set[tuple[str, str]] = set()
    present: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    for file in state.files:
        name = Path(file.path).name
        present[file.path, file.size, file.modified_us].append(file.status)
        if file.status == "SUCCESS":
            found = rows.get((file.path, file.batch_id or ""), Counter())
            accounted.add((file.path, file.batch_id or ""))
            read = [
                v.rows
                for v in versions.get(file.path, ())
                if (v.size, v.modified_us) == (file.size, file.modified_us)
            ]
            if found not in read:
                verdict.disagree.append(
                    f"{name} is recorded as loaded by {file.batch_id}, and the table does not hold "
                    "the rows of that version of it"
                )
            if (file.records or 0) != found.total():
                verdict.disagree.append(
                    f"{name} is recorded with {file.records} rows, and has {found.total()}"
                )
            if found and file.snapshot_id not in main:
                verdict.disagree.append(f"{name}'s snapshot {file.snapshot_id} is not in main")
        elif file.status not in SET_ASIDE:
            verdict.unsettled.append(f"{name} is {file.status}")
    for path, batch in sorted(set(rows) - accounted):
        verdict.disagree.append(
            f"{rows[path, batch].total()} rows of {Path(path).name} by batch {batch}, which the "
            "state does not know as loaded"
        )
    for path, known in versions.items():
        if path in gone:
            continue
        now = known[-1]
        statuses = present.get((path, now.size, now.modified_us), [])
        if not statuses:
            verdict.unsettled.append(f"the state does not know {Path(path).name} as it is now")
        elif path not in aside and "SUCCESS" not in statuses:
            verdict.unsettled.append(f"{Path(path).name} is {', '.join(statuses)}")


def _check_batches(verdict: Verdict, state: "_State", main: dict[int, str | None]) -> None:
    of_batch = {batch: snapshot for snapshot, batch in main.items() if batch}
    for batch, (status, snapshot) in state.batches.items():
        if status in ("CLAIMED", "WRITTEN"):
            verdict.unsettled.append(f"batch {batch} is {status}")
        elif status == "RECORDED" and snapshot is not None and of_batch.get(batch) != snapshot:
            verdict.disagree.append(
                f"batch {batch} is recorded in snapshot {snapshot}, and main has it in "
                f"{of_batch.get(batch)}"
            )
        elif status == "RELEASED" and batch in of_batch:
            verdict.disagree.append(f"batch {batch} is released, and main holds it")


@dataclass(frozen=True)
class _File:
    path: str
    size: int
    modified_us: int
    status: str
    batch_id: str | None
    snapshot_id: int | None
    records: int | None


class _State:
    """What the state database says, by plain SQL."""

    def __init__(self, url: str, ingestions: Sequence[str]) -> None:
        self.files: list[_File] = []
        self.batches: dict[str, tuple[str, int | None]] = {}
        listed = ", ".join("'" + name.replace("'", "''") + "'" for name in ingestions)
        sqlite = url.startswith("sqlite")
        moment = (
            "cast(strftime('%s', substr(file_modified_at, 1, 19)) as integer) * 1000000"
            " + cast(substr(file_modified_at, 21, 6) as integer)"
            if sqlite
            else "(extract(epoch from file_modified_at) * 1000000)::bigint"
        )
        files = (
            f"select file_path, file_size_bytes, {moment}, status, batch_id, snapshot_id, "
            f"rows from processed_files where ingestion_id in ({listed})"
        )
        batches = f"select id, status, snapshot_id from batches where ingestion_id in ({listed})"
        for row in select(url, files):
            self.files.append(_File(*row))
        for batch, status, snapshot in select(url, batches):
            self.batches[batch] = (status, snapshot)


def select(url: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a statement on the state database."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()
    with psycopg.connect(url, connect_timeout=10) as opened:
        return opened.execute(statement).fetchall()  # pyright: ignore[reportArgumentType]


def _row(values: Mapping[str, Any]) -> Row:
    return frozenset(
        (name.lower(), str(value)) for name, value in values.items() if value not in (None, "")
    )
