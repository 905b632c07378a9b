"""From the looks of a batch to the table's columns and the DataFrame to append."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoloader_dagster.formats.columns import columns_of_keys, names_in_files, sniff_columns
from autoloader_dagster.formats.csv.group import CsvGroup
from autoloader_dagster.formats.csv.options import CsvFormat
from autoloader_dagster.formats.csv.read import read_csv
from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.formats.hints import hint_types
from autoloader_dagster.formats.json.group import JsonGroup
from autoloader_dagster.formats.json.options import JsonFormat
from autoloader_dagster.formats.json.read import read_json
from autoloader_dagster.formats.json.values import key_of
from autoloader_dagster.formats.outcome import Look
from autoloader_dagster.formats.parquet.columns import parquet_columns, parquet_names
from autoloader_dagster.formats.parquet.group import ParquetGroup
from autoloader_dagster.formats.parquet.read import prepare, read_parquet
from autoloader_dagster.formats.reading import ReadContext, united
from autoloader_dagster.iceberg.column_names import normalise
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.specs.model import IngestionSpec

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, slots=True)
class Readable:
    """A file of a batch that is fit to be read.

    Attributes:
        look: What was found in it.
        file: Where and as what Spark reads it.
    """

    look: Look
    file: SourceFile


def columns_of_files(
    spark: "SparkSession",
    spec: IngestionSpec,
    readable: Sequence[Readable],
    options: dict[str, str],
    known: Sequence[Column],
    format_version: Callable[[], int],
) -> FoundColumns:
    """The columns that these files have, in order of appearance, with inferred types and hints.

    Args:
        spark: The session.
        spec: Style of names, hints.
        readable: The files.
        options: Reader options of the source.
        known: The table's columns.
        format_version: Asked for that of Iceberg, that the table has or will have.

    Raises:
        SpecError: A hint is no type, or none that the table can have.
    """
    hints = hint_types(spark, spec, format_version)
    if isinstance(spec.format, CsvFormat | JsonFormat):
        looks = [r.look for r in readable]
        names, columns = known_names(spec, known), [column.name for column in known]
        found = sniff_columns(looks, spec, names, hints, columns)
        return FoundColumns(
            tuple(Column(name, column.sql_type, column.original) for name, column in found.items()),
            names_in_files(looks, spec, names, columns),
            hints,
        )
    return parquet_columns(
        ReadContext(spark, (), options, ""),
        spec,
        {
            group: [r.file for r in members]
            for group, members in by_group(readable).items()
            if isinstance(group, ParquetGroup)
        },
        known,
        hints,
        format_version,
    )


def known_names(spec: IngestionSpec, columns: Sequence[Column]) -> dict[str, str]:
    """The columns of the names that the files are known to have for them."""
    known = _by_original(columns)
    return (
        {key_of(o): name for o, name in known.items()}
        if isinstance(spec.format, JsonFormat)
        else known
    )


def record_path_of(spec: IngestionSpec) -> str | None:
    """Where the JSON documents of a spec keep their records."""
    return spec.format.options.record_path if isinstance(spec.format, JsonFormat) else None


def batch_frame(
    spark: "SparkSession",
    spec: IngestionSpec,
    readable: Sequence[Readable],
    options: dict[str, str],
    columns: Sequence[Column],
    batch_id: str,
    source_files: int = 0,
) -> "DataFrame":
    """A new DataFrame of all rows of these files, with exactly the table's columns.

    It must be made anew for each attempt: Spark Connect keeps the file listing of a DataFrame.
    """
    context = ReadContext(spark, tuple(columns), options, batch_id, source_files)
    groups = {g: [r.file for r in members] for g, members in by_group(readable).items()}
    names = [column.name for column in columns]
    if isinstance(spec.format, CsvFormat):
        csv_groups = {g: files for g, files in groups.items() if isinstance(g, CsvGroup)}
        known = _by_original(columns)
        column_of = {
            g: tuple(normalise(g.header, spec.columns.names, known, columns=names))
            for g in csv_groups
        }
        return united(read_csv(context, spec.format.options, csv_groups, column_of))
    if isinstance(spec.format, JsonFormat):
        known = known_names(spec, columns)
        keys = columns_of_keys([r.look for r in readable], spec, known, names)
        # The name in the files of a column that a person made is not known.
        keys = {c.name: c.name for c in columns if c.name not in keys.values()} | keys
        return united(
            [
                read_json(context, spec.format.options, g.layout, files, keys)
                for g, files in groups.items()
                if isinstance(g, JsonGroup)
            ]
        )
    parquet_groups = {g: files for g, files in groups.items() if isinstance(g, ParquetGroup)}
    prepare(context, parquet_groups)
    return united(
        [
            read_parquet(context, files, g, parquet_names(g, spec, columns))
            for g, files in parquet_groups.items()
        ]
    )


def _by_original(columns: Sequence[Column]) -> dict[str, str]:
    """The column of each original name; of a name that a file repeats, the first."""
    known: dict[str, str] = {}
    for column in columns:
        # A blank name has its column by its position.
        if column.original.strip():
            known.setdefault(column.original, column.name)
    return known


def by_group(readable: Sequence[Readable]) -> Mapping[object, list[Readable]]:
    """The files that one reader may read together."""
    groups: dict[object, list[Readable]] = defaultdict(list)
    for item in readable:
        groups[item.look.group].append(item)
    return groups


def read_otherwise(readable: Sequence[Readable]) -> list[Readable]:
    """The files that must not be read together with the others; the fewer of the two kinds.

    Files of 96-bit timestamps make Spark read a whole query with its other Parquet reader, which
    fails on files that the usual one reads. No file may depend on what is beside it.
    """
    kinds: dict[bool, list[Readable]] = defaultdict(list)
    for item in readable:
        group = item.look.group
        if not item.look.empty:
            kinds[isinstance(group, ParquetGroup) and bool(group.old_times)].append(item)
    return min(kinds[True], kinds[False], key=len)
