"""What looks like a mistake in a spec, told from the files that it chooses."""

from collections.abc import Sequence

from autoloader_dagster.formats.base import file_format
from autoloader_dagster.formats.outcome import Look
from autoloader_dagster.specs.model import IngestionSpec


def notes_on(spec: IngestionSpec, looks: Sequence[Look]) -> tuple[str, ...]:
    """What looks like a mistake, and how to correct it, in words.

    Args:
        spec: The spec.
        looks: Of the files that can be loaded.
    """
    return file_format(spec.format).notes(spec.format, looks)
