"""The guard before Dagster's web server: what a page of another site may send changes nothing."""

import asyncio
import json
from typing import Any

import pytest

from autoloader_dagster.spark.server.address import is_loopback
from autoloader_dagster.web.guard import Guard, GuardRules, Message

UNDO = "mutation { launchRun(executionParams: {}) { __typename } }"
NAMED = "query Q { version } mutation M { launchRun { __typename } }"
QUERY = "{ version # mutation\n}"
OWN = {"host": "localhost:3000", "content-type": "application/json"}
PROXIED = GuardRules(hosts=("localhost", "dagster.example.com"))


async def _send(
    rules: GuardRules, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, bytes | None]:
    """The status, and the body that reached Dagster; None if nothing reached it."""
    reached: list[bytes] = []
    sent: list[Message] = []

    async def dagster(_scope: Message, receive: Any, send: Any) -> None:
        reached.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    # In two parts, as a server may hand it on.
    parts = [
        {"type": "http.request", "body": body[:5], "more_body": True},
        {"type": "http.request", "body": body[5:], "more_body": False},
    ]

    async def receive() -> Message:
        return parts.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    place, _, query = path.partition("?")
    scope = {
        "type": "http", "method": method, "path": place, "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    await Guard(dagster, rules)(scope, receive, send)
    return sent[0]["status"], reached[0] if reached else None


def _ask(
    method: str,
    path: str,
    query: str = "",
    rules: GuardRules = PROXIED,
    **headers: str,
) -> tuple[int, bytes | None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps({"query": query}).encode() if query else b""
    return asyncio.run(_send(rules, method, path, OWN | named, body))


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", f"/graphql?query={UNDO}", {}, 405),
        ("GET", f"/graphql?query={NAMED}&operationName=M", {}, 405),
        ("HEAD", f"/graphql?query={UNDO}", {}, 405),
        ("GET", f"/graphql/?query={UNDO}", {}, 405),
        ("GET", "/", {"host": "evil.example"}, 403),
        ("GET", "/", {"host": "localhost.evil.example:3000"}, 403),
        ("GET", "/", {"host": ""}, 403),
        ("POST", "/graphql", {"host": "evil.example:3000"}, 403),
        ("POST", "/graphql", {"origin": "http://evil.example"}, 403),
        ("POST", "/graphql", {"origin": "null"}, 403),
        ("POST", "/graphql", {"origin": "http://localhost:8000"}, 403),
        ("POST", "/graphql", {"origin": "http://localhost:3000.evil.example"}, 403),
        ("GET", f"/graphql?query={QUERY}", {"origin": "http://evil.example"}, 403),
        ("POST", "/graphql", {"content_type": "text/plain"}, 415),
        ("POST", "/graphql", {"content_type": "application/x-www-form-urlencoded"}, 415),
        ("POST", "/graphql", {"content_type": "multipart/form-data; boundary=x"}, 415),
        ("POST", "/graphql", {"content_type": "application/graphql"}, 415),
        ("POST", "/graphql", {"content_type": "text/plain; application/json"}, 415),
        ("POST", f"/graphql?query={UNDO}", {"content_type": ""}, 415),
        ("POST", "/report_asset_materialization/a", {"content_type": "text/plain"}, 415),
        ("POST", "/report_asset_materialization/a", {"origin": "https://evil.example"}, 403),
        ("DELETE", "/anything", {"content_type": ""}, 415),
    ],
)
def test_a_request_of_another_page_does_not_reach_dagster(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    assert _ask(method, path, UNDO, **headers) == (status, None)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "127.0.0.1:3000"},
        {"host": "[::1]:3000"},
        {"host": "192.168.1.5"},
        {"origin": "http://localhost:3000"},
        {"host": "Dagster.example.com", "origin": "https://dagster.example.com"},
        {"content_type": "application/json; charset=utf-8"},
    ],
)
def test_requests_of_its_own_ui_pass_whole(headers: dict[str, str]) -> None:
    status, body = _ask("POST", "/graphql", UNDO, **headers)
    assert status == 200
    assert json.loads(body or b"") == {"query": UNDO}
    assert _ask("GET", f"/graphql?query={QUERY}", **headers)[0] == 200
    assert _ask("GET", "/runs", **headers)[0] == 200


def test_read_only_lets_queries_pass_and_nothing_that_changes() -> None:
    rules = GuardRules(read_only=True)
    assert _ask("POST", "/graphql", QUERY, rules)[0] == 200
    assert _ask("POST", "/graphql", UNDO, rules) == (403, None)
    assert _ask("POST", "/graphql", NAMED, rules) == (403, None)
    assert _ask("POST", "/graphql", "", rules) == (403, None)
    assert _ask("POST", "/report_asset_materialization/a", QUERY, rules) == (403, None)


def test_a_body_that_is_too_large_is_refused() -> None:
    assert _ask("POST", "/graphql", "x" * (17 * 2**20)) == (413, None)


@pytest.mark.parametrize(
    ("origin", "query", "passes"),
    [
        ("http://localhost:3000", "subscription { x }", True),
        ("http://evil.example", "subscription { x }", False),
        ("http://localhost:3000", UNDO, False),
    ],
)
def test_a_web_socket_is_for_its_own_pages_and_for_reading(
    origin: str, query: str, passes: bool
) -> None:
    got: list[Message] = []
    sent: list[Message] = []

    async def dagster(_scope: Message, receive: Any, _send: Any) -> None:
        got.append(await receive())

    async def receive() -> Message:
        text = json.dumps({"type": "start", "payload": {"query": query}})
        return {"type": "websocket.receive", "text": text}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = {"host": "localhost:3000", "origin": origin}
    scope = {
        "type": "websocket", "path": "/graphql",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    asyncio.run(Guard(dagster, GuardRules())(scope, receive, send))
    assert any(message["type"] == "websocket.receive" for message in got) == passes
    assert bool(sent) == (origin == "http://evil.example")


def test_rules_reach_the_web_server_whole() -> None:
    rules = GuardRules(("localhost", "a.example"), read_only=True)
    assert GuardRules.from_json(rules.to_json()) == rules


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "dagster.example.com", "")))
