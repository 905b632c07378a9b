"""Files of a served project, and what its tables must hold in the end."""

import uuid
from pathlib import Path

from tests.faults.checker import check, versions_in
from tests.fixtures.lake import iceberg_catalog
from tests.fixtures.project import Project


def write_rows(path: Path, number: int) -> None:
    """A file of its own rows, put there in one step as an uploader does."""
    hidden = path.with_name(f".{path.name}")
    hidden.write_text("id,what\n" + "".join(f"{number},{uuid.uuid4()}\n" for _ in range(20)))
    hidden.rename(path)


def assert_right(project: Project, state_url: str, table: str, names: list[str]) -> None:
    """The table has each row of the files of these specs once, and the state says so."""
    versions = {}
    for name in names:
        versions |= versions_in(project.landing(name), "*.csv")
    with iceberg_catalog(project.settings) as catalog:
        verdict = check(
            catalog,
            f"{project.namespace}.{table}",
            state_url,
            [f"default/{name}" for name in names],
            versions,
        )
    assert not verdict, str(verdict)
