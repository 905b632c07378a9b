"""``autoloader up`` as a user starts it: guarded, alone on its home, and gone when it is killed."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from autoloader_dagster.cli.up import python_path
from tests.fixtures.project import Project, wait_for

_ASSETS = "{ assetNodes { assetKey { path } } }"
_DAEMONS = """{ instance { daemonHealth { allDaemonStatuses { lastHeartbeatTime } } } }"""
_MUTATION = "mutation { reloadWorkspace { __typename } }"


def _status(port: int, path: str, body: str | None = None, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body.encode() if body else None, headers=named
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.timeout(240)
def test_up_is_guarded_and_alone_and_leaves_nothing_when_it_is_killed(project: Project) -> None:
    project.write_spec("orders")
    # Nobody listens there; who follows a proxy to loopback reaches nothing.
    names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    project.environ.update(dict.fromkeys(names, "http://127.0.0.1:9"))
    project.environ.update({"no_proxy": "", "NO_PROXY": ""})
    with project.autoloader_up("--read-only", "--allowed-host", "dagster.example.com") as up:
        query = urllib.request.quote(_MUTATION)
        assert _status(up.port, f"/graphql?query={query}", Host="evil.example") == 403
        assert _status(up.port, f"/graphql?query={query}") == 405
        body = f'{{"query": "{_MUTATION}"}}'
        assert _status(up.port, "/graphql", body, Content_Type="text/plain") == 415
        json = "application/json"
        assert (
            _status(up.port, "/graphql", body, Content_Type=json, Origin="http://evil.example")
            == 403
        )
        own = {"Content_Type": json, "Origin": f"http://127.0.0.1:{up.port}"}
        assert _status(up.port, "/graphql", body, **own) == 403
        assert _status(up.port, "/graphql", '{"query": "{ version }"}', **own) == 200
        permissions = up.ask("{ permissions { permission value } }")["permissions"]
        assert {each["value"] for each in permissions} == {False}
        assert _status(up.port, "/", Host="dagster.example.com") == 200
        assert _status(up.port, "/") == 200

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            other = free.getsockname()[1]
        second = project.run("autoloader_dagster.cli.app", "up", "--port", str(other), check=False)
        assert second.returncode == 2
        assert f"another 'autoloader up' (process {up.process}) runs on" in second.stderr

        # Its web server shows the assets, and nothing runs sensors, schedules or queued runs.
        assert up.processes("autoloader_dagster.web.dagster_webserver")
        assert up.processes("dagster._daemon") == []
        keys = [each["assetKey"]["path"] for each in up.ask(_ASSETS)["assetNodes"]]
        assert any("orders" in key for key in keys), keys
        daemons = up.ask(_DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        assert {each["lastHeartbeatTime"] for each in daemons} <= {None}

        left = psutil.Process(up.process).children(recursive=True)
        assert left
        os.kill(up.process, signal.SIGKILL)
        wait_for(lambda: not any(map(_lives, left)), 60, "the end of what up had started")
        with pytest.raises(OSError):  # noqa: PT011
            socket.create_connection(("127.0.0.1", up.port), timeout=5).close()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 always looks there")
@pytest.mark.parametrize("own_code", [True, False])
def test_a_module_of_the_working_folder_is_not_taken_for_one_of_dagster(
    tmp_path: Path, own_code: bool
) -> None:
    (tmp_path / "gql.py").write_text("raise SystemExit('a module of the user')")

    done = subprocess.run(
        [sys.executable, "-c", "import autoloader_dagster.web.dagster_webserver"],
        cwd=tmp_path,
        env={**os.environ, **python_path(own_code)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ("a module of the user" in done.stderr) is not own_code
    assert (done.returncode == 0) is own_code, done.stderr
