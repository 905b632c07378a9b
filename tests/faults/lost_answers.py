"""F4: loads during which one request to the catalog is lost, or its answer.

Each case is a function that a test or the soak calls with what to lose, or with a seed.
"""

import csv
import random
import re
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.state.store import ProcessedFiles
from tests.faults.checker import Verdict, Version, check, version_of
from tests.faults.ground import Outcome
from tests.fixtures.catalogs import Catalog, Catalogs
from tests.fixtures.lake import Lake, read_places
from tests.fixtures.late_pages import LatePages
from tests.fixtures.proxy import Loss, When
from tests.fixtures.truth import Rows, rows_by_partition

# The commits of a load that adds a column and replaces a file: the column's name, the column,
# branch, delete, append, publish, clean-up.
COMMITS = 7


@dataclass(frozen=True)
class Told:
    """What one case came to.

    Attributes:
        outcome: For the soak's table.
        lost: The request that was lost, in words; None if the load had fewer commits than that.
        errors: What the load and the runs after it said.
    """

    outcome: Outcome
    lost: str | None
    errors: list[str]


class Landing:
    """A folder and its table in a catalog; every change replaces a file, adds one, and a column."""

    def __init__(
        self, lake: Lake, catalog: Catalog, name: str, first_id: int = 0, column: str = "column"
    ) -> None:
        self.lake = lake
        self.catalog = catalog
        self.name = name
        self.versions: defaultdict[str, list[Version]] = defaultdict(list)
        self._changes = 0
        self._next_id = first_id
        self._column = column
        self.ingestion: Ingestion = lake.ingestion(
            name,
            source={"type": "local", "url": str(self.folder), "on_change": "replace"},
            table={"name": f"{catalog.name}.{lake.namespace}.{name}"},
            partition={"by": "none"},
        )
        self._state = f"sqlite:///{lake.root / 'state.db'}"

    @property
    def folder(self) -> Path:
        return self.lake.folder(self.name)

    def change(self) -> None:
        """A corrected file, a new one, and a column that the table does not have yet."""
        self._changes += 1
        self._write("corrected.csv", "id")
        self._write(f"new_{self._changes}.csv", "id", f"{self._column}_{self._changes}")

    def _write(self, name: str, *columns: str) -> None:
        path = self.folder / name
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            # Each version is longer than the one before, so it never looks unchanged.
            for _ in range(1 + self._changes):
                self._next_id += 1
                writer.writerow([self._next_id, *[f"v{self._next_id}" for _ in columns[1:]]])
        self.versions[str(path)].append(version_of(path))

    def load(self) -> list[str]:
        """Run once, after the runs before have ended; what it said if it failed."""
        try:
            self.lake.load(self.ingestion, ended_runs=self.lake.runs_before())
        except AutoloaderError as error:
            return [f"{type(error).__name__}: {error.what}"]
        return []

    def waiting(self) -> list[str]:
        """Files that are not loaded."""
        rows = self.lake.store.files.find(self.ingestion.id)
        return [row.file_path for row in rows if row.status not in ("SUCCESS", "REPLACED")]

    def columns(self) -> list[str]:
        """The table's columns, in order."""
        with self.catalog.reader() as reader:
            table = reader.load_table(f"{self.lake.namespace}.{self.name}")
            return [field.name for field in table.schema().fields]

    def check(self, *others: "Landing") -> Verdict:
        """What is wrong, by independent means: of table and state, and then of Dagster's pages.

        Args:
            others: Landings whose files are in the same table, and whose state is another one's.
        """
        versions = {k: v for landing in (self, *others) for k, v in landing.versions.items()}
        table = f"{self.lake.namespace}.{self.name}"
        with self.catalog.reader() as reader:
            verdict = check(reader, table, self._state, [self.ingestion.id], versions)
        if others:
            # The page of one spec does not follow the rows that others load into its table.
            return Verdict(verdict.lost, verdict.double)
        if not verdict:
            with LatePages(self.ingestion.loaded, self._state, self._rows) as pages:
                verdict.disagree.extend(pages.untrue())
        return verdict

    def _rows(self) -> Rows:
        with self.catalog.reader() as reader:
            places = read_places(reader.load_table(f"{self.lake.namespace}.{self.name}"))
        return rows_by_partition(places, str(self.folder))


@contextmanager
def lake_of(catalogs: Catalogs, root: Path, namespace: str) -> Iterator[Lake]:
    """A namespace of its own on the server that has these catalogs, and a state of its own."""
    store = ProcessedFiles(f"sqlite:///{root / 'state.db'}")
    store.upgrade()
    try:
        yield Lake(
            catalogs.settings, store, root, re.sub(r"\W+", "_", namespace).strip("_").lower()
        )
    finally:
        store.close()


def lose_a_commit(landing: Landing, nth: int, when: When, seed: int = 0) -> Told:
    """Load a change of the landing while its nth commit is lost, or the answer to it."""
    landing.change()
    with landing.catalog.proxy.losing(landing.catalog.commit, nth, when) as loss:
        said = landing.load()
    began = time.monotonic()
    if landing.waiting():
        said += landing.load()
    case = f"{landing.catalog.name}, commit {nth} lost {when}"
    outcome = Outcome("F4", case, seed, landing.check(), time.monotonic() - began)
    return Told(outcome, _in_words(loss) if loss.request else None, said)


def lose_at_random(landing: Landing, seed: int) -> Told:
    """The same, with what is lost by a seed."""
    rng = random.Random(seed)
    when: When = rng.choice(("before", "after"))
    return lose_a_commit(landing, rng.randint(1, COMMITS), when, seed)


@dataclass(frozen=True)
class Bench:
    """Where series of such losses are run.

    Attributes:
        catalogs: The servers.
        root: Below it each series has its folder.
    """

    catalogs: Catalogs
    root: Path


def series(bench: Bench, catalog: str, seed: int, length: int = 10) -> list[Outcome]:
    """Losses at random, one after the other on one table, which grows on.

    One that cannot come to its end is one that did not settle, and ends the series.
    """
    outcomes: list[Outcome] = []
    root = bench.root / f"{catalog}_{seed}"
    root.mkdir()
    with lake_of(bench.catalogs, root, root.name) as lake:
        landing = Landing(lake, bench.catalogs.by_name[catalog], "lossy")
        for each in range(seed * 1000, seed * 1000 + length):
            try:
                told = lose_at_random(landing, each)
            except Exception:
                stuck = Verdict(unsettled=[traceback.format_exc()])
                return [*outcomes, Outcome("F4", f"at random, {catalog}", each, stuck, 0.0)]
            told.outcome.verdict.disagree.extend(f"the run said: {text}" for text in told.errors)
            outcomes.append(told.outcome)
    return outcomes


def _in_words(loss: Loss) -> str:
    text = loss.request.decode("utf-8", "replace")
    actions = re.findall(r'"action":"([^"]+)"(?:[^{}]*?"ref-name":"([^"]+)")?', text)
    if actions:
        return ", ".join(" ".join(filter(None, action)) for action in actions)
    match = re.search(r"(UPDATE|INSERT INTO) \w+|POST \S+", text)
    return match[0] if match else text[:80]
