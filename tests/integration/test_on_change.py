"""What ``source.on_change: fail`` shows of a file that was changed, in Dagster's own log."""

from datetime import datetime, timezone

import dagster as dg
import pytest

from autoloader_dagster.orchestration.assets import build_asset
from autoloader_dagster.orchestration.checks import FILES_CHECK
from autoloader_dagster.orchestration.resources import default_resources
from autoloader_dagster.specs.connections import load_connections
from tests.fixtures.lake import Lake


def test_a_changed_file_is_an_error_of_the_run_that_names_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOLOADER_HOME", str(lake.settings.home))
    monkeypatch.setenv("AUTOLOADER_DATABASE_URL", f"sqlite:///{lake.root / 'state.db'}")
    folder = lake.folder()
    (folder / "a.csv").write_text("id\n1\n")
    source = {"type": "local", "url": str(folder), "on_change": "fail"}
    ingestion = lake.ingestion("failing", source=source)
    asset = build_asset(ingestion.loaded, load_connections(lake.root / "specs", []))

    def check() -> dg.AssetCheckEvaluation:
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize(
                [asset],
                instance=instance,
                partition_key=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
                resources=default_resources(),
            )
            return next(
                each
                for each in result.get_asset_check_evaluations()
                if each.check_name == FILES_CHECK
            )

    assert check().passed
    (folder / "a.csv").write_text("id\n10\n11\n")
    (folder / "b.csv").write_text("id\n2\n")

    found = check()

    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert str(folder / "a.csv") in str(found.metadata["autoloader/reasons"].value)
    assert lake.rows("failing", "id") == [(1,), (2,)], "the others are loaded"
