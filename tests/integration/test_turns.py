"""A step that waits for a table which nobody has gets its turn, whoever has lost it."""

import secrets
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.storage.event_log import SqlEventLogStorage

from autoloader_dagster.build import build_definitions
from autoloader_dagster.orchestration.runs.lost import SENSOR_NAME
from autoloader_dagster.orchestration.runs.turns import pass_on_turns, waits_for
from autoloader_dagster.settings import Settings
from autoloader_dagster.specs.loader import load_specs
from tests.fixtures.forks import FORKED
from tests.fixtures.lake import read_table
from tests.fixtures.project import wait_for
from tests.integration.cli_steps import Project

_POOL = "table_lake.turns.orders"
_POOLS = {"concurrency": {"pools": {"default_limit": 1, "granularity": "op"}}}


def _home_of(folder: Path, url: str) -> Path:
    """A Dagster home whose queues are in SQLite, or in PostgreSQL as in production."""
    config = {"telemetry": {"enabled": False}, **_POOLS}
    if url.startswith("postgresql"):
        config |= {"storage": {"postgres": {"postgres_url": url}}}
    folder.mkdir()
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def instance(tmp_path: Path, state_url: str) -> Iterator[dg.DagsterInstance]:
    home = _home_of(tmp_path / "dagster", state_url)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.event_log_storage.initialize_concurrency_limit_to_default(_POOL)
        yield instance


def _claim(instance: dg.DagsterInstance, run: str, priority: int = 0) -> bool:
    claim = instance.event_log_storage.claim_concurrency_slot(_POOL, run, "load", priority)
    return claim.is_claimed


def _end(instance: dg.DagsterInstance, run: str) -> None:
    instance.event_log_storage.free_concurrency_slot_for_step(run, "load")


def _told(instance: dg.DagsterInstance) -> list[str]:
    """What the only run of the instance has said."""
    (run,) = instance.get_runs()
    return [entry.user_message for entry in instance.all_logs(run.run_id)]


def _end_without_passing_on(
    instance: dg.DagsterInstance, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process does that is killed between the two transactions."""
    with monkeypatch.context() as patched:
        patched.setattr(SqlEventLogStorage, "assign_pending_steps", lambda *_: None)
        _end(instance, run)


def test_a_turn_that_ended_just_before_the_next_one_joined_the_queue_is_passed_on(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _claim(instance, "first")
    join = SqlEventLogStorage.add_pending_step

    def join_late(self: SqlEventLogStorage, *args: object, **named: object) -> None:
        _end(instance, "first")
        join(self, *args, **named)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patched:
        patched.setattr(SqlEventLogStorage, "add_pending_step", join_late)
        assert not _claim(instance, "second")
    # Nobody has the table, and it may ask as often as it likes: what Dagster leaves behind.
    assert not any(_claim(instance, "second") for _ in range(3))

    assert pass_on_turns(instance, {_POOL}) == ["second"]
    assert _claim(instance, "second")
    # Now one has it, and the others wait in order.
    assert not _claim(instance, "third")
    assert pass_on_turns(instance, {_POOL}) == []
    assert not _claim(instance, "third")
    _end(instance, "second")
    assert _claim(instance, "third")


def test_nothing_is_passed_on_where_nothing_is_lost(instance: dg.DagsterInstance) -> None:
    assert pass_on_turns(instance, set()) == []
    assert pass_on_turns(instance, {_POOL, "table_that_no_run_has_asked_for"}) == []
    assert _claim(instance, "first")
    assert not _claim(instance, "second")
    assert pass_on_turns(instance, {_POOL}) == []
    assert not _claim(instance, "second")
    assert [waits_for(instance, run, {_POOL}) for run in ("first", "second", "third")] == [
        None, "first", None
    ]  # fmt: skip


def test_only_one_of_two_that_were_both_given_the_turn_gets_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _claim(instance, "first")
    assert not any([_claim(instance, "second"), _claim(instance, "third")])
    _end_without_passing_on(instance, "first", monkeypatch)
    seen = instance.event_log_storage.get_concurrency_infos([_POOL])
    with monkeypatch.context() as patched:
        # Two processes have read the queue before either of them passes the turn on.
        patched.setattr(SqlEventLogStorage, "get_concurrency_infos", lambda *_: seen)
        for _ in range(2):
            pass_on_turns(instance, {_POOL})
    assert [_claim(instance, "second"), _claim(instance, "third")] == [True, False]
    _end(instance, "second")
    assert _claim(instance, "third")


def test_the_place_of_a_run_that_was_killed_is_taken_back_also_without_dagster_s_setting(
    instance: dg.DagsterInstance,
) -> None:
    run = instance.add_run(
        dg.DagsterRun("orders", str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED)
    )
    assert _claim(instance, run.run_id)
    assert not _claim(instance, "second")
    an_hour_later = time.time() + 3_600
    assert pass_on_turns(instance, {_POOL}, now=an_hour_later) == []
    assert not _claim(instance, "second")

    instance.report_run_failed(run)
    # Its process may still end just now.
    assert pass_on_turns(instance, {_POOL}) == []
    assert not _claim(instance, "second")
    assert pass_on_turns(instance, {_POOL}, now=an_hour_later) == ["second"]
    assert _claim(instance, "second")
    assert instance.event_log_storage.get_concurrency_run_ids() == {"second"}


def test_an_instance_without_queues_has_nothing_to_pass_on() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert pass_on_turns(instance, {_POOL}) == []


def test_the_sensor_says_whom_it_has_woken(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOLOADER_HOME", str(tmp_path / "home"))
    project = Project(tmp_path, tmp_path / "home")
    project.spec("orders", table={"name": _POOL.removeprefix("table_")})
    definitions = build_definitions(load_specs(project.specs))
    assert _claim(instance, "first")
    assert not _claim(instance, "second")
    _end_without_passing_on(instance, "first", monkeypatch)
    assert not _claim(instance, "second")

    repository = definitions.get_repository_def()
    with dg.build_sensor_context(instance, repository_def=repository) as context:
        tick = repository.get_sensor_def(SENSOR_NAME).evaluate_tick(context)
    assert tick.skip_message == (
        "woke second, which waited for a table that no run had; 0 runs are alive"
    )
    assert _claim(instance, "second")


@pytest.mark.parametrize("state_url", ["sqlite"], indirect=True)
def test_a_command_says_whom_it_waits_for_and_loads_when_its_turn_was_lost_without_a_daemon(
    tmp_path: Path, spark_settings: Settings, state_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = _home_of(tmp_path / "dagster", state_url)
    environ = {"AUTOLOADER_DATABASE_URL": state_url, "DAGSTER_HOME": str(home)}
    project = Project(tmp_path, spark_settings.home, environ)
    table = f"lake.turns.t{secrets.token_hex(6)}"
    project.spec("orders", partition={"by": "none"}, table={"name": table})
    (project.folder() / "a.csv").write_text("id\n1\n2\n")
    pool = f"table_{table}"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        storage = instance.event_log_storage
        storage.initialize_concurrency_limit_to_default(pool)
        before = str(uuid.uuid4())
        assert storage.claim_concurrency_slot(pool, before, "load").is_claimed
        waiting = FORKED.start(["run", "orders"], project.root, project.env())
        wait_for(lambda: storage.get_concurrency_info(pool).pending_step_count, 60, "the command")
        told = f"waiting for run {before[:8]}, which writes to the same table"
        wait_for(lambda: told in _told(instance), 60, "what the run says")
        _end_without_passing_on(instance, before, monkeypatch)
        out, err = waiting.communicate(120)
    assert waiting.returncode == 0, out + err
    assert sorted(read_table(spark_settings, table).column("id").to_pylist()) == [1, 2]
