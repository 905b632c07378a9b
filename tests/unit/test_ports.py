"""Ports of the web UI, on addresses of both kinds."""

import socket

import pytest

from autoloader_dagster.cli.doctor import port_error
from autoloader_dagster.cli.supervise import url_of
from autoloader_dagster.cli.up import up
from autoloader_dagster.errors import UsageError


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_a_port_is_free_until_somebody_listens(host: str, family: socket.AddressFamily) -> None:
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with server:
        port = server.getsockname()[1]
        with pytest.raises(UsageError, match="another program has the port"):
            up(port=port, host=host)
    assert port_error(host, port) is None


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "[::1]"])
def test_an_address_of_another_machine_is_not_called_a_port_in_use(host: str) -> None:
    with pytest.raises(UsageError, match="cannot be listened on") as caught:
        up(port=3000, host=host)
    assert "another program" not in str(caught.value)
    assert "--host" in caught.value.hint


def test_the_address_of_the_ui_is_one_that_a_browser_takes() -> None:
    assert [url_of(host, 1) for host in ("localhost", "::1", "::", "0.0.0.0")] == [
        "http://localhost:1",
        "http://[::1]:1",
        "http://[::1]:1",
        "http://127.0.0.1:1",
    ]
