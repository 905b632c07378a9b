"""Locks between processes. The kernel frees them when a process dies, however it dies.

Every lock is a ``flock`` on a file that is never removed: a lock on a removed file excludes nobody.
Only the standard library is imported here, because the supervisor must stay small.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from autoloader_dagster.errors import SparkSetupError

_POLL_SECONDS = 0.05


def try_lock(path: Path, *, shared: bool = False) -> IO[bytes] | None:
    """Take the lock now, or answer None. Closing the returned file frees it."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    return file


def is_locked(path: Path) -> bool:
    """Whether some process holds the exclusive lock; two who ask at once do not see each other."""
    file = try_lock(path, shared=True)
    if file is None:
        return True
    file.close()
    return False


@contextmanager
def file_lock(path: Path, *, shared: bool = False, timeout: float) -> Iterator[IO[bytes]]:
    """Hold the lock for the block.

    Args:
        path: The lock file; it is made if it is missing.
        shared: Whether others may hold it in the same way at the same time.
        timeout: Seconds to wait for it.

    Raises:
        SparkSetupError: Another process kept it for the whole time.
    """
    deadline = time.monotonic() + timeout
    while (file := try_lock(path, shared=shared)) is None:
        if time.monotonic() > deadline:
            raise SparkSetupError(
                f"another process has held {path} for more than {timeout:.0f} s",
                "Wait for it to end, or end it, and try again.",
            )
        time.sleep(_POLL_SECONDS)
    with file:
        yield file
