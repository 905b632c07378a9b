"""What the sections of a spec have in common.

What a spec may say one day but this version does not do is refused by name, never ignored.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

# In the JSON schema: a key that comes later is left out, and choices that come later are, too.
LATER: dict[str, Any] = {"x-later": True}


def only(*choices: str) -> dict[str, Any]:
    """What a field tells the JSON schema of the choices that are supported."""
    return {"x-supported": list(choices)}


class KeyFault(ValueError):
    """What is wrong with one key, found by a check that looks at its whole section.

    Attributes:
        message: What is wrong.
        path: The keys from the section to the faulty one.
    """

    def __init__(self, message: str, *path: str) -> None:
        self.message = message
        self.path = path
        super().__init__(f"{'.'.join(path)}: {message}")


def check_entries(entries: Mapping[str, str], check: Callable[[str, str], None]) -> None:
    """Check each key with its value, and name the key that is wrong.

    Raises:
        KeyFault: The check raised a ValueError.
    """
    for key, text in entries.items():
        try:
            check(key, text)
        except ValueError as error:
            raise KeyFault(str(error), key) from None


def unsupported(value: object) -> ValueError:
    """The error for a value that has a meaning, and is not built yet."""
    shown = f"{value} " if isinstance(value, (str, int, float)) else ""
    return ValueError(f"{shown}is not supported yet")


class SpecModel(BaseModel):
    """Base of every part of a spec: unknown keys are errors and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class FormatSection(SpecModel):
    """The section ``format`` of any kind; each kind adds its keys.

    Attributes:
        type: The kind, a name in ``autoloader_dagster.specs.registry``.
    """

    # Any, because each kind narrows it to its own name.
    type: Any
