"""What an entry of ``_connections.yaml`` must offer; each kind of source brings its own keys."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr

from autoloader_dagster.specs.secrets import ENV_REFERENCE, SecretRef, read_variable
from autoloader_dagster.specs.tenants import TenantRules


@dataclass(frozen=True)
class References:
    """Reads the variables and secret files that one connection refers to.

    Attributes:
        connection: Its name, for messages.
        folder: Where the relative path of a file starts.
        environ: Where variables are looked up.
        allowed: Whether a file may be read, asked at the moment of reading.
    """

    connection: str
    folder: Path
    environ: Mapping[str, str]
    allowed: Callable[[Path], bool]

    def secret(self, ref: SecretRef | None) -> SecretStr | None:
        """The value of a reference.

        Raises:
            SpecError: The variable or file is missing, or holds what no secret holds.
        """
        if ref is None:
            return None
        return ref.read(self.connection, self.folder, self.environ, self.allowed)

    def text(self, value: str | None) -> str | None:
        """A text as it is, or the variable's value where it is ``env:NAME``.

        Raises:
            SpecError: The variable is not set, or empty.
        """
        variable = ENV_REFERENCE.fullmatch(value) if value else None
        return read_variable(variable[1], self.connection, self.environ) if variable else value


class ConnectionSection(BaseModel):
    """An entry of ``_connections.yaml`` of any kind; each kind adds its keys.

    Attributes:
        type: The kind of source that it is for, a name in ``autoloader_dagster.specs.registry``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    # Any, because each kind narrows it to its own name.
    type: Any

    @abstractmethod
    def refused(self, tenant: str, rules: TenantRules) -> Iterator[tuple[str, str]]:
        """What a tenant's own connection of this kind must not be, each with its key.

        Variables and secret files are compared with the rules for every kind; this is the rest,
        such as credentials of the worker itself.
        """

    @abstractmethod
    def resolve(self, reading: References) -> Any:
        """What the source needs, with the secrets read now.

        Raises:
            SpecError: A variable or file is missing, or what it holds cannot be used.
        """
