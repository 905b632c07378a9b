"""Tells from a server's message whether the environment is to blame, and not a file or a table."""

import re

# What a server reports if it cannot reach or read a store, or has run out of something.
_ENVIRONMENT = re.compile(
    r"AccessDenied|AccessControlException|NoAuthWithAWS|CredentialsNotFound|\bForbidden\b"
    r"|UnknownHostException|ConnectException|NoRouteToHost|SocketException|SocketTimeout"
    r"|ConnectTimeout|AWSClientIOException|AWSServiceIOException|AWSServiceThrottled|AWSStatus5"
    r"|UnknownStoreException|SSLException|SSLHandshake|No space left|quota exceeded"
    r"|Read-only file system|Permission denied|Too many open files"
    # A catalog or its database.
    r"|UncheckedSQLException|RESTException|ServiceFailureException|ServiceUnavailableException"
    r"|NotAuthorizedException|ForbiddenException|TTransportException"
)


def is_environment(error: BaseException) -> bool:
    """Whether a store, a disk or a right is what the error speaks of."""
    return _ENVIRONMENT.search(str(error)) is not None
