"""Servers of a case's own, which it may kill: Spark's, and a PostgreSQL behind a bad network."""

import contextlib
import os
import random
import signal
import socket
import threading

from autoloader_dagster.settings import Settings
from autoloader_dagster.spark.server.embedded import EmbeddedServer


def kill_spark(settings: Settings) -> bool:
    """SIGKILL to the Java process of the embedded server, if it runs."""
    address = EmbeddedServer(settings).status().address
    if address is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(address.pid, signal.SIGKILL)
    return True


class BadNetwork:
    """Forwards TCP to a server and cuts some connections, half of them after the request arrived.

    Args:
        port: Of the server, on loopback.
        seed: Chooses what is cut.
        share: Of the messages to the server, how many have their connection cut.
    """

    def __init__(self, port: int, seed: int, share: float) -> None:
        self._to = port
        self._share = share
        self._rng = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def __enter__(self) -> "BadNetwork":
        """Begin to forward."""
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up on everybody."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            self._cut(connection)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # pyright: ignore
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._to), timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._open |= {client, server}
            self._start(self._forward, client, server, self._share)
            self._start(self._forward, server, client, 0.0)

    def _forward(self, source: socket.socket, sink: socket.socket, share: float) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                cut = self._rng.random() < share
                if not cut or self._rng.random() < 0.5:
                    sink.sendall(data)
                if cut:
                    self.cuts += 1
                    break
        self._cut(source)
        self._cut(sink)

    def _cut(self, connection: socket.socket) -> None:
        self._open.discard(connection)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
