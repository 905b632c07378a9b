"""One thing that is wrong in one file, with the line to go to."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

# A message that begins like this is about the key itself: "source.url is missing".
_PREDICATES = ("is ", "needs ", "holds ", "belongs ")


# Nobody reads more, and each costs a look for the key that was meant.
MAX_FAULTS = 100


@dataclass(frozen=True)
class SpecFault:
    """Something in a spec or in ``_connections.yaml`` that its author can correct.

    Attributes:
        file: The file.
        line: Line of the key, from 1; None where no line is meant.
        key: Dotted path of the key, such as ``partition.every``; empty for the file as a whole.
        message: What is wrong and what to write instead.
    """

    file: Path
    line: int | None
    key: str
    message: str

    @property
    def text(self) -> str:
        """The fault without its place."""
        if not self.key:
            return self.message
        return f"{self.key}{' ' if self.message.startswith(_PREDICATES) else ': '}{self.message}"

    def __str__(self) -> str:
        place = shown_path(self.file)
        said = f"{place}:{self.line}  {self.text}" if self.line else f"{place}  {self.text}"
        # A name that is not UTF-8 can be no part of a log or of an event.
        return said.encode("utf-8", "backslashreplace").decode()


def first_faults(faults: Iterable[SpecFault]) -> tuple[SpecFault, ...]:
    """All faults of one file, or the first of very many and one that says so."""
    found = tuple(islice(faults, MAX_FAULTS + 1))
    if len(found) <= MAX_FAULTS:
        return found
    message = f"has more faults; these are the first {MAX_FAULTS}"
    return (*found[:MAX_FAULTS], SpecFault(found[0].file, None, "", message))


def shown_path(path: Path) -> str:
    """The path as a person in the working folder would type it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):  # elsewhere, or the working folder is gone
        return str(path)
