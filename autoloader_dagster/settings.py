"""The environment, read once into a frozen object. Nothing else reads ``os.environ`` for settings.

Credentials are the exception: a connection names the variable it wants (``env:NAME``) and
``specs.connections`` reads just that one.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from autoloader_dagster.errors import UsageError
from autoloader_dagster.redaction import remember

_SPECS_DIR = "ingestion_specs"
_NO_SECRETS = ("use_ssl", "user_id", "user_agent", "session_id")
# An address that no user and no path is in: what follows its server is parameters.
_PLAIN_REMOTE = re.compile(
    r"(?:[a-z+]*://)?(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{1,5})?/?(?:;[\w-]+=[^;]*)*;?"
)
_SCHEME = re.compile(r"(?:[A-Za-z+]*:)?//")
READ_NAMES_AS_UTF8 = "Set PYTHONUTF8=1, or a locale that ends with UTF-8."
_ENCODED = {"/": "%2F", "?": "%3F", "#": "%23", "=": "%3D", ";": "%3B"}


@dataclass(frozen=True)
class Settings:
    """Where things are.

    Attributes:
        home: Everything written at run time goes below it (``AUTOLOADER_HOME``).
        specs_dir: The ingestion specs (``AUTOLOADER_SPECS_DIR``).
        database_url: SQLAlchemy URL of the state database (``AUTOLOADER_DATABASE_URL``).
        warehouse: Where the embedded catalog keeps its tables (``AUTOLOADER_WAREHOUSE``).
        spark_remote: ``sc://`` URL of a Spark Connect server; None for the embedded one.
        spark_conf: A file of Spark settings for the embedded server (``AUTOLOADER_SPARK_CONF``).
        cache: What is downloaded once for the user and kept: the jars.
        spark_idle_seconds: The embedded server stops after this long without a session
            (``AUTOLOADER_SPARK_IDLE_SECONDS``).
        staging: Where the copies go that Spark reads, if not below the home: a folder, or an
            address on an object store (``AUTOLOADER_STAGING``).
        staging_connection: A connection of the specs' own ``_connections.yaml`` for that address;
            None for the SDK's default credentials (``AUTOLOADER_STAGING_CONNECTION``).
    """

    home: Path
    specs_dir: Path
    database_url: str
    warehouse: str
    spark_remote: str | None
    spark_conf: Path | None
    cache: Path
    spark_idle_seconds: float = 900
    staging: str | None = None
    staging_connection: str | None = None

    @property
    def catalog_db(self) -> Path:
        """The embedded Iceberg JDBC catalog."""
        return self.home / "catalog.db"

    @property
    def spark_dir(self) -> Path:
        """Work folder, logs and address file of the embedded Spark Connect server."""
        return self.home / "spark"

    @property
    def staging_dir(self) -> Path:
        """Copies of the files that Spark cannot read in place.

        Spark must see this folder, unless ``staging_url`` is set; then each copy is only made here.
        """
        if self.staging is None or self.staging_url is not None:
            return self.home / "staging"
        return Path(self.staging)

    @property
    def staging_url(self) -> str | None:
        """The address on an object store from which Spark reads the copies."""
        return self.staging if self.staging and "://" in self.staging else None

    @property
    def dagster_home(self) -> Path:
        """Dagster's own storage when ``DAGSTER_HOME`` is not set."""
        return self.home / "dagster"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment; relative paths are relative to the working folder.

    Raises:
        UsageError: A setting has an impossible value.
    """
    env = os.environ if environ is None else environ
    home = _path("AUTOLOADER_HOME", env.get("AUTOLOADER_HOME") or ".autoloader")
    # SQLite's addresses end at a ?: the state and the catalog would be somewhere else. Hadoop takes
    # a folder with a : for an address, and so Spark could read no copy of a file.
    check_path("AUTOLOADER_HOME", home, "?:")
    remote = env.get("SPARK_REMOTE") or None
    if remote:
        check_remote(remote)
    conf = env.get("AUTOLOADER_SPARK_CONF")
    conf_path = _path("AUTOLOADER_SPARK_CONF", conf) if conf else None
    if conf_path and not conf_path.is_file():
        raise UsageError(
            f"AUTOLOADER_SPARK_CONF names {conf_path}, and there is no such file",
            "Create it (one 'key value' a line, as in spark-defaults.conf) or unset the variable.",
        )
    idle = env.get("AUTOLOADER_SPARK_IDLE_SECONDS") or "900"
    if not re.fullmatch(r"\d+(\.\d+)?", idle) or not float(idle):
        raise UsageError(
            f"AUTOLOADER_SPARK_IDLE_SECONDS is '{idle}', which is not a number of seconds",
            "Set it to a number above 0, or unset it for 900.",
        )
    warehouse = env.get("AUTOLOADER_WAREHOUSE") or str(home / "warehouse")
    _check_encoding("AUTOLOADER_WAREHOUSE", warehouse)
    return Settings(
        home=home,
        specs_dir=_path("AUTOLOADER_SPECS_DIR", env.get("AUTOLOADER_SPECS_DIR") or _SPECS_DIR),
        database_url=env.get("AUTOLOADER_DATABASE_URL") or f"sqlite:///{home / 'state.db'}",
        warehouse=warehouse,
        spark_remote=remote,
        spark_conf=conf_path,
        cache=_cache(env, home),
        spark_idle_seconds=float(idle),
        staging=_staging(env.get("AUTOLOADER_STAGING")),
        staging_connection=env.get("AUTOLOADER_STAGING_CONNECTION") or None,
    )


def _staging(value: str | None) -> str | None:
    if not value:
        return None
    if "://" in value:
        return value.rstrip("/") + "/"
    path = _path("AUTOLOADER_STAGING", value)
    # Hadoop takes a folder with a : for an address.
    check_path("AUTOLOADER_STAGING", path, ":")
    return str(path)


def check_path(variable: str, path: Path, refused: str) -> None:
    """Refuse a path that one of the programs which get it would take for another one.

    Raises:
        UsageError: One of the refused characters is in it.
    """
    if found := next((character for character in refused if character in str(path)), None):
        raise UsageError(
            f"{variable} is {path}, and its path contains a {found}",
            f"Set it to a folder without {found} in its path.",
        )


def misread(path: str) -> str | None:
    """Why this process may mean another file than others do by this path; None if it does not.

    Where the locale is not UTF-8, Python reads names in the locale's encoding and gives one file
    another name. Java and workers of other locales would not find it, or take it for a new one.
    """
    encoding = sys.getfilesystemencoding()
    if path.isascii() or encoding.lower().replace("_", "-") == "utf-8":
        return None
    return f"the locale has Python read names of files as {encoding}, and they are UTF-8"


def check_remote(remote: str) -> None:
    """Check the address of a Spark Connect server, and have its secrets struck out of all texts.

    Raises:
        UsageError: It is no such address, or a parameter holds a character that must be encoded.
            pyspark would cut the parameter there, or repeat it in its error.
    """
    _, *parameters = remote.split(";")
    secrets: list[str] = re.findall(r"(?i)token=([^;]*)", remote)
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if name not in _NO_SECRETS:
            secrets.append(value if equals else parameter)
    # A user's name and password do not belong there, and are a secret all the same.
    secrets.append(_user(remote))
    for secret in secrets:
        for piece in (secret, *re.split("[/?#=:;@]", secret)):
            remember(piece)
            remember(unquote(piece))
    shown = without_parameters(remote)
    if not remote.startswith("sc://"):
        raise UsageError(
            f"SPARK_REMOTE is '{shown}', which is not a Spark Connect address",
            "Set it to sc://HOST:PORT, or unset it to use the embedded server.",
        )
    for parameter in filter(None, parameters):
        name, equals, value = parameter.partition("=")
        wrong = [sign for sign in _ENCODED if sign in value]
        if not equals:
            wrong = [";"]
        if wrong:
            where = f"its parameter {name}" if name in (*_NO_SECRETS, "token") else "a parameter"
            raise UsageError(
                f"SPARK_REMOTE ({shown}) has a {wrong[0]} in {where}",
                f"In a parameter, write {wrong[0]} as {_ENCODED[wrong[0]]}.",
            )


def without_parameters(remote: str) -> str:
    """The address of a Spark Connect server as it can be shown: without its user and its token."""
    scheme = _SCHEME.match(remote)
    user = _user(remote)
    if not user:
        return remote.split(";")[0].rstrip("/")
    server = remote[remote.index(user) + len(user) + 1 :]
    # With these characters in it, the last @ may be one of a parameter.
    shown = "***" if re.search("[@;/?#=]", user) else re.split("[;/?#]", server)[0]
    return f"{scheme[0] if scheme else ''}{shown}"


def _user(remote: str) -> str:
    """What is before the server's name, up to the last @; a password may hold any character."""
    if _PLAIN_REMOTE.fullmatch(remote):
        return ""
    scheme = _SCHEME.match(remote)
    return remote[scheme.end() if scheme else 0 :].rpartition("@")[0]


def _path(variable: str, value: str) -> Path:
    try:
        path = Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(
            f"{variable} is '{value}', and this user has no home folder for '~'",
            f"Set {variable} to an absolute path, or set HOME.",
        ) from error
    _check_encoding(variable, str(path))
    return path


def _check_encoding(variable: str, path: str) -> None:
    if why := misread(path):
        raise UsageError(f"{variable} is {path}, and {why}", READ_NAMES_AS_UTF8)


def _cache(env: Mapping[str, str], home: Path) -> Path:
    """The folder of the downloads; in our own home for a user without one, as in containers."""
    if env.get("XDG_CACHE_HOME"):
        return Path(env["XDG_CACHE_HOME"]) / "autoloader_dagster"
    try:
        return Path(env.get("HOME") or Path.home()) / ".cache" / "autoloader_dagster"
    except RuntimeError:
        return home / "cache"
