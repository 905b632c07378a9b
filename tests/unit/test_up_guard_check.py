"""What ``up`` asks its own web server on loopback: past every proxy, and only the guard passes."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import uvicorn

from autoloader_dagster.web.guard import Guard, GuardRules, Message, Receive, Send
from autoloader_dagster.web.loopback import ask_graphql, is_guarded
from tests.fixtures.project import wait_for

_PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy")


@contextmanager
def _answering(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server without a guard that answers everything with this status, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _guarded() -> Iterator[str]:
    """A web server whose application has the guard before it."""

    async def dagster(_scope: Message, _receive: Receive, send: Send) -> None:
        body = json.dumps({"data": {"version": "1"}}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(
        Guard(dagster, GuardRules()),  # pyright: ignore[reportArgumentType]
        port=0,
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        wait_for(lambda: server.started, 20, "the guarded server")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("status", [403, 200])
def test_no_proxy_of_the_environment_is_asked_for_the_own_web_server(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with _answering(status) as (proxy, asked), _guarded() as url:
        for name in _PROXY_VARIABLES:
            monkeypatch.setenv(name, proxy)
        assert is_guarded(url)
        assert ask_graphql(f"{url}/graphql", "{ version }") == {"version": "1"}
        assert asked == []


@pytest.mark.parametrize("status", [200, 403, 502])
def test_a_server_without_the_guard_does_not_pass_for_a_guarded_one(status: int) -> None:
    with _answering(status) as (url, asked):
        assert is_guarded(url) is False
        assert asked == ["/server_info"]


def test_a_server_that_does_not_answer_is_not_known_to_be_guarded() -> None:
    with _answering(200) as (url, _asked):
        pass
    assert is_guarded(url) is None
