"""A connection to S3: its section of ``_connections.yaml``, and the same with its secrets."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from autoloader_dagster.errors import SpecError
from autoloader_dagster.specs.connection_section import ConnectionSection, References
from autoloader_dagster.specs.secrets import ENV_REFERENCE, Secret
from autoloader_dagster.specs.section import KeyFault
from autoloader_dagster.specs.tenants import TenantRules

# It becomes a part of host names and messages, so it must not be a secret by mistake.
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


def _plain_url(value: str) -> str:
    # Anywhere, because a password may contain slashes.
    if "@" in value:
        raise ValueError("it contains a user name or password; use access_key_id and its like")
    try:
        parts = urlsplit(value)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("is not an address; write it like https://host:9000") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid:
        raise ValueError("is not an address; write it like https://host:9000")
    if parts.query or parts.fragment or parts.path not in ("", "/"):
        raise ValueError("holds more than scheme, host and port; leave the rest out")
    return value.rstrip("/")


def _url_or_variable(value: Any) -> Any:
    written_out = isinstance(value, str) and not ENV_REFERENCE.fullmatch(value)
    return _plain_url(value) if written_out else value


def _region_or_variable(value: Any) -> Any:
    written_out = isinstance(value, str) and not ENV_REFERENCE.fullmatch(value)
    return _plain_region(value) if written_out else value


def _plain_region(value: str) -> str:
    if not _REGION.fullmatch(value):
        raise ValueError("is not a region; write it like eu-central-1")
    return value


class S3Connection(ConnectionSection):
    """How to reach Amazon S3, or a store that speaks its protocol."""

    type: Literal["s3"] = Field(description="The kind of source that it is for.")
    endpoint_url: Annotated[str, BeforeValidator(_url_or_variable)] | None = Field(
        default=None, description="Address of the store, or env:NAME. Default: Amazon's own."
    )
    region: Annotated[str, BeforeValidator(_region_or_variable)] | None = Field(
        default=None, description="Region, or env:NAME. Default: as the AWS SDK finds it."
    )
    access_key_id: Secret | None = Field(default=None, description="env:NAME or file:path.")
    secret_access_key: Secret | None = Field(default=None, description="env:NAME or file:path.")
    session_token: Secret | None = Field(default=None, description="env:NAME or file:path.")
    profile: str | None = Field(
        default=None, description="A profile of the AWS configuration files, instead of keys."
    )
    path_style: bool | None = Field(
        default=None,
        description="Whether the bucket is in the path (host/bucket) and not in the host name. "
        "Default: true with an endpoint_url, false without.",
    )
    anonymous: bool = Field(default=False, description="Sign nothing: public buckets.")

    @model_validator(mode="after")
    def _one_way_in(self) -> "S3Connection":
        if self.secret_access_key and not self.access_key_id:
            raise KeyFault("is missing; secret_access_key needs it", "access_key_id")
        if self.access_key_id and not self.secret_access_key:
            raise KeyFault("is missing; access_key_id needs it", "secret_access_key")
        if self.session_token and not self.access_key_id:
            raise KeyFault("is missing; session_token needs it", "access_key_id")
        if self.access_key_id and self.profile:
            raise KeyFault("cannot be used with access_key_id; keep one of them", "profile")
        if self.anonymous and (self.access_key_id or self.profile):
            raise KeyFault("cannot be used with keys or a profile; keep one of them", "anonymous")
        return self

    def refused(self, tenant: str, rules: TenantRules) -> Iterator[tuple[str, str]]:
        if self.profile is not None and self.profile not in rules.profiles:
            yield "profile", rules.may_not(tenant, "use this profile", "profiles")
        if not (self.access_key_id or self.profile or self.anonymous):
            # Signed with the worker's own credentials, whose token would go to any endpoint.
            yield (
                "access_key_id",
                f"is missing; tenant '{tenant}' must not use the worker's own credentials. Write "
                "access_key_id and secret_access_key, or anonymous: true",
            )

    def resolve(self, reading: References) -> "ResolvedS3Connection":
        endpoint = reading.text(self.endpoint_url)
        try:
            endpoint = endpoint and _plain_url(endpoint)
        except ValueError as error:
            raise SpecError(
                f"connection '{reading.connection}': endpoint_url ({self.endpoint_url}): {error}"
            ) from None
        region = reading.text(self.region)
        if region is not None and not _REGION.fullmatch(region):
            raise SpecError(
                f"connection '{reading.connection}': region ({self.region}) is not a region",
                "Write it like eu-central-1.",
            )
        return ResolvedS3Connection(
            name=reading.connection,
            endpoint_url=endpoint,
            region=region,
            access_key_id=reading.secret(self.access_key_id),
            secret_access_key=reading.secret(self.secret_access_key),
            session_token=reading.secret(self.session_token),
            profile=self.profile,
            path_style=bool(endpoint) if self.path_style is None else self.path_style,
            anonymous=self.anonymous,
        )


@dataclass(frozen=True)
class ResolvedS3Connection:
    """An S3 connection with its secrets, which ``repr`` and ``str`` do not show.

    Attributes:
        name: Its name in ``_connections.yaml``.
        endpoint_url: Address without a trailing slash; None for Amazon's own.
        region: None to let the AWS SDK find it.
        access_key_id: None without explicit keys.
        secret_access_key: None without explicit keys.
        session_token: Only with temporary keys.
        profile: A profile of the AWS configuration files.
        path_style: Whether the bucket is in the path.
        anonymous: Whether requests go unsigned.
    """

    name: str
    endpoint_url: str | None
    region: str | None
    access_key_id: SecretStr | None
    secret_access_key: SecretStr | None
    session_token: SecretStr | None
    profile: str | None
    path_style: bool
    anonymous: bool
