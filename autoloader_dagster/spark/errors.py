"""What a server's message tells: its causes, and whether the environment is to blame."""

import re

from autoloader_dagster.redaction import strike

# The file that a reader failed on.
NAMED_FILE = re.compile(
    r"(?:[Ee]ncountered error while reading file|reading file) (\S+?)\.?(?:\s|$)"
)
# The classes that a Java error's message begins with.
_CLASSES = re.compile(r"^(?:[a-z]\w*\.[\w.$]+: )+")
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


def short(error: BaseException) -> str:
    """What a person needs of a server's error: what failed, its first cause and its last one."""
    lines = [line.strip() for line in strike(str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # It repeats the file's name, which is known here, and says nothing else.
    head = "Spark cannot read the file" if NAMED_FILE.search(lines[0]) else lines[0][:400]
    causes = list(
        dict.fromkeys(
            _CLASSES.sub("", line.removeprefix("Caused by: "))[:300]
            for line in lines[1:]
            if line.startswith("Caused by: ")
        )
    )
    return ": ".join([head, *dict.fromkeys(causes[:1] + causes[-1:])])
