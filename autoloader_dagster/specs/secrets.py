"""References to secrets: ``env:NAME`` or ``file:path``, read when a connection is used.

What was written where a reference should be is never repeated in a message, because it is probably
the secret itself.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, SecretStr

from autoloader_dagster.errors import SpecError
from autoloader_dagster.redaction import remember
from autoloader_dagster.specs.values import check_path

ENV_REFERENCE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")

# HTTP headers carry the keys of S3, and refuse these with an error that shows the whole value.
IN_NO_SECRET = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
COPY_AGAIN = "Copy the secret again, on one line and without quotes or a name before it."
_MAX_SECRET_BYTES = 64 * 1024


@dataclass(frozen=True)
class SecretRef:
    """Where a secret is: a variable of the environment, or a file.

    Attributes:
        kind: ``env`` or ``file``.
        where: The variable's name, or the path; a relative path starts from the folder of
            ``_connections.yaml``.
    """

    kind: Literal["env", "file"]
    where: str

    def read(
        self,
        connection: str,
        folder: Path,
        environ: Mapping[str, str],
        allowed: Callable[[Path], bool] = lambda _: True,
    ) -> SecretStr:
        """The secret.

        Args:
            connection: Its name, for messages.
            folder: Where a relative path starts.
            environ: Where a variable is looked up.
            allowed: Whether a file may be read, asked at the moment of reading.

        Raises:
            SpecError: The variable or the file is missing, empty, cannot be read, or holds
                something that no secret holds.
        """
        if self.kind == "env":
            value = read_variable(self.where, connection, environ)
            return _secret(value, connection, f"environment variable {self.where}")
        path = folder / Path(self.where).expanduser()
        if not allowed(path):
            raise SpecError(
                f"connection '{connection}': file {path} is not in a folder of this tenant's "
                "secrets",
                "Move it there, or have the operator allow its folder in _tenant.yaml.",
            )
        hint = "Create it with the secret alone in it, readable by this user."
        try:
            text = _read(path).strip()
        except OSError as error:
            why = f"file {path} cannot be read: {error.strerror or error}"
            raise SpecError(f"connection '{connection}': {why}", hint) from None
        except UnicodeDecodeError:  # the error itself would carry the bytes
            raise SpecError(f"connection '{connection}': file {path} is not text", hint) from None
        if not text:
            raise SpecError(f"connection '{connection}': file {path} is empty", hint)
        return _secret(text, connection, f"file {path}")


def _read(path: Path) -> str:
    # A named pipe would keep the whole process waiting for its writer.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError("it is not a regular file")
        with open(number, encoding="utf-8", closefd=False) as stream:
            return stream.read(_MAX_SECRET_BYTES)
    finally:
        os.close(number)


def _secret(value: str, connection: str, where: str) -> SecretStr:
    """The secret, unless it is broken: programs repeat a broken one whole in their messages."""
    remember(value)
    if IN_NO_SECRET.search(value):
        raise SpecError(
            f"connection '{connection}': {where} holds a blank, a line break or another control "
            "character within the secret",
            COPY_AGAIN,
        )
    return SecretStr(value)


def read_variable(name: str, connection: str, environ: Mapping[str, str]) -> str:
    """The value of a variable that a connection names.

    Raises:
        SpecError: It is not set, or empty.
    """
    value = environ.get(name, "").strip()
    if not value:
        state = "empty" if name in environ else "not set"
        raise SpecError(
            f"connection '{connection}': environment variable {name} is {state}",
            "Set it for every process that loads files: the web server, the daemon and the runs.",
        )
    return value


def _secret_reference(value: Any) -> SecretRef:
    if isinstance(value, SecretRef):
        return value
    if isinstance(value, str):
        if match := ENV_REFERENCE.fullmatch(value):
            return SecretRef("env", match[1])
        if re.fullmatch(r"file:\S.*", value):
            path = value.removeprefix("file:")
            check_path(path)
            return SecretRef("file", path)
    raise ValueError("must be env:NAME or file:path; secrets never belong into a file")


Secret = Annotated[SecretRef, BeforeValidator(_secret_reference, json_schema_input_type=str)]
