"""Named points of a load at which a test may kill, stop, hold up or fail the process.

That nothing is lost or doubled, wherever a worker dies, can only be shown by letting it die
everywhere; and from outside nobody hits the moment between two statements. Unless
``AUTOLOADER_FAILPOINTS`` is set, reaching a point costs one look at an empty dict.

``AUTOLOADER_FAILPOINTS`` is a list like ``published=kill,claimed#2=pause:/tmp/go``. ``#2`` means
the second time that the point is reached (default: the first), and ``#*`` every time.

    kill            SIGKILL to this process; ``kill:0.4``: so many seconds later
    stop            SIGSTOP, likewise
    term            SIGTERM, likewise
    raise           an InjectedFault
    sleep:3         so many seconds
    pause:/path     until that file exists; ``/path.reached`` is made when the point is reached

In the process itself, ``on`` has a function called where a point is reached. If it raises
``Death``, nothing is given back or cleaned up, as if the process had been killed there.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autoloader_dagster.errors import InjectedFault, UsageError

# Not in the README, because it is not a setting for users.
VARIABLE = "AUTOLOADER_FAILPOINTS"

POINTS = {
    "listed": "the source is listed to its end, and nothing is recorded",
    "discovered": "what was listed is recorded",
    "claimed": "a batch has its files and its lease",
    "looked": "every file was looked into; the bad ones have left the batch",
    "staged": "what Spark cannot read in place is copied",
    "prepared": "the table is there and has the columns",
    "followed": "the state knows what main held, and the branches left behind are still there",
    "caught-up": "the state knows what main holds",
    "branched": "the attempt has its branch",
    "deleted": "replaced rows are gone from the branch, and nothing is appended",
    "writing": "the append is about to be sent; with a delay, it is in flight",
    "written": "the append is answered, and nothing is looked at again or audited",
    "audited": "the source files were looked at again, and the branch is audited",
    "publishing": "the publish is about to be sent; with a delay, it is in flight",
    "published": "main holds the batch, and the state does not",
    "recorded": "the state holds the batch; its branch is there, and its run goes on",
    "dropping": "the branch is about to be dropped",
    "dropped": "the branch is gone",
    "settling": "a batch without a worker was caught up with, and is not released",
}

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
_SIGNAL_LIMIT_SECONDS = 60
_PAUSE_LIMIT_SECONDS = 600
_GRAMMAR = re.compile(
    r"(?P<point>[a-z-]+)(#(?P<nth>[1-9]\d*|\*))?=(?P<action>[a-z]+)(:(?P<argument>.+))?"
)


class Death(BaseException):
    """Acts as a SIGKILL in the test's own process: no work is released because of it."""


@dataclass(frozen=True, slots=True)
class _Fault:
    action: str
    argument: str
    nth: int | None  # None: every time


_armed: dict[str, list[_Fault]] = {}
_armed_by = ""
_functions: dict[str, list[Callable[[], object]]] = {}
_reached: dict[str, int] = {}
_counting = threading.Lock()


def arm(text: str) -> None:
    """Arm the points that ``text`` names; the same text again leaves the counts as they are.

    Raises:
        UsageError: There is no such point or action. An empty text disarms all of them.
    """
    global _armed_by
    if text == _armed_by:
        return
    faults: dict[str, list[_Fault]] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        point, fault = _parse(item)
        faults.setdefault(point, []).append(fault)
    with _counting:
        _reached.clear()
        _armed.clear()
        _armed.update(faults)
        _armed_by = text


def arm_from(environ: Mapping[str, str]) -> None:
    """Arm what ``AUTOLOADER_FAILPOINTS`` names, if it is set; for the entry points of a process.

    Raises:
        UsageError: As ``arm``.
    """
    if environ.get(VARIABLE):
        arm(environ[VARIABLE])


def reach(point: str) -> None:
    """Say that the point is reached; does nothing unless a test has armed it."""
    if _armed:
        _act(point)
    if _functions:
        for function in tuple(_functions.get(point, ())):
            function()


@contextmanager
def on(point: str, function: Callable[[], object]) -> Iterator[None]:
    """Call a function each time the point is reached within the block; its errors pass through.

    It is called in the thread that reaches the point, whichever thread has entered the block.

    Raises:
        UsageError: There is no such point.
    """
    if point not in POINTS:
        raise UsageError(f"there is no failpoint '{point}'", f"The points: {', '.join(POINTS)}.")
    with _counting:
        _functions.setdefault(point, []).append(function)
    try:
        yield
    finally:
        with _counting:
            _functions[point].remove(function)
            if not _functions[point]:
                del _functions[point]


def _parse(item: str) -> tuple[str, _Fault]:
    found = _GRAMMAR.fullmatch(item)
    if found is None or found["point"] not in POINTS:
        raise UsageError(
            f"{VARIABLE} has '{item}', which names no failpoint",
            f"Write POINT=ACTION; the points are: {', '.join(POINTS)}. It is for tests only.",
        )
    action, argument = found["action"], found["argument"] or ""
    number = re.fullmatch(r"\d+(\.\d+)?", argument) is not None
    possible = {
        **dict.fromkeys(_SIGNALS, number or not argument),
        "raise": not argument,
        "sleep": number,
        "pause": argument.startswith("/"),
    }
    if not possible.get(action, False):
        raise UsageError(
            f"{VARIABLE} has '{item}', which has no known action",
            "It is one of kill, stop, term, raise, sleep:SECONDS, pause:/PATH; kill, stop and term "
            "may have :SECONDS.",
        )
    nth = found["nth"] or "1"
    return found["point"], _Fault(action, argument, None if nth == "*" else int(nth))


def _act(point: str) -> None:
    with _counting:
        count = _reached[point] = _reached.get(point, 0) + 1
    for fault in _armed.get(point, ()):
        if fault.nth in (None, count):
            _do(point, fault)


def _do(point: str, fault: _Fault) -> None:
    if fault.action in _SIGNALS:
        _send(_SIGNALS[fault.action], float(fault.argument or 0))
    elif fault.action == "raise":
        raise InjectedFault(f"failpoint '{point}' was reached", "It is armed by a test.")
    elif fault.action == "sleep":
        time.sleep(float(fault.argument))
    else:
        _pause(Path(fault.argument))


def _send(what: signal.Signals, delay: float) -> None:
    if not delay:
        os.kill(os.getpid(), what)
        return
    # In a thread, because this one waits for the server's answer by then.
    timer = threading.Timer(min(delay, _SIGNAL_LIMIT_SECONDS), os.kill, (os.getpid(), what))
    timer.daemon = True
    timer.start()


def _pause(until: Path) -> None:
    Path(f"{until}.reached").touch()
    deadline = time.monotonic() + _PAUSE_LIMIT_SECONDS
    while not until.exists():
        if time.monotonic() > deadline:
            raise InjectedFault(f"{until} was waited for in vain", "It is armed by a test.")
        time.sleep(0.01)
