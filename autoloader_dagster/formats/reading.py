"""From a batch's files to one DataFrame with exactly the table's columns.

Files that can be read alike are read by one reader, and the readers are united: few Spark jobs
for many files. Each format has a module of its own; what they share is here.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.lineage import SourceFile, glob_escaped
from autoloader_dagster.iceberg.sql import quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameReader, SparkSession

# From this many files on, one look into their folders costs an object store less than a request
# or four for each of them.
LIST_FOLDERS_FROM = 33
_REQUESTS_A_NAME = 4
_FILES_A_LISTING = 1000
# As the number of a source's files: so many that each file of a batch is asked for by its name.
TOO_MANY_TO_LIST = 1 << 62


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What every reader needs besides its files.

    Attributes:
        spark: The session.
        columns: The table's columns without the lineage columns, in the table's order.
        options: Reader options of the source (credentials, endpoint).
        batch_id: Becomes ``_batch_id``.
        source_files: How many files the source has, as far as is known.
    """

    spark: "SparkSession"
    columns: tuple[Column, ...]
    options: dict[str, str]
    batch_id: BatchId
    source_files: int = 0


def reader(context: ReadContext) -> "DataFrameReader":
    """A reader with the source's options."""
    return context.spark.read.options(**context.options)


def paths_to_read(files: Sequence[SourceFile], source_files: int) -> tuple[list[str], bool]:
    """What to give to a reader for these files, and whether it holds other files too.

    Local files are named one by one, which costs the driver nothing. On an object store Spark asks
    several times for each name, so it is given the folders where listing them costs less.

    Args:
        files: What is to be read.
        source_files: How many files the source has, as far as is known.
    """
    names = [file.read_from for file in files]
    stored = [name for name in names if not name.startswith("file:")]
    stored = [name for name in stored if not _in_hidden_folder(name)]
    listing = source_files / _FILES_A_LISTING
    if len(stored) < LIST_FOLDERS_FROM or listing > len(stored) * _REQUESTS_A_NAME:
        return [glob_escaped(name) for name in names], False
    folders = sorted({name.rpartition("/")[0] for name in stored})
    if len(folders) > LIST_FOLDERS_FROM:
        folders = [_common_folder(folders)]
    by_folder = set(stored)
    return [
        *(glob_escaped(folder) + "/" for folder in _without_nested(folders)),
        *(glob_escaped(name) for name in names if name not in by_folder),
    ], True


def _in_hidden_folder(name: str) -> bool:
    """Whether Spark would pass over the file when it lists a folder above it."""
    folders = name.split("/")[3:-1]
    return any(folder.startswith(("_", ".")) for folder in folders)


def _common_folder(folders: Sequence[str]) -> str:
    """The folder above all of them, which are in one bucket."""
    bucket = "/".join(folders[0].split("/", 3)[:3])
    above = posixpath.commonpath([folder.removeprefix(bucket) or "/" for folder in folders])
    return bucket + above.rstrip("/")


def _without_nested(folders: Sequence[str]) -> list[str]:
    kept: list[str] = []
    for folder in folders:
        if not any(folder.startswith(other + "/") for other in kept):
            kept.append(folder)
    return kept


def only_these_files(frame: "DataFrame", files: Sequence[SourceFile]) -> "DataFrame":
    """Keep the rows of these files; Spark applies it while it lists, so others are not read."""
    from autoloader_dagster.iceberg.lineage import spark_uri

    # Not by its plain name, which a column of the files may have.
    path = frame.metadataColumn("_metadata").getField("file_path")
    return frame.where(path.isin([spark_uri(f.read_from) for f in files]))


def load_files(
    context: ReadContext,
    data_reader: "DataFrameReader",
    format_name: str,
    files: Sequence[SourceFile],
) -> "DataFrame":
    """Read these files and no others, whichever way of naming them is cheaper."""
    paths, others_too = paths_to_read(files, context.source_files)
    if not others_too:
        return data_reader.format(format_name).load(paths)
    frame = data_reader.option("recursiveFileLookup", "true").format(format_name).load(paths)
    return only_these_files(frame, files)


def in_table_order(frame: "DataFrame", context: ReadContext, present: Sequence[str]) -> "DataFrame":
    """Select the table's columns and then the lineage columns; absent ones are null."""
    from pyspark.sql import functions as F

    from autoloader_dagster.iceberg.lineage import LINEAGE_COLUMNS

    have = set(present)
    data = [
        F.col(quoted(c.name))
        if c.name in have
        else F.expr(f"cast(null as {c.sql_type})").alias(c.name)
        for c in context.columns
    ]
    return frame.select(*data, *LINEAGE_COLUMNS)


def united(frames: Sequence["DataFrame"]) -> "DataFrame":
    """A union as a balanced tree, because Spark's analysis of a long chain takes minutes."""
    if len(frames) == 1:
        return frames[0]
    middle = len(frames) // 2
    return united(frames[:middle]).union(united(frames[middle:]))
