"""pyspark's Connect client with limits of our own. It imports pyspark: import it inside functions.

As it comes, the client of a dead server tries for ten minutes and more, and the client of a host
that vanished without a word waits for ever.
"""

import re
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, cast

import grpc
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.errors.exceptions.connect import SparkConnectGrpcException
from pyspark.sql.connect.client import DefaultChannelBuilder
from pyspark.sql.connect.client.retries import DefaultPolicy, RetryPolicyState
from pyspark.sql.connect.proto import base_pb2

from autoloader_dagster.spark.conf_secrets import remember_secrets_of_error
from autoloader_dagster.spark.server.address import is_loopback

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.dataframe import DataFrame
    from pyspark.sql.connect.session import SparkSession as ConnectSession

# Tries after the first at 0.1, 0.3, 0.7, 1.5 and 3.1 s. A failing call may go through two such
# rounds (the second asks the server how to show the error), all within ten seconds.
_RETRIES = 5
_FIRST_WAIT_MS = 100

# What a task of a job says, and what the server says when it was its own thread.
_BROKEN = re.compile(
    r"\(TID \d+\) \([^()]*\): java\.lang\."
    r"(?:NoClassDefFoundError: Could not initialize class|ExceptionInInitializerError)"
    r"|\A<[^\n]*\n\s*status = StatusCode.UNKNOWN\n\s*details = \"Could not initialize class"
)

_CHANNEL_OPTIONS = [
    # The same pace for the connection below the calls.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A host that vanished (power, network) sends nothing, so ask. Spark's server takes a client
    # that asks more often than every five minutes for an attacker and hangs up. A long call on a
    # live server is not cut by this: the answer comes from the connection, not from the work.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 60_000),
    ("grpc.http2.max_pings_without_data", 0),
]


class Channel(DefaultChannelBuilder):
    """Makes the connection, and keeps it, so that it can be closed whatever the server does."""

    def __init__(self, url: str) -> None:
        super().__init__(url, _CHANNEL_OPTIONS)
        self._channel: grpc.Channel | None = None
        if is_loopback(self.host):
            # A proxy of the environment would be asked for this machine too.
            self.setChannelOption("grpc.enable_http_proxy", 0)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host.strip("[]"), self._port

    def toChannel(self) -> grpc.Channel:
        """Connect as pyspark does."""
        self._channel = channel = super().toChannel()
        return channel

    def close(self) -> None:
        """End the connection at once; calls in flight fail."""
        if self._channel is not None:
            self._channel.close()


class EmbeddedChannel(Channel):
    """The connection to the embedded server: the token, on loopback and without TLS."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url)
        self._token = token

    def toChannel(self) -> grpc.Channel:
        """Connect without TLS, which pyspark does only for a host that is called 'localhost'."""
        credentials = grpc.composite_channel_credentials(
            grpc.local_channel_credentials(), grpc.access_token_call_credentials(self._token)
        )
        self._channel = channel = self._secure_channel(f"ipv4:{self.endpoint}", credentials)
        return channel


class BriefRetries(DefaultPolicy):
    """What pyspark would retry, for a few seconds; then the error itself, without a warning."""

    def __init__(self) -> None:
        super().__init__(
            max_retries=_RETRIES,
            initial_backoff=_FIRST_WAIT_MS,
            backoff_multiplier=2.0,
            max_backoff=2_000,
            jitter=0,
            max_server_retry_delay=2_000,
        )

    def to_state(self) -> RetryPolicyState:
        """One call's count of tries."""
        return _BriefState(self)


class _BriefState(RetryPolicyState):
    def can_retry(self, exception: BaseException) -> bool:
        # Asked before the wait. Past the limit pyspark would raise a warning beside the error.
        return self._attempt < _RETRIES and super().can_retry(exception)


def know_secrets_of_errors(session: "ConnectSession") -> None:
    """Have each error of the session's calls looked through for passwords, before it is raised."""
    client = session.client
    handle = client._handle_error  # noqa: SLF001

    def handle_knowing(error: Exception) -> NoReturn:
        try:
            handle(error)
        except Exception as raised:
            remember_secrets_of_error(f"{error}\n{raised}")
            raise

    client._handle_error = handle_knowing  # noqa: SLF001


# With these at Spark's defaults each session compiles what its queries generate once more: compiled
# code is cached by class loader, and each session has its own for jars that its client may send.
# This client sends none.
_ONE_CLASS_LOADER = {
    "spark.sql.artifact.isolation.enabled": "false",
    "spark.sql.artifact.isolation.alwaysApplyClassloader": "false",
}


def share_class_loader(session: "ConnectSession") -> None:
    """Have the server run a new session with the class loader that all of them share.

    A session reads these settings once, before its first call is served, so only a copy of another
    session takes them. To be called before any call; whatever fails here fails again, and is told,
    in the call after it, except that a server without ``CloneSession`` goes without.
    """
    client = session.client
    stub, metadata = client._stub, client._builder.metadata()  # noqa: SLF001
    first: dict[str, Any] = {
        "session_id": str(uuid.uuid4()),
        "client_type": client._builder.userAgent,  # noqa: SLF001
    }
    if client._user_id:  # noqa: SLF001
        first["user_context"] = base_pb2.UserContext(user_id=client._user_id)  # noqa: SLF001
    pairs = [base_pb2.KeyValue(key=key, value=value) for key, value in _ONE_CLASS_LOADER.items()]
    setting = base_pb2.ConfigRequest.Set(pairs=pairs, silent=True)
    operation = base_pb2.ConfigRequest.Operation(set=setting)
    with suppress(grpc.RpcError):
        stub.Config(base_pb2.ConfigRequest(operation=operation, **first), metadata=metadata)
        try:
            copied = base_pb2.CloneSessionRequest(new_session_id=client._session_id, **first)  # noqa: SLF001
            stub.CloneSession(copied, metadata=metadata)
        finally:
            stub.ReleaseSession(base_pb2.ReleaseSessionRequest(**first), metadata=metadata)


def release_when_done(session: "ConnectSession") -> None:
    """Have a call's answers released all at once, when the last one is here.

    pyspark releases each of them by a call of its own besides, which costs client and server a
    tenth of a small load. A server keeps at most 10 MB of answers that were sent
    (``spark.connect.execute.reattachable.observerRetryBufferSize``).
    """
    stub = session.client._stub  # noqa: SLF001
    release = stub.ReleaseExecute

    def release_all_only(request: base_pb2.ReleaseExecuteRequest, **options: Any) -> object:
        if request.HasField("release_until"):
            return base_pb2.ReleaseExecuteResponse()
        return release(request, **options)

    stub.ReleaseExecute = release_all_only


def rows_of(spark: "SparkSession", statement: str) -> list[Any]:
    """Run a statement and give its rows, each with ``row["name"]``.

    The server runs a command (ALTER, CALL, SHOW, DELETE) when it gets it and answers with the rows.
    ``collect`` would send these back to be evaluated as a query, which takes longer than many a
    command.
    """
    frame = spark.sql(statement)
    connect_frame = cast("DataFrame", frame)
    relation = connect_frame._plan.to_proto(connect_frame.sparkSession.client).root  # noqa: SLF001
    if relation.WhichOneof("rel_type") != "local_relation":
        return frame.collect()
    if not relation.local_relation.data:
        return []
    with pa.ipc.open_stream(relation.local_relation.data) as answer:
        return answer.read_all().to_pylist()


def reason_of(error: BaseException) -> tuple[str, str] | None:
    """What is wrong with the server, and what to do; None if the error is not the server's absence.

    Both parts are the ends of messages that begin with the server's address.
    """
    code = _status_code(error)
    if code is grpc.StatusCode.UNAVAILABLE and "WRONG_VERSION_NUMBER" in str(error):
        return (
            "does not use TLS, and SPARK_REMOTE asks for it by ;token= or ;use_ssl=true",
            "Leave both out, or put the server behind a proxy that has TLS. Without TLS a token is "
            "sent only to the host 'localhost', for example through a tunnel.",
        )
    if code is grpc.StatusCode.UNAVAILABLE and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return (
            "has a certificate that this machine does not trust",
            "Set GRPC_DEFAULT_SSL_ROOTS_FILE_PATH to a file with the certificate of its authority.",
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return "does not answer any more", "Check that it is running, and try again."
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return (
            "refuses the token",
            "Give the right one: SPARK_REMOTE='sc://HOST:PORT/;token=...', and ;use_ssl=true where "
            "the server has TLS.",
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return "is not a Spark Connect server", "Set SPARK_REMOTE to one."
    if code is grpc.StatusCode.CANCELLED:
        return "has lost its connection, because the session was closed", "Start again."
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    if condition and (
        condition.startswith("INVALID_HANDLE.SESSION_")
        or condition in ("RESPONSE_ALREADY_RECEIVED", "NO_ACTIVE_SESSION")
    ):
        # It was started again in between, or the session was idle for more than an hour.
        return "does not know this session any more", "Start again with a new session."
    return None


def is_broken(error: BaseException) -> bool:
    """Whether the error says that the server's Java process is damaged until it is restarted.

    Java initialises a class once. If that is interrupted, as by the end of a job in which another
    task has failed, every later use of the class fails, in all sessions.
    """
    is_spark = isinstance(error, SparkConnectGrpcException)
    return is_spark and _BROKEN.search(str(error)) is not None


def _status_code(error: BaseException) -> grpc.StatusCode | None:
    if isinstance(error, SparkConnectGrpcException):
        return error.getGrpcStatusCode()
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        return error.code()
    return None
