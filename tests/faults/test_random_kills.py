"""F2 and F7: servers of the test's own are killed, stopped and started again."""

from pathlib import Path

from autoloader_dagster.spark.server.embedded import EmbeddedServer
from tests.faults import bad_databases
from tests.faults.ground import Ground, series, wrong
from tests.faults.random_kills import kill_at_random
from tests.fixtures.postgres import running_postgres
from tests.fixtures.spark import cheap_conf, settings_for


def test_random_kills_of_workers_spark_and_postgresql_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path / "home", AUTOLOADER_SPARK_CONF=str(cheap_conf(tmp_path)))
    with running_postgres() as postgres:
        ground = Ground(settings, tmp_path / "ground", lambda: postgres.url, postgres)
        try:
            outcomes = series(
                ground, "postgresql", kill_at_random, ["", ""], 10, batch={"max_files": 3}
            )
            outcomes += series(
                ground, "postgresql", bad_databases.down_at, ["looked", "published"], 11
            )
        finally:
            ground.close()
            EmbeddedServer(settings).stop()
    assert not wrong(outcomes)
    assert len(outcomes) == 4
