"""Identifies this machine and its current boot, so that a lock file says who has taken it.

Host names and ``/etc/machine-id`` are the same on clones of a virtual machine, and in containers of
one image with a fixed host name. So each machine also makes an id of its own, outside of the home,
which machines may share.
"""

import os
import secrets
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

# It outlives a boot, and belongs to one machine.
_OWN_ID = Path("/var/tmp") / f"autoloader_dagster.{os.getuid()}.machine"
_ID_BYTES = 16


def machine_name() -> str:
    """Return a name for this machine; of a container that of the container."""
    return f"{socket.gethostname()} {_read('/etc/machine-id')} {own_id()}".strip()


def boot_id() -> str:
    """Return what is the same for all processes of one kernel, and of no other."""
    return _read("/proc/sys/kernel/random/boot_id") or machine_name()


@cache
def own_id() -> str:
    """Return the id that this machine has made for itself; empty if it can keep none."""
    try:
        if not _OWN_ID.exists():
            _make()
        file = os.open(_OWN_ID, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        if os.fstat(file).st_uid != os.getuid():
            # Another user could choose it, and change it.
            return ""
        # The system removes what is not used for a long time.
        os.utime(file)
        return os.read(file, 2 * _ID_BYTES).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
    finally:
        os.close(file)


def _make() -> None:
    fresh = _OWN_ID.with_name(f"{_OWN_ID.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(_ID_BYTES))
        # Whole or not at all, and the first one counts.
        with suppress(FileExistsError):
            os.link(fresh, _OWN_ID)
    finally:
        fresh.unlink(missing_ok=True)


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError:
        return ""
