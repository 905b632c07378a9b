"""From the looks of a batch to the table's columns and the DataFrame to append."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoloader_dagster.inspection.column_names import normalise
from autoloader_dagster.inspection.columns import sniff_columns
from autoloader_dagster.inspection.json_values import key_of
from autoloader_dagster.inspection.outcome import CsvGroup, JsonGroup, Look, ParquetGroup
from autoloader_dagster.inspection.type_inference import merge_types
from autoloader_dagster.spark.lineage import SourceFile
from autoloader_dagster.spark.read_csv import read_csv
from autoloader_dagster.spark.read_json import read_json
from autoloader_dagster.spark.read_parquet import parquet_types, read_parquet
from autoloader_dagster.spark.reading import Column, ReadContext, united
from autoloader_dagster.specs.format import CsvFormat, JsonFormat
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
) -> list[Column]:
    """The columns that these files have, in order of appearance, with inferred types and hints."""
    if isinstance(spec.format, CsvFormat | JsonFormat):
        is_json = isinstance(spec.format, JsonFormat)
        found = sniff_columns(
            [r.look for r in readable],
            spec,
            known={key_of(o): name for o, name in _by_original(known).items()}
            if is_json
            else _by_original(known),
        )
        return [Column(name, sql_type, original) for name, (sql_type, original) in found.items()]
    columns: dict[str, Column] = {}
    context = ReadContext(spark, (), options, "")
    for group, members in _by_group(readable).items():
        if not isinstance(group, ParquetGroup):
            continue
        types = parquet_types(context, members[0].file, group)
        for original, name in _parquet_names(group, spec).items():
            hint = spec.columns.hints.get(name) or spec.columns.hints.get(original)
            found = columns.get(name)
            if found is None:
                columns[name] = Column(name, hint or types[original], original)
            elif hint is None:
                both = merge_types(found.sql_type, types[original])
                columns[name] = Column(name, both, found.original)
    return list(columns.values())


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
    groups = {g: [r.file for r in members] for g, members in _by_group(readable).items()}
    if isinstance(spec.format, CsvFormat):
        csv_groups = {g: files for g, files in groups.items() if isinstance(g, CsvGroup)}
        known = _by_original(columns)
        column_of = {g: tuple(normalise(g.header, spec.columns.names, known)) for g in csv_groups}
        return united(read_csv(context, spec.format.options, csv_groups, column_of))
    if isinstance(spec.format, JsonFormat):
        keys = {key_of(c.original) if c.original else c.name: c.name for c in columns}
        return united(
            [
                read_json(context, spec.format.options, g.layout, files, keys)
                for g, files in groups.items()
                if isinstance(g, JsonGroup)
            ]
        )
    return united(
        [
            read_parquet(context, files, g, _parquet_names(g, spec))
            for g, files in groups.items()
            if isinstance(g, ParquetGroup)
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


def _parquet_names(group: ParquetGroup, spec: IngestionSpec) -> dict[str, str]:
    return dict(zip(group.names, normalise(group.names, spec.columns.names), strict=True))


def _by_group(readable: Sequence[Readable]) -> Mapping[object, list[Readable]]:
    groups: dict[object, list[Readable]] = defaultdict(list)
    for item in readable:
        groups[item.look.group].append(item)
    return groups
