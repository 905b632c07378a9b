"""What a server's message tells: its causes, and whether the environment has caused it."""

import re
import sys
from collections.abc import Iterable

from autoloader_dagster.errors import (
    AutoloaderError,
    SparkError,
    SparkUnavailable,
    TableUnavailable,
)
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
    r"|Python worker exited unexpectedly"
)
# What it reports of a catalog: it is out of reach, fails, or refuses access.
_CATALOG = re.compile(
    r"UncheckedSQLException|RESTException|ServiceFailureException|ServiceUnavailableException"
    r"|NotAuthorizedException|ForbiddenException|TTransportException"
)
# What is wrong with it, how that is told, and what to check; the first that fits.
_OF_CATALOG = (
    (
        r"NotAuthorizedException|ForbiddenException|password authentication failed|no pg_hba\.conf"
        r"|permission denied for",
        "refuses access",
        "its credentials and what they permit",
    ),
    (
        r"ServiceFailureException|ServiceUnavailableException",
        "reports an error",
        "its server and the log of that",
    ),
    (
        r"SQLITE_FULL|No space left|disk is full",
        "has no room left",
        "the disk of its database, and make room there",
    ),
    (
        r"SQLITE_READONLY|read-only transaction",
        "cannot be written",
        "that the user of the Spark server may write its database and the folder of that",
    ),
    (
        r"SQLITE_CORRUPT|SQLITE_NOTADB",
        "is damaged",
        "its disk, and restore its database from a backup",
    ),
    (r"SQLITE_BUSY|SQLITE_LOCKED", "is locked", "which other program holds its database"),
    (r"SQLITE_IOERR", "cannot be read or written", "the disk of its database"),
)
# Of a message that is a JSON document.
_MOST_LINES = 30
_NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded")
_LOST_WORKER = re.compile(r"Python worker exited unexpectedly")
# What a driver says of a path, what an executor says of a file, and what a store says of an object.
_NOT_FOUND = re.compile(r"PATH_NOT_FOUND|FILE_NOT_EXIST|FileNotFoundException|NoSuchKey")
# What S3A reports if the server has no credentials of its own for a bucket.
_NO_CREDENTIALS = re.compile(r"NoAuthWithAWS|CredentialsNotFound")
# The class in brackets that a message begins with, and the code that it ends with.
_IN_BRACKETS = re.compile(r"^\([a-z]\w*\.[\w.$]+\) (?=\S)")
_STATE_CODE = re.compile(r"\s*SQLSTATE: \w+")


def is_environment(error: BaseException) -> bool:
    """Whether a store, a disk or a right is what the error speaks of."""
    return _ENVIRONMENT.search(str(error)) is not None or is_of_catalog(error)


def is_not_found(error: BaseException) -> bool:
    """Whether the error is that Spark finds no file where it was told to read one."""
    return _NOT_FOUND.search(str(error)) is not None


def is_of_catalog(error: BaseException) -> bool:
    """Whether a catalog or its database is what the error speaks of."""
    return _CATALOG.search(str(error)) is not None


def advice(error: BaseException) -> str:
    """What to do about an error of the environment that stopped a load."""
    if _NO_CREDENTIALS.search(str(error)):
        return (
            "The Spark server has no credentials for the files; those of this process (AWS_... "
            "variables, ~/.aws) do not reach it. Give it a role, or name a connection with keys or "
            "a profile in source.connection, which Spark gets with each read."
        )
    if _NO_ROOM.search(str(error)):
        return (
            "A disk of the Spark server is full. Make room where the warehouse is, and where Spark "
            "keeps its scratch files (spark.local.dir; for the embedded server AUTOLOADER_HOME)."
        )
    if _LOST_WORKER.search(str(error)):
        return (
            "A Python worker of Spark crashed or was killed, mostly for lack of memory beside "
            "Java's: give the machine more, or a cluster's executors a larger "
            "spark.executor.memoryOverhead. Where the Python of the workers has no msgspec, Spark "
            "reads JSON lines without them, at a third of the speed."
        )
    if is_not_found(error):
        return (
            "The Spark server does not find files that this process sees. A server elsewhere "
            "(SPARK_REMOTE) reads a local folder only if its driver and each executor see that "
            "folder under the same path; mount it there, or keep the files in an object store."
        )
    return (
        "Check what the message names: the credentials, the network, the disk or the Spark server."
    )


def catalog_error(
    error: BaseException, catalog: str = "", address: str = "", doing: str = ""
) -> TableUnavailable:
    """The error of a catalog that is out of reach, fails, is full or refuses access.

    Args:
        error: Spark's, of which ``is_of_catalog`` is true.
        catalog: The catalog's name in Spark; empty if it is not known.
        address: Where the catalog is; empty if it is not known.
        doing: What failed because of it, such as "publish to table lake.a.b".
    """
    text = str(error)
    failed, check = next(
        ((failed, check) for pattern, failed, check in _OF_CATALOG if re.search(pattern, text)),
        ("cannot be reached", "that its server runs, its address and the network"),
    )
    named = f"the catalog '{catalog}'" if catalog else "a catalog of the Spark server"
    at = f" at {address}" if address else ""
    in_vain = f", so Spark cannot {doing}" if doing else ""
    return TableUnavailable(
        f"{named}{at} {failed}{in_vain}: {first_sentence(error)}",
        f"Check {check}. The catalog's settings are those of the Spark server "
        "(spark.sql.catalog...). The next run finds out what was published, and loads what waits.",
    )


def known(error: BaseException) -> AutoloaderError | None:
    """An error of Spark or of its connection in a few words, as one of ours.

    Returns:
        None if the error is not Spark's, or is one of ours already.
    """
    if isinstance(error, AutoloaderError) or not _is_of_spark(error):
        return None
    if is_of_catalog(error):
        return catalog_error(error)
    from autoloader_dagster.spark.client import reason_of

    reason = reason_of(error)
    if reason is not None:
        return SparkUnavailable(f"the Spark server {reason[0]}", reason[1])
    kind = TableUnavailable if is_environment(error) else SparkError
    return kind(
        f"Spark failed: {first_sentence(error)}",
        "Check what the message names. AUTOLOADER_DEBUG=1 shows the whole error with Java's "
        "stack; the log of a run has it too.",
    )


def _is_of_spark(error: BaseException) -> bool:
    # Not imported to ask, because that takes a second.
    names = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    is_of_spark = bool(names & {"pyspark.errors.exceptions.base.PySparkException", "grpc.RpcError"})
    return is_of_spark and "pyspark" in sys.modules


def first_sentence(error: BaseException) -> str:
    """What ``short`` gives, without the class and the code of the error."""
    return _joined(_STATE_CODE.sub("", _IN_BRACKETS.sub("", each)) for each in _parts(error))


def short(error: BaseException) -> str:
    """What a person needs of a server's error: what failed, its first cause and its last one."""
    return _joined(_parts(error))


def _joined(parts: Iterable[str]) -> str:
    """The parts with a colon between them, each without the full stop or the colon at its end.

    A part that says nothing which is not in one before it is left out.
    """
    told: list[str] = []
    for part in parts:
        text = part.rstrip(" .:;") or part
        if not any(text in before for before in told):
            told.append(text)
    return ": ".join(told)


def _head(lines: list[str]) -> str:
    """The first line; with those after it if it is the beginning of a JSON document.

    A REST catalog that answers with JSON of another form has all of it as its message.
    """
    if not lines[0].endswith(("{", "[")):
        return lines[0]
    opened = 0
    for number, line in enumerate(lines, start=1):
        opened += sum(map(line.count, "{[")) - sum(map(line.count, "}]"))
        if opened <= 0 or number == _MOST_LINES:
            return " ".join(lines[:number])
    return " ".join(lines)


def _parts(error: BaseException) -> list[str]:
    lines = [line.strip() for line in strike(str(error)).splitlines() if line.strip()]
    if not lines:
        return [type(error).__name__]
    # It repeats the file's name, which is known here, and says nothing else.
    head = "Spark cannot read the file" if NAMED_FILE.search(lines[0]) else _head(lines)[:400]
    causes = list(
        dict.fromkeys(
            _CLASSES.sub("", line.removeprefix("Caused by: "))[:300]
            for line in lines[1:]
            if line.startswith("Caused by: ")
        )
    )
    return [head, *causes[:1], *causes[-1:]]
