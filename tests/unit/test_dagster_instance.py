"""Dagster's instance: opened by several at once, and its default settings."""

import threading
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pytest

from autoloader_dagster.orchestration.instance import open_instance


def test_a_fresh_home_is_opened_by_several_commands_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    start = threading.Barrier(4)
    failed: list[BaseException] = []

    def open_one() -> None:
        start.wait(60)
        try:
            with open_instance() as instance:
                instance.get_run_records(limit=1)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failed == []


def test_a_tick_that_waits_for_its_source_keeps_no_other_waiting(tmp_path: Path) -> None:
    default = files("autoloader_dagster.orchestration") / "defaults" / "dagster.yaml"
    (tmp_path / "dagster.yaml").write_text(default.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        for settings in (instance.get_sensor_settings(), instance.get_scheduler_settings()):
            assert settings["use_threads"]
            assert settings["num_workers"] > 1
