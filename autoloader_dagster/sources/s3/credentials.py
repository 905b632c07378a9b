"""An SDK session whose credentials are remembered and checked, wherever the SDK finds them.

It takes them from variables, files, a program, a role or the machine, and takes others when those
expire. All of them pass here before a request is signed. It imports the SDK: import it inside
functions.
"""

import os
from functools import cache
from typing import Any

from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader, create_loader
from botocore.session import Session

from autoloader_dagster.redaction import remember
from autoloader_dagster.specs.secrets import IN_NO_SECRET

# How the SDK calls the parts of its credentials, and what a person calls them.
_PARTS = {
    "access_key": ("the access key id", ("AWS_ACCESS_KEY_ID",)),
    "secret_key": ("the secret access key", ("AWS_SECRET_ACCESS_KEY",)),
    "token": ("the session token", ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")),
}
_FOUND_IN = {
    "shared-credentials-file": "the AWS credentials file",
    "config-file": "the AWS configuration file",
    "custom-process": "the program that credential_process names",
}


class BrokenCredentials(BotoCoreError):
    """A part of the credentials holds what no header can carry."""

    fmt = "{where} holds a blank, a line break or another control character"


class GuardedSession(Session):
    """The SDK's session; no client that it makes uses credentials that were not checked.

    Raises:
        BotoCoreError: There is no such profile, or the SDK's configuration is unusable.
    """

    def __init__(self, profile: str | None = None) -> None:
        super().__init__(profile=profile)
        self.register_component("data_loader", _loader(self.get_config_variable("data_path")))

    def get_credentials(self) -> Any:
        found = super().get_credentials()
        return None if found is None else _Guarded(found, self.profile)

    def create_client(self, *args: Any, **kwargs: Any) -> Any:
        # Of a role that is assumed, or of a connection.
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        _check(dict(zip(_PARTS, map(kwargs.get, names), strict=True)), "", self.profile)
        return super().create_client(*args, **kwargs)


@cache
def _loader(data_path: str | None) -> Loader:
    """What the SDK has of each service, read once in a process.

    A session would parse it for itself, which takes more than ten times as long as all the rest of
    making a client, and each tick of each spec makes one.
    """
    return create_loader(data_path)


class _Guarded:
    """Credentials of the SDK, of whatever class; others may take their place at any time."""

    def __init__(self, credentials: Any, profile: str | None) -> None:
        self._credentials, self._profile = credentials, profile

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        frozen = self._credentials.get_frozen_credentials()
        values = {name: getattr(frozen, name) for name in _PARTS}
        _check(values, self._credentials.method, self._profile)
        return frozen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._credentials, name)


def _check(values: dict[str, str | None], method: str, profile: str | None) -> None:
    """Remember the parts, and refuse one that a library would repeat whole in its error.

    Raises:
        BrokenCredentials: Naming the place, not the value.
    """
    for value in values.values():
        remember(value)
    for name, value in values.items():
        if value and IN_NO_SECRET.search(value):
            raise BrokenCredentials(where=_place(name, method, profile))


def _place(part: str, method: str, profile: str | None) -> str:
    words, variables = _PARTS[part]
    if method == "env":
        name = next((name for name in variables if name in os.environ), variables[0])
        return f"environment variable {name}"
    of_profile = f" of profile '{profile}'" if profile else ""
    found_in = _FOUND_IN.get(method, method)
    return f"{words}{of_profile}" + (f" ({found_in})" if found_in else "")
