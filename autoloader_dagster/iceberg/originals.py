"""The names that columns have in the files, kept in properties of the table.

A column's comment shows its name for people, who may write another comment; what a name in the
files means must not change with it. Each statement that adds columns leaves properties of its own,
so that two workers that add columns at the same time overwrite nothing of each other.
"""

import hashlib
import json
import re
import time
import zlib
from collections.abc import Mapping

from autoloader_dagster.iceberg.column_names import normalise

_PREFIX = "autoloader.originals."
# Some catalogs keep no longer value.
_MAX_VALUE = 3_900
# Hexadecimal, because Spark shows no property that looks like a secret or an address, and these
# letters spell none. Compressed it is half of that.
_COLUMNS_A_PROPERTY = 400


def properties_for(originals: Mapping[str, str]) -> dict[str, str]:
    """Properties that hold the original name of each column.

    Args:
        originals: By column; an empty one is unknown.
    """
    names = list(originals)
    made: dict[str, str] = {}
    parts = [names[i : i + _COLUMNS_A_PROPERTY] for i in range(0, len(names), _COLUMNS_A_PROPERTY)]
    while parts:
        part = parts.pop()
        content = {"at": time.time_ns(), "columns": {name: originals[name] for name in part}}
        value = zlib.compress(json.dumps(content).encode(), 9).hex()
        if len(value) <= _MAX_VALUE:
            digest = hashlib.blake2b(value.encode(), digest_size=8).hexdigest()
            made[_PREFIX + digest] = value
        elif len(part) > 1:
            parts += [part[: len(part) // 2], part[len(part) // 2 :]]
    return made


def read_originals(
    comments: Mapping[str, str], properties: Mapping[str, str]
) -> tuple[dict[str, str], bool]:
    """The original name of each column of a table; empty where it is unknown.

    A column that was renamed in the table keeps its original, which its comment tells. A table from
    before these properties has its originals in the comments.

    Args:
        comments: The comment of each column.
        properties: The table's.

    Returns:
        The originals, and whether the table has them in properties.
    """
    noted = _noted(properties)
    if not noted:
        return {name: _of_comment(name, comment) for name, comment in comments.items()}, False
    renamed = {original for name, original in noted.items() if original and name not in comments}
    return {
        name: noted.get(name, comment if comment in renamed else "")
        for name, comment in comments.items()
    }, True


def _noted(properties: Mapping[str, str]) -> dict[str, str]:
    found: list[tuple[int, dict[str, str]]] = []
    for key, value in properties.items():
        if not key.startswith(_PREFIX):
            continue
        try:
            content = json.loads(zlib.decompress(bytes.fromhex(value)))
            found.append((content["at"], content["columns"]))
        except (ValueError, zlib.error, KeyError, TypeError):
            # Somebody has changed it, or a server hides it.
            continue
    noted: dict[str, str] = {}
    for _, columns in sorted(found, key=lambda each: each[0]):
        noted |= columns
    return noted


def _of_comment(name: str, comment: str) -> str:
    """A comment that is the column's original name; empty for one that a person wrote."""
    if not comment:
        return ""
    for style in ("normalised", "original"):
        base = normalise([comment], style)[0]
        # One that repeated another name has a number after it.
        if name.startswith(base) and re.fullmatch(r"(_[0-9]+)?", name[len(base) :]):
            return comment
    return ""
