"""Servers that refuse every request and repeat a text in their answer, as real ones may."""

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc

_HIDDEN = re.compile("(?i)secret|password|token|access[.]?key")


@dataclass
class Talkative:
    """A server on loopback.

    Attributes:
        port: Where it listens.
        text: What it repeats; None for what it was sent.
        conf: The settings of a Spark server, which it gives to a session that asks for them.
    """

    port: int = 0
    text: str | None = None
    conf: dict[str, str] = field(default_factory=dict)


@contextmanager
def store() -> Iterator[Talkative]:
    """A store that answers 403 with the text, or with the key that it was sent, in its message."""
    told = Talkative()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            key = self.headers["Authorization"] or ""
            key = key.partition("Credential=")[2].partition("/")[0]
            text = f"no key {key} here" if told.text is None else told.text
            message = f"<Code>InvalidAccessKeyId</Code><Message>{text}</Message>"
            body = f"<?xml version='1.0'?><Error>{message}</Error>".encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def postgresql() -> Iterator[Talkative]:
    """A PostgreSQL server that refuses each login with the text."""
    told = Talkative()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        told.port = listener.getsockname()[1]

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, suppress(OSError, struct.error):
                        client.settimeout(5)
                        _refuse(client, told.text or "no")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield told
        finally:
            # Closing alone wakes nobody who accepts.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _refuse(client: socket.socket, text: str) -> None:
    while True:
        size, code = struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))
        if size > 8:
            client.recv(size - 8, socket.MSG_WAITALL)
        if code in (80877103, 80877104):  # asks for TLS, or for GSS
            client.sendall(b"N")
            continue
        fields = {"S": "FATAL", "V": "FATAL", "C": "28P01", "M": text.replace("\0", " ")}
        body = b"".join(k.encode() + v.encode() + b"\0" for k, v in fields.items()) + b"\0"
        client.sendall(b"E" + struct.pack("!i", len(body) + 4) + body)
        return


@contextmanager
def spark_connect() -> Iterator[Talkative]:
    """A gRPC server that refuses each call with the text."""
    told = Talkative()

    class Handler(grpc.GenericRpcHandler):
        def service(self, _: Any) -> grpc.RpcMethodHandler:
            def refuse(_request: bytes, context: grpc.ServicerContext) -> bytes:
                # Headers are 8 KiB at most.
                context.abort(grpc.StatusCode.UNAUTHENTICATED, (told.text or "no")[:4000])
                return b""

            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler()])
    told.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield told
    finally:
        server.stop(None).wait()


@contextmanager
def spark_without_catalog() -> Iterator[Talkative]:
    """A Spark Connect server whose sessions have their settings; all other calls fail.

    It hides the settings that Spark's own default takes for secrets, as Spark does.
    """
    from pyspark.sql.connect.proto import ConfigRequest, ConfigResponse, KeyValue

    told = Talkative()

    class Handler(grpc.GenericRpcHandler):
        def service(self, call: Any) -> grpc.RpcMethodHandler:
            def configure(request: bytes, _context: grpc.ServicerContext) -> bytes:
                asked = ConfigRequest.FromString(request)
                told.conf |= {pair.key: pair.value for pair in asked.operation.set.pairs}
                pairs = [
                    KeyValue(key=key, value=value)
                    for key, value in told.conf.items()
                    if not _HIDDEN.search(f"{key} {value}")
                ]
                answer = ConfigResponse(session_id=asked.session_id, pairs=pairs)
                return answer.SerializeToString()

            def fail(_request: bytes, context: grpc.ServicerContext) -> bytes:
                context.abort(grpc.StatusCode.INTERNAL, (told.text or "no")[:4000])
                return b""

            known = call.method.endswith("/Config")
            return grpc.unary_unary_rpc_method_handler(configure if known else fail)

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler()])
    told.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield told
    finally:
        server.stop(None).wait()


SERVERS: dict[str, Callable[[], Any]] = {
    "store": store, "postgresql": postgresql, "spark": spark_connect,
    "spark without catalog": spark_without_catalog,
}  # fmt: skip
