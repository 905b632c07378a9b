"""Patterns that read a partition from a file's path: globs with ``{yyyy}``-like or named fields."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from autoloader_dagster.specs.path_matcher import Part, PathMatcher

_TIME_FIELDS = {"yyyy": "[0-9]{4}", "MM": "[0-9]{2}", "dd": "[0-9]{2}", "HH": "[0-9]{2}"}
_NEEDED = {
    "hour": ("yyyy", "MM", "dd", "HH"),
    "day": ("yyyy", "MM", "dd"),
    "week": ("yyyy", "MM", "dd"),
    "month": ("yyyy", "MM"),
}
# How others write the fields of times.
_ALSO_TIMES = {
    "year": "yyyy", "yyyy": "yyyy", "yy": "yyyy", "month": "MM", "mm": "MM", "day": "dd",
    "dd": "dd", "hour": "HH", "hh": "HH",
}  # fmt: skip
# From this many wildcards that multiply on, a path could keep Python's ``re`` busy for seconds, and
# all other threads waiting.
_MULTIPLYING = 3
_MOST_WILDCARDS = 100
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\{([^{}]*)\}|\[([!^]?)([^\[\]/]+)\]")


@dataclass(frozen=True)
class PathPattern:
    """A pattern such as ``{yyyy}/{MM}/{dd}/*.json`` or ``region={region}/**``.

    Args:
        text: The pattern, matched against the whole path below the source's url.
        every: Length of a time partition; it decides which time fields are needed.

    Raises:
        ValueError: From the constructor, with what is wrong with the pattern.
    """

    text: str
    every: str

    def __post_init__(self) -> None:
        names = [match[1] for match in _TOKEN.finditer(self.text) if match[1] is not None]
        times = [name for name in names if name in _TIME_FIELDS]
        keys = [name for name in names if name not in _TIME_FIELDS]
        for name in keys:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(
                    f"{{{name}}} is neither one of "
                    f"{' '.join('{' + n + '}' for n in _TIME_FIELDS)} nor a name"
                )
        if not names:
            raise ValueError(
                f"'{self.text}' has no field; it needs {{yyyy}}-like fields or one {{name}}"
            )
        if times and keys:
            raise ValueError(
                f"times and a named key together are not supported yet{self._proposal(keys)}"
            )
        if len(set(keys)) > 1:
            raise ValueError(f"more than one named key is not supported yet{self._proposal(keys)}")
        missing = [name for name in _NEEDED[self.every] if name not in times]
        if times and missing:
            raise ValueError(
                f"partition.every: {self.every} needs "
                f"{' '.join('{' + name + '}' for name in missing)} too"
            )
        try:
            self._regex  # noqa: B018  (raises what is wrong with a [class])
        except re.error:
            raise ValueError(f"'{self.text}' has a [ ] that is no set of characters") from None

        self._check_wildcards(names)

    def _check_wildcards(self, names: list[str]) -> None:
        tokens = [match[0] for match in _TOKEN.finditer(self.text)]
        if sum(token in ("*", "**", "**/") for token in tokens) > _MOST_WILDCARDS:
            raise ValueError(f"there are more than {_MOST_WILDCARDS} wildcards in it; use fewer")
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated and self._multiplying >= _MULTIPLYING:
            raise ValueError(
                f"{{{repeated}}} is in it twice, beside {self._multiplying} wildcards that "
                "multiply; write * or ? for the second one"
            )

    @cached_property
    def _multiplying(self) -> int:
        """How many wildcards could each take any part of what the others take."""
        # A ** at the start only adds, and so do the * of different folders.
        crossing, within, most = 0, 0, 0
        for match in re.finditer(rf"{_TOKEN.pattern}|(/)", self.text):
            token = match[0]
            if token in ("**", "**/"):
                crossing += match.start() > 0
            elif token == "*" or (match[1] is not None and match[1] not in _TIME_FIELDS):
                within += 1
            if token.endswith("/"):
                within = 0
            most = max(most, within)
        return crossing + most

    def _proposal(self, keys: list[str]) -> str:
        """The pattern with fields of times if the names of all keys are plainly times."""
        if not all(name.lower() in _ALSO_TIMES for name in keys):
            return ""

        def as_time(match: re.Match[str]) -> str:
            name = match[1]
            if name is None or name in _TIME_FIELDS:
                return match[0]
            return f"{{{_ALSO_TIMES[name.lower()]}}}"

        return f"; did you mean '{_TOKEN.sub(as_time, self.text)}'?"

    @cached_property
    def key_name(self) -> str | None:
        """The name of the key field; None for a pattern of times."""
        names = [match[1] for match in _TOKEN.finditer(self.text) if match[1] is not None]
        return next((name for name in names if name not in _TIME_FIELDS), None)

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        parts, at, seen = [], 0, set()
        for match in _TOKEN.finditer(self.text):
            parts.append(re.escape(self.text[at : match.start()]))
            at = match.end()
            token = match[0]
            if token == "**/":
                parts.append("(?:.*/)?")
            elif token == "**":
                parts.append(".*")
            elif token == "*":
                parts.append("[^/]*")
            elif token == "?":
                parts.append("[^/]")
            elif match[3]:
                parts.append(_character_of(match))
            elif match[1] in seen:
                parts.append(f"(?P={match[1]})")
            else:
                seen.add(match[1])
                parts.append(f"(?P<{match[1]}>{_TIME_FIELDS.get(match[1], '[^/]+')})")
        parts.append(re.escape(self.text[at:]))
        return re.compile("".join(parts), re.DOTALL)

    @cached_property
    def _matcher(self) -> PathMatcher:
        """The same pattern for paths that would keep ``re`` busy; no field is in it twice."""
        parts: list[Part] = []
        at = 0
        for match in _TOKEN.finditer(self.text):
            parts.append(Part(re.escape(self.text[at : match.start()])))
            at = match.end()
            parts.append(_part(match))
        return PathMatcher([*parts, Part(re.escape(self.text[at:]))])

    def _fields(self, path: str) -> dict[str, str] | None:
        if self._multiplying >= _MULTIPLYING:
            return self._matcher.fields(path)
        match = self._regex.fullmatch(path)
        return match.groupdict() if match else None

    def key(self, relative_path: str) -> str | None:
        """The value of the named key in this path; None if the path does not match."""
        found = self._fields(relative_path)
        return found[self.key_name] if found and self.key_name else None

    def time(self, relative_path: str) -> datetime | None:
        """The (naive) time in this path; None if the path does not match or is no real time."""
        found = self._fields(relative_path)
        if not found or self.key_name:
            return None
        fields = {name: int(value) for name, value in found.items()}
        try:
            return datetime(fields["yyyy"], fields["MM"], fields.get("dd", 1), fields.get("HH", 0))
        except ValueError:
            return None


def _character_of(match: re.Match[str]) -> str:
    signs = re.sub(r"([\\&~|])", r"\\\1", match[3])
    return f"(?!/)[{'^' if match[2] else ''}{signs}]"


def _part(match: re.Match[str]) -> Part:
    token = match[0]
    if token == "**/":
        return Part("", 0, crosses=True, optional_folders=True)
    if token == "**":
        return Part("", 0, crosses=True)
    if token == "*":
        return Part("", 0)
    if token == "?":
        return Part("[^/]")
    if match[3]:
        return Part(_character_of(match))
    if match[1] in _TIME_FIELDS:
        return Part(_TIME_FIELDS[match[1]], field=match[1])
    return Part("", 1, field=match[1])
