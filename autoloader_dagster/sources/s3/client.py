"""One connection to an S3 store, in the two forms in which it is needed: the SDK's and Spark's."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoloader_dagster.sources.s3.connection import ResolvedS3Connection

_PROVIDERS = "org.apache.hadoop.fs.s3a"
# S3A's own default chain knows neither ~/.aws nor single sign-on; the SDK's does.
_DEFAULT_CHAIN = "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
_STARTED = "autoloader_started"


@dataclass(frozen=True)
class Patience:
    """How long to wait for a store, in seconds.

    Attributes:
        connect: For a connection to one address; a name may have several addresses.
        read: Between two pieces of an answer. A silent store is asked once more.
        unreachable: No further try to connect begins after this time.
    """

    connect: float = 3
    read: float = 30
    unreachable: float = 10


class S3Access:
    """The SDK's client and Spark's options for one connection.

    Args:
        connection: None for the SDK's default credentials.
        patience: How long to wait.

    Raises:
        BotoCoreError: The connection or the SDK's own configuration is unusable.
    """

    def __init__(self, connection: ResolvedS3Connection | None, patience: Patience) -> None:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import InvalidEndpointConfigurationError

        from autoloader_dagster.sources.s3.credentials import GuardedSession

        self._connection = connection
        self._session = GuardedSession(profile=connection.profile if connection else None)
        waiting = Config(
            connect_timeout=patience.connect,
            read_timeout=patience.read,
            retries={"mode": "standard", "total_max_attempts": 5},
        )
        # The SDK's own helpers (a profile that assumes a role asks STS) are held to it as well.
        self._session.set_default_client_config(waiting)
        endpoint = connection.endpoint_url if connection else None
        self._region = (connection and connection.region) or self._session.get_config_variable(
            "region"
        )
        if endpoint and not self._region:
            # A store that is not Amazon's has no regions, but a signature needs one.
            self._region = "us-east-1"
        special = Config(
            max_pool_connections=32,
            signature_version=UNSIGNED if connection and connection.anonymous else None,
            s3={"addressing_style": "path" if connection and connection.path_style else "auto"},
            # Other stores than Amazon's answer wrongly to the newer checksum headers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        keys = _keys(connection)
        try:
            self.client: Any = self._session.create_client(
                "s3",
                region_name=self._region,
                endpoint_url=endpoint,
                aws_access_key_id=keys.get("access.key"),
                aws_secret_access_key=keys.get("secret.key"),
                aws_session_token=keys.get("session.token"),
                config=waiting.merge(special),
            )
        # So the SDK refuses a malformed endpoint or region.
        except ValueError as error:
            raise InvalidEndpointConfigurationError(msg=str(error)) from error
        _give_up_in_time(self.client, patience)

    @property
    def endpoint(self) -> str:
        """The server's URL."""
        return self.client.meta.endpoint_url

    def spark_options(self, bucket: str) -> dict[str, str]:
        """S3A's options for this bucket alone, so that two connections can meet in one session.

        Keys of a profile are resolved here, because the Spark server has no such profile.

        Raises:
            BotoCoreError: The profile has no usable credentials.
        """
        connection = self._connection
        options: dict[str, str] = {}
        keys = _keys(connection)
        if connection and connection.profile and not keys:
            keys = self._keys_of_profile()
        if connection and connection.anonymous:
            provider = f"{_PROVIDERS}.AnonymousAWSCredentialsProvider"
        elif "session.token" in keys:
            provider = f"{_PROVIDERS}.TemporaryAWSCredentialsProvider"
        elif keys:
            provider = f"{_PROVIDERS}.SimpleAWSCredentialsProvider"
        else:
            provider = _DEFAULT_CHAIN
        options.update(keys)
        options["aws.credentials.provider"] = provider
        # AWS_ENDPOINT_URL redirects the SDK here, but not Spark there.
        if (connection and connection.endpoint_url) or ".amazonaws.com" not in self.endpoint:
            options["endpoint"] = self.endpoint
        if self._region:
            options["endpoint.region"] = self._region
        if connection:
            options["path.style.access"] = str(connection.path_style).lower()
        named = {f"fs.s3a.bucket.{bucket}.{name}": value for name, value in options.items()}
        if keys or (connection and connection.anonymous):
            # Hadoop keeps one file system for a bucket, with the credentials that it was made with.
            named["fs.s3a.impl.disable.cache"] = "true"
        return named

    def _keys_of_profile(self) -> dict[str, str]:
        from botocore.exceptions import NoCredentialsError

        credentials = self._session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        frozen = credentials.get_frozen_credentials()
        return _named_keys(frozen.access_key, frozen.secret_key, frozen.token)


def _keys(connection: ResolvedS3Connection | None) -> dict[str, str]:
    """The connection's own keys in the clear, under S3A's names; empty if it has none."""
    if connection is None or connection.access_key_id is None:
        return {}
    return _named_keys(
        *(
            secret.get_secret_value() if secret else None
            for secret in (
                connection.access_key_id,
                connection.secret_access_key,
                connection.session_token,
            )
        )
    )


def _named_keys(key: str | None, secret: str | None, token: str | None) -> dict[str, str]:
    named = {"access.key": key, "secret.key": secret, "session.token": token}
    return {name: value for name, value in named.items() if value}


def _give_up_in_time(client: Any, patience: Patience) -> None:
    """Keep the SDK from trying a store that does not answer for as long as one that does.

    Five tries suit a store that is busy; at a firewall that drops packets, with eight addresses
    behind one name, they would last for minutes.
    """
    from botocore.exceptions import ConnectionError as NotConnected
    from botocore.exceptions import ReadTimeoutError

    def note_start(params: Mapping[str, Any], **_: object) -> None:
        params["context"][_STARTED] = time.monotonic()

    def stop(
        attempts: int,
        caught_exception: Exception | None,
        request_dict: Mapping[str, Any],
        **_: object,
    ) -> None:
        waited = time.monotonic() - request_dict["context"][_STARTED]
        too_long = isinstance(caught_exception, NotConnected) and waited > patience.unreachable
        twice_silent = isinstance(caught_exception, ReadTimeoutError) and attempts > 1
        # A handler cannot forbid a retry, but what it raises ends the call.
        if caught_exception and (too_long or twice_silent):
            raise caught_exception

    client.meta.events.register("before-call.s3", note_start)
    client.meta.events.register_first("needs-retry.s3", stop)
