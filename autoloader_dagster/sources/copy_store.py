"""What an object store must offer for the copies that Spark reads in place of files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class CopyStore(Protocol):
    """A prefix in an object store with one folder for each batch.

    Every method raises a ``UsageError`` that names the address and ``AUTOLOADER_STAGING``.
    """

    @property
    def address(self) -> str:
        """The prefix as Spark reads it, with a ``/`` at its end."""
        ...

    def put(self, folder: str, path: Path) -> str:
        """Store a file, check that all of it is there, and give its address for Spark."""
        ...

    def remove(self, folder: str) -> None:
        """Remove the copies of a folder; nothing happens if there are none."""
        ...

    def folders(self) -> Iterator[tuple[str, float]]:
        """Each folder, and when its newest copy was stored (seconds since 1970)."""
        ...

    def spark_options(self) -> dict[str, str]:
        """Reader options with the endpoint and the credentials of this store alone."""
        ...
