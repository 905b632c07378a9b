"""What an error of a catalog says of a commit: that it was refused, or that nobody knows.

An error that comes back from a commit is no proof that it was not applied. Its answer may have been
lost on the way; Iceberg's JDBC catalog then repeats the commit by itself, and takes its own first
try for another writer's. So whoever commits looks at the table before believing an error.
"""

import re

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

# Another writer was faster, or the catalog client's own first try was.
_REFUSED = re.compile(r"\bCommitFailedException\b")
# So many other commits came between two steps of this one that the metadata it read is deleted.
_OVERTAKEN = re.compile(r"\bNotFoundException\b[^\n]*\.metadata\.json")
# The connection broke, or the catalog's server or database failed while it worked.
_UNKNOWN = re.compile(
    r"\b(?:CommitStateUnknownException|RESTException|ServiceFailureException"
    r"|ServiceUnavailableException|UncheckedSQLException)\b"
)
_TRIES = 10


def is_refused(error: BaseException) -> bool:
    """Whether the catalog refused a commit because another one was faster."""
    return bool(_REFUSED.search(_text(error)))


def is_open(error: BaseException) -> bool:
    """Whether the error leaves open what became of a commit, or says only that it came too late.

    Neither is the fault of what was to be committed, so it may be tried again.
    """
    text = _text(error)
    return any(pattern.search(text) for pattern in (_REFUSED, _OVERTAKEN, _UNKNOWN))


def _text(error: BaseException) -> str:
    return f"{error} {error.__cause__ or ''}"


def tries() -> Retrying:
    """Tries of a commit that is harmless when it is repeated; half a second to some seconds."""
    return Retrying(
        retry=retry_if_exception(is_open),
        stop=stop_after_attempt(_TRIES),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        reraise=True,
    )
