"""Finds the secrets among Spark's settings, so that no text of this process shows them.

A server's settings hold more secrets than a connection's: the password of its catalog, keys of its
stores. Its errors repeat them: Iceberg's JDBC catalog shows its whole address when it is down.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from urllib.parse import unquote

from autoloader_dagster.redaction import remember

# As Spark takes it for its own texts (the plans, the web UI); its default knows fewer words.
REDACTION_REGEX = (
    "(?i)secret|passw|passphrase|token|credential|authorization|[.]sas[.]"
    "|(access|account|api|private|encryption).?key"
)

_SECRET_NAME = re.compile(REDACTION_REGEX)
# Settings about secrets, which hold none.
_ABOUT_SECRETS = re.compile(
    r"(?i)(provider|class|impl|enabled|file|path|dir|ur[il]|endpoint|type|name|alias|algorithm"
    r"|regex|timeout|interval|-ms|seconds)s?$"
)
_CLASS_NAME = re.compile(r"[a-z]\w*(\.[a-z]\w*)+\.[A-Z][\w$]*")
# Within an address or Java's options: password=..., -Dx.Password=..., sig=...
_PARAMETER = re.compile(
    r"(?is)(?:secret|passw|passphrase|pwd|token|credential|(?:access|account|api).?key)"
    r"[\w.%-]*\s*=\s*(?P<value>\S.*)|\bsig\s*=\s*(?P<sig>\S.*)"
)
# Where a value may end: before the next parameter, or at the first character that could end it.
_ENDS = (r"[&;]\s*[\w.%-]+=", r"\s", r"[&;\s]", r"[,)\s]", r"[&;,)\s]")
# user:password@, and not host:port/...@
_USER = re.compile(r"//(?![\w.\[\]-]+(?::\d+)?(?:[/?;,]|\Z))[^\s:/]*:(.*)@", re.DOTALL)
_ADDRESS = re.compile(r"(?:\bjdbc:|\b[a-zA-Z][\w+.-]*://)[^\s'\"<>]+")
_MOST_OF_AN_ERROR = 10
_ORACLE_USER = re.compile(r"(?is)jdbc:oracle:\w+:[^\s/@]*/(.*)@")


def secrets_in(conf: Mapping[str, str | None]) -> Iterator[str]:
    """Each secret of these settings, in the forms in which a message may hold it."""
    for key, value in conf.items():
        for secret in _secrets_of(key, (value or "").strip()):
            yield secret
            if (decoded := unquote(secret)) != secret:
                yield decoded


def remember_secrets(conf: Mapping[str, str | None]) -> None:
    """Have the secrets of these settings struck out of all texts of this process."""
    for secret in secrets_in(conf):
        remember(secret)


def remember_secrets_of_error(text: str) -> None:
    """Have the passwords of the addresses in an error struck out of all texts of this process.

    A server hides the settings that it takes for secrets from its clients, and shows them in its
    errors. A few of each error, so that no error can push out the secrets that are known for sure.
    """
    found = (secret for each in _ADDRESS.findall(text) for secret in secrets_in({"": each}))
    for secret in islice(dict.fromkeys(found), _MOST_OF_AN_ERROR):
        remember(secret)


def _secrets_of(key: str, value: str) -> Iterator[str]:
    names_secret = _SECRET_NAME.search(key) and not _ABOUT_SECRETS.search(key)
    if names_secret and not _CLASS_NAME.fullmatch(value):
        yield value
        # 'client:secret', 'Bearer secret'
        yield value.partition(":")[2]
        yield value.partition(" ")[2]
    for pattern in (_USER, _ORACLE_USER):
        for password in pattern.findall(value):
            # It holds an @, or the last one is that of a parameter.
            yield password
            yield password.partition("@")[0]
    at = 0
    while found := _PARAMETER.search(value, at):
        rest = found["value"] or found["sig"]
        at = found.end() - len(rest) + 1
        for end in _ENDS:
            yield re.split(end, rest, maxsplit=1)[0].strip("\"'{}")
