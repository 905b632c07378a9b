"""The files of a site: all that a path ever was, and what of it must be in the table."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Version:
    """One content of a file; without ids it is a bad one."""

    ids: tuple[int, ...]
    etag: str


@dataclass
class File:
    """All that a path ever was.

    Attributes:
        versions: The last one is there now, unless the file was deleted.
        there: Whether the file is there.
        loaded: The number of the version that is surely in the table; -1 if none is.
    """

    versions: list[Version] = field(default_factory=list)
    there: bool = True
    loaded: int = -1

    @property
    def is_good(self) -> bool:
        """Whether its rows must come into the table."""
        return self.there and bool(self.versions[-1].ids)

    def may_have(self) -> list[list[int]]:
        """What may be in the table of it, once nothing waits."""
        if self.is_good:
            return [sorted(self.versions[-1].ids)]
        sure = [[]] if self.loaded < 0 else []
        later = self.versions[max(self.loaded, 0) :]
        return sure + [sorted(version.ids) for version in later if version.ids]
