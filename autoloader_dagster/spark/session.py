"""Sessions on a Spark Connect server, whose absence is an error within seconds and never a hang."""

import atexit
import logging
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar, cast

from autoloader_dagster.errors import (
    SparkBroken,
    SparkSetupError,
    SparkUnavailable,
    UsageError,
)
from autoloader_dagster.settings import Settings, without_parameters
from autoloader_dagster.spark.server.address import ServerAddress, answers
from autoloader_dagster.spark.server.conf import read_conf
from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.spark.server.jars import Progress
from autoloader_dagster.spark.session_conf import settle

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    from autoloader_dagster.spark.client import Channel

T = TypeVar("T")

PROBE_SECONDS = 5
# With the probe ten seconds at most. The embedded server's first session loads classes, on a
# machine that may be busy with other starts.
REMOTE_ANSWER_SECONDS = 5
EMBEDDED_ANSWER_SECONDS = 30
RELEASE_SECONDS = 5
# Its initialisation takes a while, and a job that is cancelled meanwhile would leave it unusable.
_FRAGILE_CLASS = "org.apache.iceberg.formats.FormatModelRegistry"
_SILENT = logging.CRITICAL + 1


_restarted: ContextVar[bool] = ContextVar("restarted", default=False)


@contextmanager
def after_a_restart() -> Iterator[None]:
    """Within, an error that would mean a broken server is taken for what it was raised by.

    The server was restarted because of it, and here it is again. Restarting once more would not
    help, and would keep what is not concerned from being loaded.
    """
    _restarted.set(True)
    try:
        yield
    finally:
        # Not by a token: a generator may be closed in another context than it was begun in.
        _restarted.set(False)


class SparkConnect:
    """Opens sessions on the server that the settings name: a cluster's, or the embedded one.

    Each session is a fresh one, with settings and temporary views of its own, and may be used from
    several threads. Its settings are those of ``session_conf``, whatever the server's are.
    """

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        self._settings = settings
        self._progress = progress

    @property
    def server(self) -> str:
        """The server's name in messages, for people; it holds no token."""
        remote = self._settings.spark_remote
        if remote is None:
            return f"the embedded Spark server of {self._settings.home}"
        return f"the Spark Connect server {without_parameters(remote)} (SPARK_REMOTE)"

    @contextmanager
    def session(self) -> Iterator["SparkSession"]:
        """Have a session for the block; what it holds on the server is freed at the end.

        An error that means that the server is gone leaves the block as ``SparkUnavailable``. An
        embedded server that is broken is stopped, so that the next session starts another one.

        Raises:
            SparkUnavailable: The server does not answer, or refuses the token.
            SparkBroken: The server must be restarted.
            SparkSetupError: The embedded server cannot be started, or a server does not take the
                settings that loading depends on.
            UsageError: ``SPARK_REMOTE`` is not an address.
        """
        with ExitStack() as stack:
            if self._settings.spark_remote is not None:
                if self._settings.spark_conf is not None:
                    # The server may have been started with it; a broken one is of no use here.
                    with suppress(SparkSetupError):
                        read_conf(self._settings.spark_conf)
                channel = self._remote_channel(self._settings.spark_remote)
                stack.enter_context(self.errors())
                yield stack.enter_context(
                    _open_session(channel, self.server, REMOTE_ANSWER_SECONDS)
                )
                return
            from autoloader_dagster.spark.client import EmbeddedChannel

            server = EmbeddedServer(self._settings, self._progress)
            address = stack.enter_context(server.in_use())
            stack.enter_context(_stopping_if_broken(server, address))
            stack.enter_context(self.errors())
            channel = EmbeddedChannel(address.url, address.token)
            session = stack.enter_context(
                _open_session(channel, self.server, EMBEDDED_ANSWER_SECONDS)
            )
            server.warm_up(address, lambda: _initialise_class(session))
            yield session

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn an error in the block that means a server that is gone into ``SparkUnavailable``."""
        try:
            yield
        except Exception as error:
            translated = translate(error, self.server)
            if translated is None:
                raise
            raise translated from error

    def _remote_channel(self, url: str) -> "Channel":
        from autoloader_dagster.spark.client import Channel

        try:
            channel = Channel(url)
        except ValueError as error:
            raise UsageError(
                f"SPARK_REMOTE is not a Spark Connect address: {error}", "Set it to sc://HOST:PORT."
            ) from error
        fault = answers(*channel.address, timeout=PROBE_SECONDS)
        if fault is not None:
            raise SparkUnavailable(
                f"{self.server} cannot be reached: {fault}",
                "Start it, or correct SPARK_REMOTE, or unset it to use the embedded server.",
            ) from fault
        return channel


@contextmanager
def connect(settings: Settings, progress: Progress | None = None) -> Iterator["SparkSession"]:
    """Have a session for the block; see ``SparkConnect.session``."""
    with SparkConnect(settings, progress).session() as session:
        yield session


def translate(error: BaseException, server: str) -> SparkUnavailable | None:
    """The error as ``SparkUnavailable`` if the server is gone or refuses us; else None.

    Args:
        error: From any call of pyspark.
        server: How to call the server in the message.
    """
    if isinstance(error, SparkUnavailable):
        return error
    if "pyspark" not in sys.modules:
        # Then it comes from no call of pyspark, and importing that only to ask takes a second.
        return None
    from autoloader_dagster.spark.client import is_broken, reason_of

    if is_broken(error) and not _restarted.get():
        return SparkBroken(
            f"{server} is broken: a class of its Java process could not be initialised",
            "The embedded server restarts by itself. Restart a server of your own.",
        )
    reason = reason_of(error)
    return SparkUnavailable(f"{server} {reason[0]}", reason[1]) if reason else None


@contextmanager
def _stopping_if_broken(server: EmbeddedServer, address: ServerAddress) -> Iterator[None]:
    try:
        yield
    except SparkBroken:
        # Not another one that somebody has started since.
        server.stop(only=address)
        raise


def _initialise_class(session: "SparkSession") -> None:
    session.sql(f"select reflect('java.lang.Class', 'forName', '{_FRAGILE_CLASS}')").collect()


@contextmanager
def _open_session(channel: "Channel", server: str, seconds: float) -> Iterator["SparkSession"]:
    from pyspark.logger import PySparkLogger
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    from autoloader_dagster.spark.client import (
        BriefRetries,
        know_secrets_of_errors,
        release_when_done,
        share_class_loader,
    )

    def begin() -> None:
        share_class_loader(session)
        settle(session, server)

    # They would print each error once more, as JSON with the server's stack. pyspark disables the
    # second by itself, but a program that sets up its logging afterwards, as Dagster does, enables
    # what was disabled. A level other than pyspark's own was asked for by somebody, and stays.
    for name in ("SQLQueryContextLogger", "pyspark.sql.connect.logging"):
        logger = PySparkLogger.getLogger(name)
        if logger.level == logging.WARNING:
            logger.setLevel(_SILENT)
    # pyspark.sql.functions looks here for which kind of column to make.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    _without_call_sites()
    session = ConnectSession.builder.channelBuilder(channel).create()
    # pyspark would keep each client to the end of the process, to free models that we never make.
    atexit.unregister(session.client._cleanup_ml_cache)  # noqa: SLF001
    session.client.set_retry_policies([BriefRetries()])
    know_secrets_of_errors(session)
    release_when_done(session)
    try:
        try:
            # The first calls to the server, so they also tell whether the server answers.
            _within(seconds, begin)
        except FutureTimeoutError as error:
            raise SparkUnavailable(
                f"{server} takes connections and does not answer within {seconds:.0f} s",
                "It hangs, or it is overloaded. Look at its log, and start it again.",
            ) from error
        yield cast("SparkSession", session)
    finally:
        _close(session, channel)


def _without_call_sites() -> None:
    """Have pyspark not look for the line of ours that makes each part of a plan.

    That takes longer than making the part, and the paths of our files go along with every plan. It
    asks once in a process, when it makes the first part; without a session it answers no.
    """
    from pyspark.sql.connect.functions import lit
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    # The session of a program that has one decides for that program.
    if ConnectSession.getActiveSession() is None:
        lit(1).isNull()


def _close(session: "ConnectSession", channel: "Channel") -> None:
    from pyspark.sql.connect.client.reattach import ExecutePlanResponseReattachableIterator

    def release() -> None:
        # pyspark frees the results it has read in the background; that comes before the session.
        ExecutePlanResponseReattachableIterator.shutdown()
        session.client.release_session()

    # One try: a dead server has nothing left to free.
    session.client.set_retry_policies([])
    with suppress(Exception):
        _within(RELEASE_SECONDS, release)
    channel.close()
    session.release_session_on_close = False
    session.stop()
    # Python may collect the session at any moment, also while this thread is in pyspark's pool of
    # threads and holds its lock; the session would close its client once more then, and with it
    # that pool, and wait for the lock for ever.
    session.client.close = _nothing


def _nothing() -> None:
    pass


def _within(seconds: float, call: Callable[[], T]) -> T:
    """The call's result; ``FutureTimeoutError`` if it takes longer. Closing the channel ends it."""
    with_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spark-connect")
    try:
        return with_thread.submit(call).result(timeout=seconds)
    finally:
        with_thread.shutdown(wait=False)
