"""What the AWS SDK raises, in the words of this package: what failed, where, and what to do.

Only the store's error code and message are passed on, neither of which holds a secret.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from autoloader_dagster.errors import (
    SourceAccessDenied,
    SourceError,
    SourceNotFound,
    SourceUnavailable,
)
from autoloader_dagster.specs.secrets import COPY_AGAIN

_SAY_AGAIN = "Try again later. If it fails again, check that the endpoint is running."
_CORRECT_KEYS = "Correct the keys, or the variables that they come from."
_DENIED = {
    "InvalidAccessKeyId": f"The store does not know this access_key_id. {_CORRECT_KEYS}",
    "SignatureDoesNotMatch": f"secret_access_key does not belong to this key. {_CORRECT_KEYS}",
    "ExpiredToken": "The credentials have expired: renew them.",
    "InvalidToken": f"The session_token does not belong to these keys. {_CORRECT_KEYS}",
    "RequestTimeTooSkewed": "This machine's clock is wrong: set it.",
}
_MAY_NOT = "Allow these credentials s3:ListBucket on the bucket and s3:GetObject on its objects."
_OTHER_REGION = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307"}
)
_TOO_BUSY = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestTimeout"}
)


@dataclass(frozen=True)
class S3Place:
    """Where a call went, for messages.

    Attributes:
        address: ``s3://bucket/prefix``, or one object's address.
        endpoint: The server's URL; empty while it is not known.
        connection: Name of the connection; None for the SDK's default credentials.
        spec: Name of the spec.
    """

    address: str
    endpoint: str
    connection: str | None
    spec: str

    def __str__(self) -> str:
        endpoint = f" at {self.endpoint}" if self.endpoint else ""
        connection = f"connection '{self.connection}'" if self.connection else "no connection"
        return f"{self.address}{endpoint} ({connection}) of spec '{self.spec}'"


@contextmanager
def told_as_source_errors(place: S3Place) -> Iterator[None]:
    """Turn what the SDK raises inside the block into ``SourceError`` and its kinds."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        raise _from_answer(error, place) from error
    # HTTPError and OSError: what a broken connection may raise while a body is read.
    except (BotoCoreError, HTTPError, OSError) as error:
        raise _from_sdk(error, place) from error


def _from_answer(error: Exception, place: S3Place) -> SourceError:
    """The store answered, and the answer is an error."""
    response = getattr(error, "response", {})
    code = str(response.get("Error", {}).get("Code", ""))
    said = str(response.get("Error", {}).get("Message", "")).rstrip(" .")
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    why = f"{code}: {said}" if said else code
    if code == "NoSuchBucket":
        return SourceNotFound(
            f"{place}: there is no such bucket",
            "Correct source.url, or the connection's endpoint_url if the bucket is elsewhere.",
        )
    if code == "InvalidBucketName":
        return SourceNotFound(f"{place}: this cannot be a bucket's name", "Correct source.url.")
    if code in _OTHER_REGION:
        return SourceNotFound(
            f"{place}: the bucket is not in this region ({why})",
            "Set region in the connection to the bucket's own.",
        )
    if code == "InvalidObjectState":
        return SourceError(
            f"{place}: the object is archived and cannot be read ({why})",
            "Restore it, or leave it out with source.exclude or source.modified_after.",
        )
    if status in (401, 403) or code in _DENIED:
        return SourceAccessDenied(f"{place}: access denied ({why})", _DENIED.get(code, _MAY_NOT))
    if status >= 500 or status == 429 or code in _TOO_BUSY:
        return SourceUnavailable(f"{place}: the store fails or is too busy ({why})", _SAY_AGAIN)
    return SourceError(
        f"{place}: the store refuses the request ({why}, HTTP {status})",
        "If this is not Amazon's, see that endpoint_url, region and path_style suit the store.",
    )


def _from_sdk(error: Exception, place: S3Place) -> SourceError:
    """The SDK could not ask, or got no answer."""
    import botocore.exceptions as sdk

    from autoloader_dagster.sources.s3.credentials import BrokenCredentials

    no_credentials = (
        sdk.NoCredentialsError,
        sdk.PartialCredentialsError,
        sdk.CredentialRetrievalError,
        sdk.NoAuthTokenError,
        sdk.TokenRetrievalError,
        sdk.SSOError,
    )
    no_answer = (sdk.ConnectionError, sdk.HTTPClientError, sdk.IncompleteReadError)
    if isinstance(error, BrokenCredentials):
        return SourceAccessDenied(f"{place}: {error}", COPY_AGAIN)
    if isinstance(error, sdk.HTTPClientError) and isinstance(error.kwargs.get("error"), ValueError):
        # Its text repeats the header or the address, and no later try sends it.
        return SourceError(
            f"{place}: the request cannot be sent, because a header or the address holds a "
            "character that HTTP does not allow",
            "Check the credentials, the region and the endpoint_url for blanks and line breaks.",
        )
    if isinstance(error, sdk.ProfileNotFound):
        return SourceAccessDenied(
            f"{place}: {error}",
            "Correct profile in the connection (or AWS_PROFILE), or add it to ~/.aws/config.",
        )
    if isinstance(error, no_credentials):
        return SourceAccessDenied(
            f"{place}: no usable credentials ({error})",
            "Name a connection in source.connection, give the AWS SDK its default credentials "
            "(environment, ~/.aws, instance role), or set anonymous: true for a public bucket.",
        )
    if isinstance(error, sdk.SSLError):
        return SourceUnavailable(
            f"{place}: no secure connection ({error})",
            "Check that endpoint_url says https only where the store does, and that AWS_CA_BUNDLE "
            "names the authority that signed its certificate.",
        )
    if isinstance(error, no_answer) or not isinstance(error, sdk.BotoCoreError):
        return SourceUnavailable(
            f"{place}: no answer ({error})",
            "Check that endpoint_url is right and that this machine can reach it; else try again "
            "later.",
        )
    if isinstance(error, sdk.ParamValidationError):
        return SourceNotFound(
            f"{place}: this cannot be the name of a bucket and an object", "Correct source.url."
        )
    return SourceError(f"{place}: {error}", "Correct endpoint_url and region of the connection.")
