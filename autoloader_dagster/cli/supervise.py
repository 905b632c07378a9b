"""Keeps ``dagster dev`` running for ``up``, whichever of its processes dies.

With ``--read-only`` the command is the web server alone, which is started again likewise.
``dagster dev`` ends when its web server or daemon dies, so it is started again. Of its code server
it revives only the outer process: when the inner one dies, the location stays unreachable until
somebody presses "Reload" in the UI, so this presses it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType

from autoloader_dagster.cli.output import say
from autoloader_dagster.errors import UsageError
from autoloader_dagster.spark.server.supervisor import signal_with_parent
from autoloader_dagster.web.guard import VARIABLE, GuardRules
from autoloader_dagster.web.loopback import ask_graphql, is_guarded

_START_SECONDS = 120
_POLL_SECONDS = 0.25
_LOOK_SECONDS = 5
_END_SECONDS = 30
_FIRST_WAIT = 1
_LONGEST_WAIT = 60
# Dagster that ran for this long and ended is started again without a long wait.
_STABLE_SECONDS = 120

_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { name
    locationOrLoadError { ... on PythonError { className } } } } } }"""
_RELOAD = """mutation Reload($name: String!) {
    reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }"""


def keep_running(
    command: list[str], host: str, port: int, rules: GuardRules, variables: Mapping[str, str]
) -> int:
    """Run Dagster until a signal ends it; the exit code, as a shell gives it.

    Args:
        command: Starts Dagster.
        host: Where it listens.
        port: The same.
        rules: The guard's.
        variables: Of its environment, besides those of this process.

    Raises:
        UsageError: It ended before it ever was up, or its web server came without the guard.
    """
    ended_by: list[int] = []
    running: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        ended_by.append(number)
        for child in running:
            # Dagster ends its own children by SIGINT, whatever it was ended by.
            child.send_signal(signal.SIGINT)

    # Before the start: a shell has its background jobs ignore SIGINT, and a child would inherit
    # that and never end; a signal with a handler is the default's again in the child.
    before = {
        number: signal.signal(number, pass_on)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    environ = {**os.environ, **variables, VARIABLE: rules.to_json()}
    if rules.read_only:
        # So that the UI offers no buttons that the guard would refuse.
        environ["DAGSTER_WEBSERVER_READ_ONLY"] = "true"
    wait = _FIRST_WAIT
    ever_up = False
    try:
        while True:
            began = time.monotonic()
            # A session of its own, so that it gets each signal once, from us, however it was sent.
            # Should we be killed, it ends its own children too, and frees the port.
            child = subprocess.Popen(
                command,
                start_new_session=True,
                env=environ,
                preexec_fn=signal_with_parent(signal.SIGINT),
            )
            running[:] = [child]
            ever_up |= _tell_when_up(child, host, port, rules)
            code = _watch(child, host, port, rules)
            if ended_by:
                return 128 + ended_by[0]
            if not ever_up:
                raise UsageError(
                    f"Dagster ended with exit code {code}", "Its own messages above say why."
                )
            if code < 0:
                _end_what_it_left(child, ended_by)
            if time.monotonic() - began > _STABLE_SECONDS:
                wait = _FIRST_WAIT
            say(f"\n  Dagster ended, for one of its processes died; it starts again in {wait} s\n")
            _pause(wait, ended_by)
            if ended_by:
                return 128 + ended_by[0]
            wait = min(wait * 2, _LONGEST_WAIT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_when_up(
    child: "subprocess.Popen[bytes]", host: str, port: int, rules: GuardRules
) -> bool:
    from autoloader_dagster.spark.server.address import answers

    url = url_of(host, port)
    deadline = time.monotonic() + _START_SECONDS
    listens = False
    while child.poll() is None and time.monotonic() < deadline:
        listens = answers(_reachable(host), port, timeout=1) is None
        guarded = is_guarded(url) if listens else None
        if guarded:
            say(f"\n  Dagster UI: {url}")
            say("  Catalog: the tables and their partitions. Automation: sensors and schedules.")
            say("  Runs: what was loaded, and what was not.\n")
            if rules.read_only:
                say("  Read-only: no daemon runs here, so nothing is loaded from here.\n")
            return True
        if guarded is not None:
            break
        time.sleep(_POLL_SECONDS)
    if listens and child.poll() is None:
        child.send_signal(signal.SIGINT)
        child.wait(_END_SECONDS)
        raise UsageError(
            "Dagster's web server does not answer with the guard of 'autoloader up'",
            "Install the version of Dagster that requirements.lock names.",
        )
    return False


def _watch(child: "subprocess.Popen[bytes]", host: str, port: int, rules: GuardRules) -> int:
    """Wait for the end of Dagster, and meanwhile revive its code servers; its exit code."""
    url = f"{url_of(host, port)}/graphql"
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(_LOOK_SECONDS)
        try:
            for name in _unreachable(url):
                if rules.read_only:
                    # The server takes no order to start it again.
                    child.send_signal(signal.SIGINT)
                    break
                say(f"\n  the code server of {name} died; it starts again\n")
                ask_graphql(url, _RELOAD, name=name)
        except (OSError, ValueError):
            # The web server is busy, or about to be missed; the next look tells.
            continue


def _unreachable(url: str) -> list[str]:
    """The code locations whose code server does not answer; one with broken code is no such."""
    workspace = ask_graphql(url, _LOCATIONS)["workspaceOrError"]
    return [
        entry["name"]
        for entry in workspace.get("locationEntries", [])
        if (entry["locationOrLoadError"] or {}).get("className")
        == "DagsterUserCodeUnreachableError"
    ]


def _end_what_it_left(child: "subprocess.Popen[bytes]", ended_by: list[int]) -> None:
    """End the processes of a Dagster that was killed and so could not end them itself.

    Its run workers are among them; they give their files back and are retried.
    """
    deadline = time.monotonic() + _END_SECONDS
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        while time.monotonic() < deadline and not ended_by:
            os.killpg(child.pid, 0)
            time.sleep(_POLL_SECONDS)
        os.killpg(child.pid, signal.SIGKILL)


def _pause(seconds: float, ended_by: list[int]) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not ended_by:
        time.sleep(_POLL_SECONDS)


def url_of(host: str, port: int) -> str:
    """The address of a server that listens on a host, as this machine reaches it."""
    reachable = _reachable(host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _reachable(host: str) -> str:
    # A server on all addresses of one kind is not on those of the other kind.
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
