"""A place to measure in: a temporary home with a Spark server of its own, gone at the end."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import SPARK, Lakehouse
from autoloader_dagster.loading.load import load
from autoloader_dagster.settings import Settings, load_settings
from autoloader_dagster.sources.registry import open_source
from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.spark.session import connect
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.state import ProcessedFiles
from benchmarks.sample_files import Files

NAMESPACE = "lake.bench"


@dataclass(frozen=True)
class Workbench:
    """The folders and settings to measure with.

    Attributes:
        root: A temporary folder.
        settings: Of the loader, with its home below ``root``.
        lakehouse: Opens tables and reads files.
    """

    root: Path
    settings: Settings
    lakehouse: Lakehouse = SPARK

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that works here."""
        return {**os.environ, **_variables(self.root)}

    def write_spec(self, name: str, folder: Path, **parts: Any) -> None:
        """Write a spec that loads the orders of ``folder`` by the day in their path."""
        spec = {
            "source": {"type": "local", "url": str(folder)},
            "format": {"type": "csv"},
            "partition": {"by": "path", "pattern": "day={yyyy}-{MM}-{dd}/*.csv"},
            "table": {"name": f"{NAMESPACE}.{name}"},
            **parts,
        }
        self.settings.specs_dir.mkdir(parents=True, exist_ok=True)
        path = self.settings.specs_dir / f"{name}.yaml"
        path.write_text(yaml.safe_dump(spec), encoding="utf-8")

    @contextmanager
    def ingestion(
        self, name: str, folder: Path, database_url: str | None = None, **parts: Any
    ) -> Iterator[Ingestion]:
        """The ingestion that loads the files of ``folder``, with its state, for the block."""
        self.write_spec(name, folder, **parts)
        loaded = load_specs(self.settings.specs_dir).get(name)
        store = ProcessedFiles(database_url or self.settings.database_url)
        store.upgrade()
        try:
            yield Ingestion(
                loaded,
                open_source(loaded.spec, None),
                store,
                lambda: connect(self.settings),
                self.settings.staging_dir,
                lakehouse=self.lakehouse,
            )
        finally:
            store.close()

    def load(self, name: str, files: Files, seed: Files, **parts: Any) -> float:
        """The loader's whole load of files into a table; the seconds from list to record.

        Args:
            name: Of the table, which does not exist yet.
            files: What is timed.
            seed: Some other files with the same columns, whose load makes the table before.
            parts: Of the spec, where it is not that of orders.

        Raises:
            RuntimeError: The table has not all rows.
        """
        self._load(name, seed.folder, seed.rows, parts)
        return self._load(name, files.folder, files.rows, parts)

    def _load(self, name: str, folder: Path, rows: int, parts: dict[str, Any]) -> float:
        with self.ingestion(name, folder, **parts) as ingestion:
            began = time.perf_counter()
            discover(ingestion)
            outcomes = list(load(ingestion, None, f"run-{name}"))
            took = time.perf_counter() - began
        check_rows(name, sum(outcome.rows for outcome in outcomes), rows)
        return took


def check_rows(name: str, found: int, expected: int) -> None:
    """A contestant that loses rows is not fast but wrong.

    Raises:
        RuntimeError: The numbers differ.
    """
    if found != expected:
        raise RuntimeError(f"{name} has {found:,} rows, and {expected:,} were to be loaded")


def _variables(root: Path) -> dict[str, str]:
    home = root / "home"
    return {
        "AUTOLOADER_HOME": str(home),
        "AUTOLOADER_SPECS_DIR": str(root / "specs"),
        "AUTOLOADER_DATABASE_URL": f"sqlite:///{home / 'state.db'}",
        "AUTOLOADER_WAREHOUSE": "",
        "DAGSTER_HOME": str(home / "dagster"),
        "SPARK_REMOTE": "",
    }


@contextmanager
def workbench() -> Iterator[Workbench]:
    """Have a temporary folder for the block, and no server left over after it."""
    with tempfile.TemporaryDirectory(prefix="autoloader-bench-") as folder:
        bench = open_workbench(Path(folder))
        bench.settings.home.mkdir()
        bench.settings.dagster_home.mkdir()
        try:
            yield bench
        finally:
            EmbeddedServer(bench.settings).stop()


def open_workbench(root: Path) -> Workbench:
    """The workbench that another process has made there."""
    return Workbench(root, load_settings({**os.environ, **_variables(root)}))
