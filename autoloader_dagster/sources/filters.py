"""The spec's ``include``, ``exclude`` and ``modified_after``, applied while a listing streams by.

The globs are compiled to regular expressions once, so a file costs a few microseconds. What the
includes have in common at their beginning is also known here, so that a listing can start there.
"""

import re
from collections.abc import Iterable
from datetime import date, datetime, time, timezone
from itertools import takewhile

from autoloader_dagster.errors import SpecError
from autoloader_dagster.specs.globs import MOST_ALTERNATIVES, translate_glob

_MAGIC = re.compile(r"[*?\[{\\]")
# wcmatch never lets a wildcard take a part that is exactly '.' or '..'. In a bucket these are
# ordinary names, and a file that no glob can reach would be lost without a word.
_DOT_PART = re.compile(r"(?:(?<=/)|^)(?=\.{1,2}(?:/|\Z))")
_ESCAPED_DOT_PART = "\0"


class FileFilter:
    """Decides which files below a source's url belong to the ingestion.

    Args:
        include: Globs; a file is taken if one of them matches its relative path.
        exclude: Globs; a file is left out if one of them matches.
        modified_after: Files last changed before 00:00 UTC of this day are left out.

    Attributes:
        prefix: The folders that every include begins with, as ``2026/01/``; empty if there are
            none. No file outside of them is accepted, so a listing may start there.

    Raises:
        SpecError: A glob expands to more than 1,000 alternatives.
    """

    def __init__(
        self,
        include: Iterable[str] = ("**",),
        exclude: Iterable[str] = (),
        modified_after: date | None = None,
    ) -> None:
        include, exclude = tuple(include), tuple(exclude)
        self._include = _compile(include)
        self._exclude = _compile(exclude)
        self._exclude_folder = _compile(p[:-3] for p in exclude if p.endswith("/**"))
        self._not_before = (
            datetime.combine(modified_after, time(), timezone.utc) if modified_after else None
        )
        self.prefix = _common_folders(include)

    def accepts(self, relative_path: str) -> bool:
        """Whether the globs choose this path (relative to the url, ``/`` between its parts)."""
        path = _DOT_PART.sub(_ESCAPED_DOT_PART, relative_path)
        if not self._include.fullmatch(path):
            return False
        return not self._exclude.fullmatch(path)

    def accepts_time(self, modified_at: datetime) -> bool:
        """Whether a file last changed at this time (with a timezone) is young enough."""
        return self._not_before is None or modified_at >= self._not_before

    def prunes(self, relative_folder: str) -> bool:
        """Whether an exclude such as ``lost+found/**`` leaves out all that is below this folder.

        A walk need not enter such a folder, nor have the right to.
        """
        return bool(self._exclude_folder.fullmatch(relative_folder))


def _compile(patterns: Iterable[str]) -> re.Pattern[str]:
    """One regular expression for all the globs; without a glob it matches nothing."""
    alternatives: dict[str, None] = {}
    for pattern in patterns:
        try:
            regexes = translate_glob(pattern)
        except ValueError as error:
            raise SpecError(
                str(error),
                f"Write it with * or ?, or split it; at most {MOST_ALTERNATIVES:,} alternatives "
                "are possible in {}.",
            ) from error
        alternatives.update(dict.fromkeys(regexes))
    return re.compile("|".join(f"(?:{regex})" for regex in alternatives) or r"(?!)")


def _common_folders(patterns: tuple[str, ...]) -> str:
    """The longest run of literal folders that all the globs begin with, ending in ``/``."""
    common: list[str] | None = None
    for pattern in patterns:
        parts = _literal_folders(pattern)
        if common is None:
            common = parts
        same = takewhile(lambda pair: pair[0] == pair[1], zip(common, parts, strict=False))
        common = [part for part, _ in same]
    return "".join(f"{part}/" for part in common or ())


def _literal_folders(pattern: str) -> list[str]:
    magic = _MAGIC.search(pattern)
    literal = pattern[: magic.start()] if magic else pattern
    folders: list[str] = []
    # The last part is the beginning of a name, not a folder.
    for part in literal.split("/")[:-1]:
        # wcmatch reads '//' as '/', so an empty part must not be asked for literally; '..' must
        # not lead out of the url.
        if part in ("", ".", ".."):
            break
        folders.append(part)
    return folders
