"""Refuses requests that no page of Dagster's own UI sends.

Dagster's web server has no login and answers whoever asks: a page of another site, opened by a
person who can reach it, could start runs and remove rows. So the guard lets a request change
something only if it is a POST with JSON, names this server as its host, and comes from a page of
this server. It is no login; see ``docs/security.md`` for one in front of it.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# Where the web server finds the rules that 'up' has set.
VARIABLE = "AUTOLOADER_WEB_GUARD"
# The header by which 'up' knows that a refusal is the guard's, and not that of another program.
MARK, MARK_VALUE = "X-Autoloader-Guard", "refused"

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
# The UI's largest requests have some kilobytes; a run's config may have more.
_MAX_BODY_BYTES = 16 * 2**20
_FORBIDDEN, _NOT_POST, _TOO_LARGE, _NOT_JSON = 403, 405, 413, 415


@dataclass(frozen=True)
class GuardRules:
    """What the guard allows.

    Attributes:
        hosts: Names of this server, in lower case. An address in numbers is always one, because
            no page of another site can have it.
        read_only: Whether nothing may be changed.
    """

    hosts: tuple[str, ...] = ("localhost",)
    read_only: bool = False

    def to_json(self) -> str:
        """As ``from_json`` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "GuardRules":
        """The rules in a text of ``to_json``."""
        data = json.loads(text)
        return cls(tuple(data["hosts"]), bool(data["read_only"]))


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused.

    Attributes:
        status: Of HTTP.
        reason: For the person who sees it.
    """

    status: int
    reason: str


class Guard:
    """An ASGI application that refuses, or passes on to the one behind it."""

    def __init__(self, app: App, rules: GuardRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        refusal = self._refuse_host(headers) or self._refuse_origin(scope, headers)
        if kind == "websocket":
            if refusal is not None:
                await send({"type": "websocket.close", "code": 1008, "reason": refusal.reason})
                return
            await self._app(scope, _without_mutations(receive), send)
            return
        refusal = refusal or self._refuse_method(scope, headers)
        if refusal is None and scope["method"] not in _READING:
            body = await _body(receive)
            refusal = self._refuse_body(scope, body)
            receive = _again(body or b"", receive)
        if refusal is not None:
            await _answer(send, refusal)
            return
        await self._app(scope, receive, send)

    def _refuse_host(self, headers: dict[str, str]) -> Refusal | None:
        host = _name(headers.get("host", ""))
        if host in self._rules.hosts or _is_address(host):
            return None
        return Refusal(
            _FORBIDDEN,
            f"'{host}' is not a name of this server. If it is, start it with "
            f"'autoloader up --allowed-host {host}'.",
        )

    def _refuse_origin(self, scope: Message, headers: dict[str, str]) -> Refusal | None:
        origin = headers.get("origin")
        reads = scope["type"] == "http" and scope["method"] in _READING
        if origin is None or (reads and not _is_graphql(scope)):
            return None
        if urlsplit(origin).netloc.lower() == headers.get("host", "").lower():
            return None
        return Refusal(_FORBIDDEN, f"the request comes from a page of '{origin}'")

    def _refuse_method(self, scope: Message, headers: dict[str, str]) -> Refusal | None:
        if scope["method"] in _READING:
            queries = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("query", [])
            if _is_graphql(scope) and any(map(changes, queries)):
                return Refusal(_NOT_POST, "a mutation must be a POST with JSON")
            return None
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return Refusal(_NOT_JSON, "the body must be application/json")
        return None

    def _refuse_body(self, scope: Message, body: bytes | None) -> Refusal | None:
        if body is None:
            return Refusal(_TOO_LARGE, f"the body is larger than {_MAX_BODY_BYTES} bytes")
        if not self._rules.read_only:
            return None
        if _is_graphql(scope):
            try:
                query = json.loads(body)["query"]
            except (ValueError, TypeError, KeyError):
                return Refusal(_FORBIDDEN, "this server is read-only")
            if isinstance(query, str) and not changes(query):
                return None
        return Refusal(_FORBIDDEN, "this server is read-only ('autoloader up --read-only')")


def changes(query: str) -> bool:
    """Whether a GraphQL document has a mutation; what is no GraphQL changes nothing."""
    from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

    try:
        document = parse(query)
    except GraphQLError:
        return False
    except RecursionError:  # the server may have more room for it
        return True
    return any(
        isinstance(each, OperationDefinitionNode) and each.operation is OperationType.MUTATION
        for each in document.definitions
    )


def _headers(scope: Message) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        # Two hosts or origins are nobody's: what they are compared with must not be the other one.
        found[key] = (
            f"{found[key]}, {value.decode('latin-1')}"
            if key in found
            else (value.decode("latin-1"))
        )
    return found


def _name(host: str) -> str:
    """The host of ``host:port`` or ``[address]:port``, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[")
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_graphql(scope: Message) -> bool:
    return scope["path"].rstrip("/").endswith("/graphql")


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more for the application, and then what comes after it."""
    rest: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return rest.pop() if rest else await receive()

    return next_message


def _without_mutations(receive: Receive) -> Receive:
    """The messages of a web socket; one with a mutation ends it."""

    async def next_message() -> Message:
        message = await receive()
        text = message.get("text") or ""
        if "mutation" in text:
            try:
                query = json.loads(text)["payload"]["query"]
            except (ValueError, TypeError, KeyError):
                return message
            if isinstance(query, str) and changes(query):
                return {"type": "websocket.disconnect", "code": 1008}
        return message

    return next_message


async def _answer(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"errors": [{"message": f"refused: {refusal.reason}"}]}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (MARK.lower().encode(), MARK_VALUE.encode()),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
