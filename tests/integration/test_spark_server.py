"""The embedded server's life, and sessions on it and on others, with real Java and real Spark."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import grpc
import psutil
import pytest

from autoloader_dagster.errors import SparkSetupError, SparkUnavailable, UsageError
from autoloader_dagster.settings import Settings
from autoloader_dagster.spark import session as session_module
from autoloader_dagster.spark.server.address import ServerAddress, is_process
from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.spark.server.locks import is_locked
from autoloader_dagster.spark.session import SparkConnect, connect
from tests.fixtures.s3 import S3Bucket
from tests.fixtures.spark import cheap_conf, settings_for

START_AND_USE = """
import json, os, sys
from dataclasses import asdict
from autoloader_dagster.settings import load_settings
from autoloader_dagster.spark.server.embedded import EmbeddedServer
from autoloader_dagster.spark.session import connect

settings = load_settings()
with connect(settings) as spark:
    spark.sql("SHOW NAMESPACES IN lake").collect()
    print(json.dumps(asdict(EmbeddedServer(settings).ensure())))
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., Settings]]:
    """Makes the settings of a server that belongs to this test alone; at the end it is stopped."""
    made = []

    def make(name: str = "home", cheap: bool = True, **environ: str) -> Settings:
        if cheap:
            environ.setdefault("AUTOLOADER_SPARK_CONF", str(cheap_conf(tmp_path)))
        made.append(settings_for(tmp_path / name, **environ))
        return made[-1]

    yield make
    for settings in made:
        EmbeddedServer(settings).stop()


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a server that the tests of one life share, as a start takes long.

    Each test begins with ``ensure``, so it runs alone as well.
    """
    root = tmp_path_factory.mktemp("living")
    conf = cheap_conf(root)
    with conf.open("a") as more:
        # A stream of answers ends after two minutes, here after one second.
        more.write("spark.connect.execute.reattachable.senderMaxStreamDuration 1s\n")
    settings = settings_for(root / "home", AUTOLOADER_SPARK_CONF=str(conf))
    yield settings
    EmbeddedServer(settings).stop()


def await_that(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.05)


def java_is_gone(address: ServerAddress) -> bool:
    return not is_process(address.pid, address.mark)


def remote_url(address: ServerAddress, token: str) -> str:
    return f"sc://localhost:{address.port}/;token={token}"


# --- starting -----------------------------------------------------------------------------------


def test_processes_that_start_at_once_share_one_server_that_outlives_them(
    living: Settings, tmp_path: Path
) -> None:
    settings = living
    EmbeddedServer(settings).stop()
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    # They start the server with the settings of production, and are found by a relative path.
    (tmp_path / "python").symlink_to(sys.prefix)
    path = os.pathsep.join(["../python/bin", os.environ["PATH"]])
    env = {**os.environ, "AUTOLOADER_HOME": str(settings.home), "PATH": path}
    starters = [
        # Had the server inherited the pipes, communicate() would wait for it.
        subprocess.Popen(
            ["python", "-W", "error", "-c", START_AND_USE],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [starter.communicate(timeout=120) for starter in starters]
    assert [starter.returncode for starter in starters] == [0, 0], answers
    assert [err for _, err in answers] == ["", ""]
    first, second = (json.loads(out) for out, _ in answers)
    assert first == second
    assert EmbeddedServer(settings).ensure() == ServerAddress(**first)
    assert list(cwd.iterdir()) == []


def test_only_the_owner_can_read_what_is_secret(spark_settings: Settings) -> None:
    address = EmbeddedServer(spark_settings).ensure()
    folder = spark_settings.spark_dir
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert modes["server.json"] == modes["spark.conf"] == 0o600
    # Spark itself writes the log, and an outage of the catalog shows its address with the password.
    logs = list((folder / "logs").iterdir())
    assert [path for path in logs if path.stat().st_mode & 0o077] == []
    assert folder / "logs" / "server.log" in logs
    assert (folder / "logs").stat().st_mode & 0o777 == 0o700
    command = subprocess.run(
        ["ps", "-ww", "-e", "-o", "args="], capture_output=True, text=True, check=True
    ).stdout
    assert address.mark in command
    assert address.token not in command
    assert address.token not in repr(address)


def test_a_port_that_is_fixed_and_taken_is_named_and_options_of_java_are_the_owners(
    own: Callable[..., Settings], tmp_path: Path
) -> None:
    conf = tmp_path / "spark.conf"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # Java refuses two garbage collectors.
        chosen = ["-XX:+UseSerialGC", "-Da.setting=1"]
        conf.write_text(
            f"spark.connect.grpc.binding.port {port}\n"
            f"spark.driver.extraJavaOptions {' '.join(chosen)}\n"
        )
        settings = own(AUTOLOADER_SPARK_CONF=str(conf))
        with pytest.raises(SparkSetupError, match=f"cannot have port {port}") as caught:
            EmbeddedServer(settings).ensure()
    assert str(conf) in caught.value.hint
    # Now it is free, and it is the one that is used.
    address = EmbeddedServer(settings).ensure()
    assert address.port == port
    assert _chosen_options(address) == chosen


def test_a_server_that_ends_at_once_shows_the_end_of_its_log(
    own: Callable[..., Settings], tmp_path: Path
) -> None:
    conf = tmp_path / "spark.conf"
    conf.write_text("spark.master nonsense\n")
    settings = own(AUTOLOADER_SPARK_CONF=str(conf))
    with pytest.raises(SparkSetupError, match="Master must either be") as caught:
        EmbeddedServer(settings).ensure()
    log = settings.spark_dir / "logs" / "server.log"
    assert str(log) in caught.value.hint
    assert "\tat " not in caught.value.what
    assert EmbeddedServer(settings).status().state == "stopped"


def test_a_port_that_is_no_port_is_an_error(own: Callable[..., Settings], tmp_path: Path) -> None:
    conf = tmp_path / "spark.conf"
    conf.write_text("spark.connect.grpc.binding.port auto\n")
    with pytest.raises(SparkSetupError, match="'auto', which is not a port"):
        EmbeddedServer(own(AUTOLOADER_SPARK_CONF=str(conf))).ensure()


def test_a_home_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SparkSetupError, match="cannot be made"):
        EmbeddedServer(settings_for(tmp_path / "file" / "home")).ensure()


def test_a_damaged_catalog_is_named(own: Callable[..., Settings]) -> None:
    settings = own("home")
    settings.home.mkdir(exist_ok=True)
    settings.catalog_db.write_bytes(b"\xff" * 8192)
    with pytest.raises(SparkSetupError, match=f"{settings.catalog_db}, is damaged") as caught:
        EmbeddedServer(settings).ensure()
    assert "restore the file from a backup" in caught.value.hint


def test_the_java_of_the_wheel_serves_under_the_c_locale(
    own: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_old = tmp_path / "bin" / "java"
    too_old.parent.mkdir()
    too_old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    too_old.chmod(0o755)
    # Not an empty PATH: Hadoop runs chmod.
    monkeypatch.setenv("PATH", f"{too_old.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("LC_ALL", "C")
    file = tmp_path / "Zürich 1 é.csv"
    file.write_text("a\n1\n2\n")
    settings = own(cheap=False)
    with connect(settings) as spark:
        spark.sql("CREATE NAMESPACE lake.n")
        spark.read.csv(str(file), header=True).writeTo("lake.n.t").using("iceberg").create()
        assert spark.table("lake.n.t").count() == 2
        asked = spark.sql("SELECT reflect('java.lang.System', 'getProperty', 'java.home')")
        assert asked.collect()[0][0].endswith("java-runtime")


def test_the_garbage_collector_is_the_one_that_gets_most_done(living: Settings) -> None:
    assert _chosen_options(EmbeddedServer(living).ensure()) == ["-XX:+UseParallelGC"]


def _chosen_options(address: ServerAddress) -> list[str]:
    command = psutil.Process(address.pid).cmdline()
    return [word for word in command if "GC" in word or "a.setting" in word]


# --- stopping -----------------------------------------------------------------------------------


def test_an_idle_server_stops_but_not_while_a_session_is_open_in_a_home_of_any_name(
    own: Callable[..., Settings], tmp_path: Path
) -> None:
    cheap_conf(tmp_path)
    before = {*tmp_path.iterdir()}
    settings = own("Zoë's 100%d, a;b #1 ${x} %20", AUTOLOADER_SPARK_IDLE_SECONDS="2")
    server = EmbeddedServer(settings)
    with connect(settings) as spark:
        address = server.ensure()
        assert server.status().in_use
        # The time itself is what is tested here: more than twice the idle time.
        time.sleep(5)
        spark.sql("CREATE NAMESPACE lake.n")
        spark.range(3).repartition(2).writeTo("lake.n.t").using("iceberg").create()
    assert not server.status().in_use
    await_that(lambda: server.status().state == "stopped")
    assert java_is_gone(address)
    assert not (settings.spark_dir / "server.json").exists()
    log = server.status().log.read_text()
    assert "Spark Connect server started" in log
    assert "nobody had a session for 2 s" in log
    with connect(settings) as spark:
        assert spark.table("lake.n.t").count() == 3
        assert server.ensure().pid != address.pid
    # Its log and its tables are in it, and nothing is beside it.
    assert {*tmp_path.iterdir()} - before == {settings.home}


# --- dying ----------------------------------------------------------------------------------------


def test_a_killed_server_fails_the_call_in_seconds_and_the_next_use_starts_anew(
    living: Settings,
) -> None:
    settings = living
    server = EmbeddedServer(settings)
    killed_at: list[float] = []

    def kill() -> None:
        killed_at.append(time.monotonic())
        os.kill(server.ensure().pid, signal.SIGKILL)

    killer = threading.Timer(3, kill)

    def use() -> None:
        with connect(settings) as spark:
            killer.start()
            spark.sql("SELECT reflect('java.lang.Thread', 'sleep', 60000L)").collect()

    address = server.ensure()
    with pytest.raises(
        SparkUnavailable, match=r"embedded Spark server of .* does not answer"
    ) as caught:
        use()
    # With the closing of the session.
    assert time.monotonic() - killed_at[0] < 10
    assert caught.value.hint
    killer.join()
    with connect(settings) as spark:
        assert spark.range(3).count() == 3
    assert server.ensure().pid != address.pid


def test_java_does_not_outlive_a_killed_supervisor(living: Settings) -> None:
    settings = living
    server = EmbeddedServer(settings)
    address = server.ensure()
    os.kill(address.supervisor_pid, signal.SIGKILL)
    await_that(lambda: not is_locked(settings.spark_dir / "supervisor.lock"))
    assert server.status().state == "stopped"
    again = server.ensure()
    assert java_is_gone(address)
    assert again.pid != address.pid
    with connect(settings) as spark:
        assert spark.range(3).count() == 3


def test_a_call_longer_than_the_servers_streams_is_not_cut(living: Settings) -> None:
    # The client asks for the rest each time, and none of that may count as a failure.
    with connect(living) as spark:
        started = time.monotonic()
        spark.sql("SELECT reflect('java.lang.Thread', 'sleep', 15000L)").collect()
        assert time.monotonic() - started >= 15


@pytest.mark.parametrize("ours", [True, False])
def test_a_left_over_process_is_ended_only_if_it_bears_our_mark(tmp_path: Path, ours: bool) -> None:
    # As on macOS, where Java does not end with its supervisor; or after the pid was used again.
    settings = settings_for(tmp_path / "home")
    mark = "autoloader.server=of-this-test"
    command = [sys.executable, "-c", "input()", mark if ours else "other"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        # The command line is Python's own only once it has been executed.
        await_that(lambda: is_process(process.pid, command[-1]))
        settings.spark_dir.mkdir(parents=True)
        address = ServerAddress("sc://127.0.0.1:9", process.pid, 9, "t", process.pid, mark)
        (settings.spark_dir / "server.json").write_text(json.dumps(asdict(address)))
        assert EmbeddedServer(settings).stop() is False
        assert not (settings.spark_dir / "server.json").exists()
        if ours:
            assert process.wait(timeout=10) == -signal.SIGKILL
        else:
            assert process.poll() is None
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_a_server_that_hangs_is_an_error_and_can_be_stopped(
    living: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = living
    server = EmbeddedServer(settings)
    address = server.ensure()
    os.kill(address.pid, signal.SIGSTOP)
    monkeypatch.setattr(session_module, "EMBEDDED_ANSWER_SECONDS", 2)
    monkeypatch.setattr(session_module, "RELEASE_SECONDS", 1)
    started = time.monotonic()
    with (
        pytest.raises(SparkUnavailable, match="does not answer within 2 s"),
        connect(settings),
    ):
        pytest.fail("there is a session on a server that hangs")
    assert time.monotonic() - started < 10
    assert server.stop() is True
    assert java_is_gone(address)


def test_stop_ends_java_and_a_second_stop_finds_nothing(living: Settings) -> None:
    server = EmbeddedServer(living)
    server.stop()
    assert server.status().state == "stopped"
    assert server.stop() is False
    address = server.start()
    assert server.status().state == "running"
    assert server.status().address == address
    assert server.stop() is True
    assert java_is_gone(address)
    assert server.status().state == "stopped"
    assert server.stop() is False


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_serves_several_threads_and_is_fresh(spark_settings: Settings) -> None:
    with connect(spark_settings) as spark, ThreadPoolExecutor(4) as pool:
        spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
        counts = list(pool.map(lambda n: spark.range(n).count(), range(20)))
        assert counts == list(range(20))
        with connect(spark_settings) as other:
            assert other.conf.get("spark.sql.session.timeZone") == "UTC"
        # The end of one session leaves the others be.
        assert spark.range(3).count() == 3
    assert spark.client.is_closed


def test_a_session_that_has_ended_can_be_collected_at_any_moment(spark_settings: Settings) -> None:
    from pyspark.sql.connect.client.reattach import ExecutePlanResponseReattachableIterator

    with connect(spark_settings) as ended:
        assert ended.range(3).count() == 3
    with connect(spark_settings) as spark:
        assert spark.range(3).count() == 3
        pool = ExecutePlanResponseReattachableIterator._get_or_create_release_thread_pool()
        collector = threading.Thread(target=ended.__del__, daemon=True)
        # As where a thread is about to hand in a result's release.
        with pool._shutdown_lock:
            collector.start()
            collector.join(timeout=10)
            assert not collector.is_alive()
        assert spark.range(3).count() == 3


def test_sessions_open_and_close_beside_each_other(spark_settings: Settings) -> None:
    def use(n: int) -> int:
        with connect(spark_settings) as spark:
            return spark.range(n).count()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(use, range(12))) == list(range(12))


def test_an_error_of_sparks_own_stays_what_it_is(spark_settings: Settings) -> None:
    from pyspark.errors import AnalysisException

    with pytest.raises(AnalysisException, match="TABLE_OR_VIEW_NOT_FOUND"):  # noqa: SIM117
        with connect(spark_settings) as spark:
            spark.table("lake.no.such_table").collect()


def test_the_jars_on_the_class_path_read_s3(spark_settings: Settings, s3_bucket: S3Bucket) -> None:
    s3_bucket.put("a/one.csv", b"x\n1\n2\n")
    options = {
        "fs.s3a.endpoint": s3_bucket.server.endpoint,
        "fs.s3a.endpoint.region": "us-east-1",
        "fs.s3a.path.style.access": "true",
        "fs.s3a.access.key": "tests",
        "fs.s3a.secret.key": "tests",
    }
    with connect(spark_settings) as spark:
        # s3:// is what tables are written to, s3a:// what files are read from.
        for scheme in ("s3a", "s3"):
            path = f"{scheme}://{s3_bucket.name}/a/one.csv"
            assert spark.read.options(**options).csv(path, header=True).count() == 2


def test_a_class_on_the_users_class_path_is_loaded(spark_settings: Settings) -> None:
    # Java's DriverManager ignores spark.jars. The product's own jars do not contain this driver.
    with connect(spark_settings) as spark:
        found = spark.sql("SELECT reflect('java.lang.Class', 'forName', 'org.postgresql.Driver')")
        assert found.collect()[0][0] == "class org.postgresql.Driver"


def test_the_proxy_of_the_environment_is_not_asked_for_the_embedded_server(
    spark_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with connect(spark_settings) as spark:
        assert spark.range(3).count() == 3


# --- a server of one's own (SPARK_REMOTE) ---------------------------------------------------------


def test_a_remote_server_is_used_with_its_token(spark_settings: Settings, tmp_path: Path) -> None:
    address = EmbeddedServer(spark_settings).ensure()
    settings = settings_for(tmp_path / "home", SPARK_REMOTE=remote_url(address, address.token))
    with connect(settings) as spark:
        assert spark.range(3).count() == 3
    # Nothing of an embedded one was made.
    assert not settings.home.exists()


@pytest.mark.parametrize("token", ["wrong", None])
def test_a_wrong_or_missing_token_is_refused(
    spark_settings: Settings, tmp_path: Path, token: str | None
) -> None:
    address = EmbeddedServer(spark_settings).ensure()
    url = remote_url(address, token) if token else f"sc://localhost:{address.port}"
    connection = SparkConnect(settings_for(tmp_path, SPARK_REMOTE=url))
    with (
        pytest.raises(SparkUnavailable, match="refuses the token") as caught,
        connection.session(),
    ):
        pytest.fail("there is a session without the token")
    assert "wrong" not in str(caught.value)


def test_a_dead_port_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = settings_for(tmp_path, SPARK_REMOTE=f"sc://127.0.0.1:{port}")
    started = time.monotonic()
    with (
        pytest.raises(SparkUnavailable, match=f"sc://127.0.0.1:{port} .*refused") as caught,
        connect(settings),
    ):
        pytest.fail("there is a session on a dead port")
    assert time.monotonic() - started < 10
    assert "unset it to use the embedded server" in caught.value.hint


def test_something_that_takes_connections_and_says_nothing_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"sc://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with (
            pytest.raises(SparkUnavailable, match="not answer"),
            connect(settings_for(tmp_path, SPARK_REMOTE=url)),
        ):
            pytest.fail("there is a session on a silent port")
        assert time.monotonic() - started < 12


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sc://host:1/path", "SPARK_REMOTE is not a Spark Connect address"),
        ("sc://host:port", "SPARK_REMOTE is not a Spark Connect address"),
        # A parameter without a value may be the rest of one with a raw semicolon.
        ("sc://host:1/;token", r"SPARK_REMOTE \(sc://host:1\) has a ; in its parameter token"),
    ],
)
def test_an_address_that_is_none_is_wrong_usage(tmp_path: Path, url: str, message: str) -> None:
    with (
        pytest.raises(UsageError, match=message),
        connect(settings_for(tmp_path, SPARK_REMOTE=url)),
    ):
        pytest.fail("there is a session on no address")


# --- imports --------------------------------------------------------------------------------------


def test_heavy_packages_are_imported_only_when_a_session_is_opened() -> None:
    code = (
        "import sys, autoloader_dagster.spark.session, autoloader_dagster.spark.server.supervisor\n"
        "heavy = {'pyspark', 'dagster', 'grpc', 'pandas', 'requests', 'jgo', 'sqlalchemy'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_token_for_a_server_without_tls_is_named(tmp_path: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    settings = settings_for(tmp_path, SPARK_REMOTE=f"sc://127.0.0.1:{port}/;token=abc")
    try:
        with pytest.raises(SparkUnavailable) as caught, connect(settings):
            pass
    finally:
        server.stop(None).wait(10)
    assert "does not use TLS, and SPARK_REMOTE asks for it by ;token=" in caught.value.what
    assert "abc" not in str(caught.value)
