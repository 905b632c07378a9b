"""Translates the globs of a spec to regular expressions that no path makes slow.

Python matches a regular expression in one go, and no other thread works meanwhile. So a glob whose
time multiplies with each wildcard would stop all that the process does for other specs.
"""

from itertools import count

from wcmatch import glob

MOST_ALTERNATIVES = 1000

# `*` stays inside a folder and `**` crosses folders; a leading '.' or '_' is a letter like others;
# letter case counts on every system, for object keys and Linux paths differ by case.
_FLAGS = glob.GLOBSTAR | glob.BRACE | glob.DOTGLOB | glob.CASE | glob.FORCEUNIX
# How wcmatch writes `*` and `**`.
_IN_ONE_FOLDER = "[^/]*?"
_CROSSES_FOLDERS = r"(?:(?!(?:[/]|^)(?:\.{1,2})(?:$|[/])).)*?"

_groups = count()


def translate_glob(pattern: str) -> list[str]:
    """The regular expressions of a glob, one for each alternative in ``{}``.

    Raises:
        ValueError: The glob expands to more than 1,000 alternatives, or cannot be read.
    """
    try:
        regexes, _ = glob.translate(pattern, flags=_FLAGS, limit=MOST_ALTERNATIVES)
    # wcmatch keeps the class of this exception in a private module.
    except Exception as error:
        raise ValueError(f"the glob '{pattern}' cannot be used: {error}") from error
    # An older wcmatch keeps what it finds there, and nobody asks for it.
    plain = (regex.replace("($|[/])", "(?:$|[/])") for regex in regexes)
    return [_first_place_only(_stars_at_first_place(regex)) for regex in plain]


def _stars_at_first_place(regex: str) -> str:
    """The same expression, in which what follows a ``*`` up to the next one has one place only.

    The wcmatch of Python 3.10 leaves that to us; a newer one does it.
    """
    first, *parts = regex.split(_IN_ONE_FOLDER)
    if "(?>" in regex or not parts:
        return regex
    *between, last = parts
    # A / ends a folder, and the next * is in another one.
    fixed = (
        f"{_IN_ONE_FOLDER}{part}"
        if "[/]+" in part or "[/])+" in part
        else _once(f"{_IN_ONE_FOLDER}{part}")
        for part in between
    )
    return f"{first}{''.join(fixed)}{_IN_ONE_FOLDER}{last}"


def _first_place_only(regex: str) -> str:
    """The same expression, in which what is between two ``**`` is matched at one place only.

    The first place is as good as any other, because the second ``**`` takes all that follows.
    """
    first, *parts = regex.split(_CROSSES_FOLDERS)
    if len(parts) < 2:
        return regex
    *between, last = parts
    fixed = (_once(f"{_CROSSES_FOLDERS}{part}") for part in between)
    return f"{first}{''.join(fixed)}{_CROSSES_FOLDERS}{last}"


def _once(regex: str) -> str:
    # What a lookahead has found is not searched again. (Python 3.10 has no atomic groups.)
    group = f"place_{next(_groups)}"
    return f"(?=(?P<{group}>{regex}))(?P={group})"
