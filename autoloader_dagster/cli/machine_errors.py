"""Tells errors of the machine from errors of this package: no permission, no room, no storage."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from autoloader_dagster.errors import UsageError
from autoloader_dagster.redaction import first_line

_HINTS = {
    errno.EACCES: "Run the command as its owner, or set AUTOLOADER_HOME to a folder of yours.",
    errno.ENOSPC: "Make room there. The next run continues where this one stopped.",
    errno.EMFILE: "Raise the limit of open files: ulimit -n 4096.",
}
_HINTS |= {
    errno.EPERM: _HINTS[errno.EACCES],
    errno.EROFS: _HINTS[errno.EACCES],
    errno.EDQUOT: _HINTS[errno.ENOSPC],
    errno.EFBIG: _HINTS[errno.ENOSPC],
    errno.ENFILE: _HINTS[errno.EMFILE],
    errno.ENOMEM: "End other programs, or give this machine more memory.",
    errno.EIO: "Check the disk.",
    errno.ESTALE: "Check the network file system.",
}


def machine_error(error: BaseException) -> UsageError | None:
    """The error for people if the machine is the cause of it; None if it is not."""
    for each in _causes(error):
        if isinstance(each, FileNotFoundError) and each.filename is None and not _has_folder():
            return UsageError(
                "the working folder does not exist any more", "Change to a folder that exists."
            )
        if isinstance(each, sqlite3.Error) or _is_of_a_database(each):
            # The state's own errors never come as far as this, and Dagster's have no name of ours.
            return _storage_error(each)
        if isinstance(each, OSError) and each.errno in _HINTS:
            reason = os.strerror(each.errno)
            what = f"{each.filename}: {reason}" if each.filename else f"the machine says: {reason}"
            return UsageError(what, _HINTS[each.errno])
    return None


def _has_folder() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _storage_error(error: BaseException) -> UsageError:
    home = os.environ.get("DAGSTER_HOME")
    reason = first_line(error)
    return UsageError(
        f"Dagster's storage{f' in {home}' if home else ''} failed: {reason}",
        "Check that its disk has room and that this user may write there, or, if dagster.yaml "
        "names a database, that it is running. The next run continues where this one stopped.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error itself and what it was raised from, the innermost first."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return reversed(chain)


def _is_of_a_database(error: BaseException) -> bool:
    # Not imported for this, because the light commands must start fast.
    names = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    return bool(names & {"sqlalchemy.exc.DBAPIError", "psycopg2.Error", "psycopg.Error"})
