"""Asks the web server that ``up`` has started, past every proxy that the environment names."""

import json
import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import Any

from autoloader_dagster.web.guard import MARK, MARK_VALUE

_ANSWER_SECONDS = 30


def is_guarded(url: str) -> bool | None:
    """Whether the guard itself refuses a name that is not the server's; None without an answer."""
    request = urllib.request.Request(
        f"{url}/server_info", headers={"Host": "not-this-server.invalid"}
    )
    try:
        with _open(request):
            return False
    except urllib.error.HTTPError as error:
        with error:
            refused = error.code == HTTPStatus.FORBIDDEN
            return refused and error.headers.get(MARK) == MARK_VALUE
    except (OSError, HTTPException):
        return None


def ask_graphql(url: str, query: str, **variables: str) -> Any:
    """Return the data with which Dagster's GraphQL answers.

    Raises:
        OSError: It cannot be reached, or takes too long.
        ValueError: It answered with something else.
    """
    request = urllib.request.Request(
        url,
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with _open(request) as answer:
            data = json.load(answer).get("data")
    except HTTPException as error:
        raise ValueError(f"no HTTP from {url}") from error
    if not isinstance(data, dict):
        raise ValueError(f"no data from {url}")
    return data


def _open(request: urllib.request.Request) -> HTTPResponse:
    # The web server is on this machine: a proxy would reach another one, or answer in its place.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return direct.open(request, timeout=_ANSWER_SECONDS)
