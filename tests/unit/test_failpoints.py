"""Failpoints do what they are told, and nothing at all unless they are told to."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import autoloader_dagster
from autoloader_dagster import failpoints
from autoloader_dagster.errors import InjectedFault, UsageError


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_every_point_of_the_registry_is_in_the_code_and_no_other_is() -> None:
    package = Path(autoloader_dagster.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    reached = re.findall(r'failpoints\.reach\("([^"]*)"\)', code)
    # Some are reached by several kinds of batches.
    assert set(reached) == set(failpoints.POINTS)
    # No other way of reaching one, whose name could not be checked.
    assert code.count("failpoints.reach(") == len(reached)


@pytest.mark.parametrize(
    "text",
    [
        "nowhere=kill",
        "published",
        "published=explode",
        "published#0=kill",
        "published=sleep",
        "published=sleep:soon",
        "published=pause",
        "published=pause:here",
        "published=raise:3",
        "published=kill:soon",
        "claimed=kill,published=what",
    ],
)
def test_what_names_no_point_or_action_is_refused_and_arms_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="AUTOLOADER_FAILPOINTS has"):
        failpoints.arm_from({"AUTOLOADER_FAILPOINTS": text})
    failpoints.reach("claimed")


def test_a_point_that_is_not_armed_does_nothing() -> None:
    failpoints.arm("published=raise")
    failpoints.reach("claimed")
    failpoints.arm("")
    failpoints.reach("published")


def test_a_point_acts_the_time_it_is_told_to() -> None:
    failpoints.arm_from({"AUTOLOADER_FAILPOINTS": "claimed#2=raise, written#*=raise"})
    failpoints.reach("claimed")
    # Definitions are loaded many times in a process.
    failpoints.arm_from({"AUTOLOADER_FAILPOINTS": "claimed#2=raise, written#*=raise"})
    with pytest.raises(InjectedFault, match="'claimed' was reached"):
        failpoints.reach("claimed")
    failpoints.reach("claimed")
    for _ in range(3):
        with pytest.raises(InjectedFault):
            failpoints.reach("written")


def test_a_pause_lasts_until_the_file_is_there(tmp_path: Path) -> None:
    go = tmp_path / "go"
    failpoints.arm(f"claimed=pause:{go}")
    thread = threading.Thread(target=failpoints.reach, args=("claimed",))
    thread.start()
    deadline = time.monotonic() + 10
    while not Path(f"{go}.reached").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert thread.is_alive()
    go.touch()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("armed", "ended_by"),
    [
        ("claimed=kill", signal.SIGKILL),
        ("claimed=term", signal.SIGTERM),
        ("claimed=kill:0.1", signal.SIGKILL),
        ("claimed=sleep:0.01", None),
    ],
)
def test_a_signal_ends_the_process_at_the_point(
    armed: str, ended_by: signal.Signals | None
) -> None:
    program = (
        "import sys, time\n"
        "from autoloader_dagster import failpoints\n"
        "failpoints.arm(sys.argv[1]); failpoints.reach('claimed')\n"
        "time.sleep(20 if sys.argv[1][-1].isdigit() and 'kill' in sys.argv[1] else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, armed], timeout=30, check=False)
    assert done.returncode == (-ended_by if ended_by else 0)


def test_a_function_is_called_where_its_point_is_reached_within_the_block() -> None:
    called: list[str] = []
    with failpoints.on("claimed", lambda: called.append("claimed")):
        failpoints.reach("claimed")
        failpoints.reach("looked")
        failpoints.reach("claimed")
    failpoints.reach("claimed")
    assert called == ["claimed", "claimed"]


def test_a_function_for_a_point_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="nowhere"), failpoints.on("nowhere", list):
        pass
