"""The kinds of formats, each by the module that has everything about it.

A new kind is one module or folder, and one line here. The modules are imported by name, because
they belong to rooms above this one: the section that a person writes and the code that reads the
files are kept together.
"""

from importlib import import_module
from typing import Any

FORMATS = {
    "csv": "autoloader_dagster.formats.csv.format",
    "json": "autoloader_dagster.formats.json.format",
    "parquet": "autoloader_dagster.formats.parquet.format",
    "text": "autoloader_dagster.formats.text_format",
}


def format_of(kind: str) -> Any:
    """The ``FileFormat`` of a kind.

    Raises:
        KeyError: There is no such kind.
    """
    return import_module(FORMATS[kind]).FORMAT
