"""Finds files whose names are nearly one that the loader reads, because they would have no effect.

A boundary or a connection that is left out without a word would be missed only when it is needed.
"""

import re
from pathlib import Path


def misnamed(folder: Path, name: str) -> list[Path]:
    """The entries of a folder whose names are nearly ``name``.

    Nearly means: in other letter case, in the singular or the plural, or with ``.yml``.

    Args:
        folder: Where to look.
        name: The right name, as ``_tenant.yaml``.
    """
    stem = name.removesuffix(".yaml").removesuffix("s")
    nearly = re.compile(rf"{stem}s?\.ya?ml", re.IGNORECASE)
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # the loader reports a folder that cannot be read
        return []
    return [entry for entry in entries if entry.name != name and nearly.fullmatch(entry.name)]
