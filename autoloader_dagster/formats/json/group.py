"""What JSON files must share to be read by one reader."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class JsonGroup:
    """What JSON files must share to be read by one reader.

    Attributes:
        layout: ``lines`` for one record a line, ``document`` for one value a file.
    """

    layout: Literal["lines", "document"]
