"""What JSON files must share to be read by one reader."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class JsonGroup:
    """What JSON files must share to be read by one reader.

    Attributes:
        layout: ``lines`` for one record a line, ``document`` for one value a file.
        mixed: Whether a document has values in its array that are no records.
        odd: Whether it may have numbers that Spark would write otherwise.
        proven: Whether the look has read all of it, and found every key of every record, none of
            them twice, no odd number, no character that Spark writes as an escape, and nothing but
            records; it knows their number too.
    """

    layout: Literal["lines", "document"]
    mixed: bool = False
    odd: bool = True
    proven: bool = False
