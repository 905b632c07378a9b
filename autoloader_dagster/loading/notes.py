"""What looks like a mistake in a spec, told from the files that it chooses."""

from collections.abc import Sequence

from autoloader_dagster.formats.csv.delimiter import delimiter_note
from autoloader_dagster.formats.csv.options import CsvFormat
from autoloader_dagster.formats.outcome import Look
from autoloader_dagster.specs.model import IngestionSpec


def notes_on(spec: IngestionSpec, looks: Sequence[Look]) -> tuple[str, ...]:
    """What looks like a mistake, and how to correct it, in words.

    Args:
        spec: The spec.
        looks: Of the files that can be loaded.
    """
    if not isinstance(spec.format, CsvFormat):
        return ()
    note = delimiter_note(looks, spec.format.options.delimiter)
    return () if note is None else (note,)
