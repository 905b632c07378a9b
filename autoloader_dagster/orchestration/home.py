"""Dagster's own folder: where runs, events and logs are kept, with the project's dagster.yaml."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from autoloader_dagster.errors import UsageError
from autoloader_dagster.settings import Settings, check_path
from autoloader_dagster.spark.server.locks import try_lock

CONFIG_NAME = "dagster.yaml"
WORKSPACE_NAME = "workspace.yaml"
UP_LOCK_NAME = "up.lock"
# What some network file systems answer; there, nobody can tell.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})
_DEFAULTS = files("autoloader_dagster.orchestration") / "defaults"


def ensure_dagster_home(settings: Settings) -> Path:
    """Make Dagster's home ready and set ``DAGSTER_HOME`` for this process and its children.

    A ``DAGSTER_HOME`` that is set is used as it is. Otherwise it is ``.autoloader/dagster``, with a
    link to the ``dagster.yaml`` of the working folder; where there is none, with the default one.

    Raises:
        UsageError: The folder cannot be made or written, or ``DAGSTER_HOME`` is not absolute.
    """
    set_by_user = os.environ.get("DAGSTER_HOME")
    home = Path(set_by_user).expanduser() if set_by_user else settings.dagster_home
    if not home.is_absolute():
        raise UsageError(
            f"DAGSTER_HOME is '{set_by_user}', and Dagster wants an absolute path",
            f"Set it to {home.absolute()}, or unset it to use {settings.dagster_home}.",
        )
    # Dagster finds its dagster.yaml by a pattern: with [ or * it would go on with other settings.
    check_path("DAGSTER_HOME", home, "?[*")
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not set_by_user:
            _put_config(home / CONFIG_NAME, Path.cwd() / CONFIG_NAME)
    except OSError as error:
        raise UsageError(
            f"Dagster's home {home} cannot be made: {error.strerror or error}",
            "Make room, or set DAGSTER_HOME or AUTOLOADER_HOME to a folder that you may write.",
        ) from error
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def known_dagster_home(settings: Settings) -> Path | None:
    """Dagster's home if it is set up; nothing is made."""
    home = Path(os.environ.get("DAGSTER_HOME") or settings.dagster_home).expanduser()
    return home if (home / CONFIG_NAME).is_file() else None


@contextmanager
def only_up_on(home: Path) -> Iterator[None]:
    """Be the only ``autoloader up`` on this Dagster home for the block.

    Raises:
        UsageError: Another one has the home, or it cannot be written.
    """
    path = home / UP_LOCK_NAME
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = try_lock(path)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            yield
            return
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}",
            "Set AUTOLOADER_HOME to a folder that you may write.",
        ) from error
    if lock is None:
        raise UsageError(
            f"another 'autoloader up' (process {path.read_text().strip()}) runs on {home}",
            "End it, or use the other one. For a second installation set another AUTOLOADER_HOME.",
        )
    with lock:
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n".encode())
        yield


def default_workspace(home: Path) -> Path:
    """A workspace file in Dagster's home, for a working folder that has none of its own.

    Raises:
        UsageError: It cannot be written.
    """
    target = home / WORKSPACE_NAME
    try:
        _replace(target, text=(_DEFAULTS / WORKSPACE_NAME).read_text())
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def _put_config(target: Path, own: Path) -> None:
    if own.is_file():
        # A file that somebody put there by hand stays.
        ours = target.is_symlink() or not target.exists() or _is_default(target)
        linked = target.is_symlink() and target.readlink() == own
        if ours and not linked:
            _replace(target, link=own)
    elif not target.exists():
        _replace(target, text=_default_config())


def _is_default(path: Path) -> bool:
    return path.read_text(errors="replace") == _default_config()


def _default_config() -> str:
    return (_DEFAULTS / CONFIG_NAME).read_text()


def _replace(target: Path, *, link: Path | None = None, text: str = "") -> None:
    """Put a link or a file there in one step, because other processes may be reading it."""
    fresh = target.with_name(f"{target.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    if link is not None:
        fresh.symlink_to(link)
    else:
        fresh.write_text(text)
    fresh.replace(target)
