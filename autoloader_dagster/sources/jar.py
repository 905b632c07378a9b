"""A jar that Spark needs beside its own, for example to read the files of a kind of source."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Jar:
    """One jar of the Maven repository, and the only content that is accepted for it.

    Attributes:
        coordinates: ``group:artifact:version``, or ``group:artifact:version:classifier``.
        sha256: Hexadecimal.
        size: Bytes.
    """

    coordinates: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """As Maven names it."""
        return "-".join(self.coordinates.split(":")[1:]) + ".jar"
