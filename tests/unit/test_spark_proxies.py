"""A Spark server on this machine is reached past every proxy of the environment."""

import socket

import grpc
import pytest

from autoloader_dagster.spark.client import Channel


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_is_asked_for_a_spark_server_on_loopback(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as proxy,
        socket.create_server(("127.0.0.1", 0)) as spark,
    ):
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("grpc_proxy", "https_proxy", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        spark.settimeout(10)
        proxy.settimeout(0.2)
        channel = Channel(f"sc://{host}:{spark.getsockname()[1]}")
        ready = grpc.channel_ready_future(channel.toChannel())
        try:
            spark.accept()[0].close()
            with pytest.raises(TimeoutError):
                proxy.accept()
        finally:
            ready.cancel()
            channel.close()
