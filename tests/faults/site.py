"""The place of one case: its folders, its specs, its state database, and what ever was in them."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from autoloader_dagster.settings import Settings
from autoloader_dagster.specs.loader import load_specs
from tests.faults.checker import Verdict, Version, check, version_of
from tests.fixtures.lake import iceberg_catalog, iceberg_table, read_places
from tests.fixtures.late_pages import LatePages
from tests.fixtures.spark import remote_of
from tests.fixtures.truth import Rows, rows_by_partition


@dataclass
class Site:
    """Folders with files, specs on them, a state database, and every version a file ever had.

    Attributes:
        settings: Of the home whose Spark server and catalog are used.
        root: A folder of the case's own.
        database_url: The state.
        namespace: Of the tables.
        versions: By path, the present version last.
        gone: Paths that were deleted.
        undone: Paths whose present version was taken out of the table again.
    """

    settings: Settings
    root: Path
    database_url: str
    namespace: str
    name: str = "orders"
    versions: dict[str, list[Version]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)
    environ: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    @property
    def kind(self) -> str:
        """sqlite or postgresql."""
        return self.database_url.partition(":")[0]

    @property
    def landing(self) -> Path:
        """Where files arrive."""
        path = self.root / "landing"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def write_spec(self, name: str | None = None, **parts: Any) -> None:
        """A spec with the smallest sensible rest."""
        name = name or self.name
        text = {
            "source": {"type": "local", "url": str(self.landing), "on_change": "replace"},
            "format": {"type": "csv"},
            "table": {"name": f"lake.{self.namespace}.{self.name}"},
            **parts,
        }
        specs = self.root / "specs"
        specs.mkdir(parents=True, exist_ok=True)
        (specs / f"{name}.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")

    def put(self, name: str, content: str | bytes, modified_ns: int | None = None) -> Path:
        """Have a file arrive whole, as an uploader does: under another name first."""
        path = self.landing / name
        hidden = self.root / f"{name.replace('/', '_')}.part"
        hidden.write_bytes(content.encode() if isinstance(content, str) else content)
        if modified_ns is not None:
            os.utime(hidden, ns=(modified_ns, modified_ns))
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden.rename(path)
        return self.seen(path)

    def seen(self, path: Path) -> Path:
        """Note a file's present version."""
        self.versions.setdefault(str(path), []).append(version_of(path))
        self.gone.discard(str(path))
        self.undone.discard(str(path))
        return path

    def delete(self, path: Path) -> None:
        """Delete a file at the source."""
        path.unlink()
        self.gone.add(str(path))

    def job(self, failpoints: str = "", **more: Any) -> dict[str, Any]:
        """A job for a worker on this site, under a run of its own."""
        self.runs += 1
        conf = self.settings.spark_conf
        return {
            "environ": {
                # A worker may have to start the server again.
                **({"AUTOLOADER_SPARK_CONF": str(conf)} if conf else {}),
                **remote_of(self.settings),
                "AUTOLOADER_HOME": str(self.settings.home),
                "AUTOLOADER_SPECS_DIR": str(self.root / "specs"),
                "AUTOLOADER_DATABASE_URL": self.database_url,
                "AUTOLOADER_FAILPOINTS": failpoints,
                **self.environ,
            },
            "names": [self.name],
            "run": f"run-{self.runs}",
            **more,
        }

    def check(self, **more: Any) -> Verdict:
        """What the independent checker says."""
        with iceberg_catalog(self.settings) as catalog:
            return check(
                catalog,
                f"{self.namespace}.{self.name}",
                self.database_url,
                more.pop("ingestions", [f"default/{self.name}"]),
                self.versions,
                gone=self.gone,
                undone=self.undone,
                **more,
            )

    def late_pages(self, name: str | None = None) -> LatePages:
        """Dagster's pages of one of the specs, whose runs told Dagster nothing."""
        loaded = load_specs(self.root / "specs").get(name or self.name)

        def rows() -> Rows:
            with iceberg_table(self.settings, loaded.spec.table.name) as table:
                return rows_by_partition(read_places(table), loaded.spec.source.url)

        return LatePages(loaded, self.database_url, rows)

    @property
    def has_dagster(self) -> bool:
        """Whether a case has run a Dagster of its own here, and so looks at its pages itself."""
        return (self.root / "dagster").exists()


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait for a condition, with a limit."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)
