"""Identifies this machine and its current boot, so that a lock file says who has taken it.

Host names and ``/etc/machine-id`` are the same on clones of a virtual machine, and in containers of
one image with a fixed host name. So each machine also makes an id of its own, outside of the home,
which machines may share. A container that is made again has another id, so the id counts only where
another machine can have the file system of the lock.
"""

import os
import re
import secrets
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

# File systems that one kernel alone has at a time.
_OF_ONE_KERNEL = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"}
)
_MOUNTS = Path("/proc/self/mountinfo")
# It outlives a boot, and belongs to one machine.
_OWN_ID = Path("/var/tmp") / f"autoloader_dagster.{os.getuid()}.machine"
_ID_BYTES = 16
_ESCAPED = re.compile(r"\\([0-7]{3})")


def machine_name() -> str:
    """Return a name for this machine; of a container that of the container."""
    return f"{socket.gethostname()} {_read('/etc/machine-id')}".strip()


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


def is_of_one_kernel(folder: Path, mounts: Path = _MOUNTS) -> bool:
    """Return whether a folder is on a file system that no other machine has at the same time.

    Args:
        folder: Any folder.
        mounts: The mounts, as Linux writes them.
    """
    real = os.path.realpath(folder)
    kind, length = "", -1
    for line in _read(str(mounts)).splitlines():
        place, _, rest = line.partition(" - ")
        at = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), place.split(" ")[4]).rstrip("/")
        # Of two mounts on one folder the later one counts.
        if (real == at or real.startswith(f"{at}/")) and len(at) >= length:
            kind, length = rest.split(" ")[0], len(at)
    return kind in _OF_ONE_KERNEL


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
