"""The embedded server's settings: ours, and over them those of ``AUTOLOADER_SPARK_CONF``."""

import os
import re
import shlex
from pathlib import Path

from autoloader_dagster.errors import SparkSetupError
from autoloader_dagster.settings import Settings
from autoloader_dagster.spark.conf_secrets import REDACTION_REGEX, remember_secrets
from autoloader_dagster.specs.registry import SOURCES, source_of

PORT = "spark.connect.grpc.binding.port"
TOKEN = "spark.connect.authenticate.token"
DRIVER_MEMORY = "spark.driver.memory"
_CLASS_PATH = "spark.driver.extraClassPath"
_JAVA_OPTIONS = ("spark.driver.defaultJavaOptions", "spark.driver.extraJavaOptions")
_LIBRARY_PATH = "spark.driver.extraLibraryPath"

_GIB = 1 << 30
_SEPARATOR = re.compile(r"\s*[=:]\s*|\s+")
_ESCAPE = re.compile(r"\\(.)")
_MEMORY = re.compile(r"(\d+)([kmgt]?)b?")


def server_conf(settings: Settings, work_dir: Path) -> dict[str, str]:
    """Every setting of the server; ``work_dir`` gets what Spark writes beside the tables.

    Raises:
        SparkSetupError: ``AUTOLOADER_SPARK_CONF`` cannot be read.
    """
    conf = {
        "spark.master": "local[*]",
        "spark.app.name": "autoloader",
        # Loopback only, for everything that listens.
        "spark.connect.grpc.binding.address": "127.0.0.1",
        PORT: "0",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        # The catalog 'lake'. Other processes read the same file, so wait for a lock (milliseconds).
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "jdbc",
        "spark.sql.catalog.lake.uri": f"jdbc:sqlite:{settings.catalog_db}",
        "spark.sql.catalog.lake.jdbc.schema-version": "V1",
        "spark.sql.catalog.lake.jdbc.busy_timeout": "30000",
        "spark.sql.catalog.lake.warehouse": warehouse(settings),
        "spark.sql.catalogImplementation": "in-memory",
        **{
            f"spark.hadoop.{key}": value
            for kind in SOURCES
            for key, value in source_of(kind).hadoop_conf.items()
        },
        # Spark's own default leaves the credential of a REST catalog in its texts.
        "spark.redaction.regex": REDACTION_REGEX,
        # What a day is must not depend on the machine.
        "spark.sql.session.timeZone": "UTC",
        # One machine: 200 shuffle partitions cost 2.5 s a load. Many small files: a listing job
        # with a task for each path costs more than the reading; small files go into few tasks.
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
        "spark.sql.files.openCostInBytes": str(64 << 10),
        # Spark reads a comma as the end of a folder. Its working folder is work_dir.
        "spark.local.dir": "local",
        "spark.sql.warehouse.dir": str(work_dir / "spark-warehouse"),
    }
    if settings.spark_conf:
        conf.update(read_conf(settings.spark_conf))
    return conf


def warehouse(settings: Settings) -> str:
    """The warehouse as Spark gets it: a URL as it is, a folder as an absolute path."""
    if re.match(r"[a-z][a-z0-9+.-]*:", settings.warehouse):
        return settings.warehouse
    return str(Path(settings.warehouse).expanduser().absolute())


def read_conf(path: Path) -> dict[str, str]:
    """Read a file in the manner of spark-defaults.conf: one 'key value' or 'key=value' a line.

    Its secrets are struck out of all texts of this process from then on.

    Raises:
        SparkSetupError: The file cannot be read, or a line has a key and no value.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SparkSetupError(
            f"the Spark settings {path} cannot be read: {error}",
            "Correct the file, or unset AUTOLOADER_SPARK_CONF.",
        ) from error
    conf = {}
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line or line[0] in "#!":
            continue
        key, *rest = _SEPARATOR.split(line, maxsplit=1)
        if not rest:
            # Another word may be the end of a secret that was broken into two lines.
            shown = f"'{key}'" if key.startswith("spark.") else "the only word of the line"
            raise SparkSetupError(
                f"{path}:{number}  {shown} has no value",
                "Write one 'key value' a line, as in spark-defaults.conf.",
            )
        conf[key] = _ESCAPE.sub(r"\1", rest[0])
    remember_secrets(conf)
    return conf


def write_conf(path: Path, conf: dict[str, str]) -> None:
    """Write the file that Spark starts with, for its owner's eyes: it may hold secrets."""
    text = "".join(f"{key}={_escaped(value)}\n" for key, value in conf.items())
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    # Spark reads UTF-8, whatever the locale is.
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _escaped(value: str) -> str:
    # Java reads the file: a backslash escapes, and one before the first blank keeps it.
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n")
    return f"\\{escaped}" if escaped.startswith(" ") else escaped


def heap(conf: dict[str, str]) -> str:
    """The server's memory as ``-Xmx`` takes it: as set, else a quarter of the machine, 1 to 4 GiB.

    Raises:
        SparkSetupError: ``spark.driver.memory`` is not a size.
    """
    if setting := conf.get(DRIVER_MEMORY):
        match = _MEMORY.fullmatch(setting.strip().lower())
        if not match:
            raise SparkSetupError(
                f"{DRIVER_MEMORY} is '{setting}', which is not a size", "Write it like 4g or 512m."
            )
        # Without a unit Spark means MiB.
        return match[1] + (match[2] or "m")
    return f"{min(4 * _GIB, max(_GIB, _machine_memory() // 4)) >> 20}m"


def java_options(conf: dict[str, str]) -> list[str]:
    """The options for Java among the settings, which Spark cannot apply to a Java that runs.

    Raises:
        SparkSetupError: A quote is not closed, or a path does not exist.
    """
    options: list[str] = []
    for key in _JAVA_OPTIONS:
        try:
            options += shlex.split(conf.get(key, ""))
        except ValueError as error:
            raise SparkSetupError(
                f"{key} cannot be taken apart into options: {error}", "Close its quotes."
            ) from error
    if paths := _paths(conf, _LIBRARY_PATH):
        options.append(f"-Djava.library.path={os.pathsep.join(paths)}")
    return options


def class_path(conf: dict[str, str]) -> list[str]:
    """Return the paths that come before Spark's own jars, such as a catalog's JDBC driver.

    Raises:
        SparkSetupError: A path does not exist.
    """
    return _paths(conf, _CLASS_PATH)


def _paths(conf: dict[str, str], key: str) -> list[str]:
    paths = [path for path in conf.get(key, "").split(os.pathsep) if path]
    for path in paths:
        # Java ignores a path that does not exist, and runs in a folder of its own.
        place = Path(path.removesuffix("*"))
        if not place.is_absolute() or not place.exists():
            raise SparkSetupError(
                f"{key} has '{path}', which is not the absolute path of a file or folder",
                "Correct the path in the file that AUTOLOADER_SPARK_CONF names.",
            )
    return paths


def _machine_memory() -> int:
    """Bytes of the machine, or of the container where that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    for limit in map(Path, limits):
        if limit.is_file() and (text := limit.read_text().strip()).isdigit():
            memory = min(memory, int(text))
    return memory
