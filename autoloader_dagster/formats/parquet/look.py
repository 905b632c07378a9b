"""The look at a Parquet file: its marks at both ends and its footer, without reading the data."""

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from autoloader_dagster.counts import counted
from autoloader_dagster.formats.content import Content, SeekableContent
from autoloader_dagster.formats.outcome import BadFile, Look, beginning
from autoloader_dagster.formats.parquet.group import ParquetGroup

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MARK, _ENCRYPTED_MARK = b"PAR1", b"PARE"
# Two marks and the footer's length.
_SMALLEST = 12
# Logical types without a counterpart in Spark, which fails on them without naming the file.
_UNREADABLE_TYPES = {
    "TIME": "a time of day",
    "FLOAT16": "16-bit floats",
    "INTERVAL": "intervals",
    "GEOMETRY": "geometries",
    "GEOGRAPHY": "geographies",
    "UUID": "UUIDs",
}
# Spark comes without the code for these.
_UNREADABLE_COMPRESSIONS = frozenset({"BROTLI", "LZO"})
_MAX_DECIMAL_DIGITS = 38
# Spark sends a schema as a message that may nest a hundred deep, with three levels a struct.
_MAX_DEPTH = 25
# Above this many column chunks only the first column of each row group is compared.
_MAX_CHUNKS_COMPARED = 20_000
# How Spark itself notes the types that a file was written with, which its reader goes by.
_SPARK_SCHEMA, _SPARK_VERSION = (
    b"org.apache.spark.sql.parquet.row.metadata",
    b"org.apache.spark.version",
)


@dataclass(frozen=True, slots=True)
class _Footer:
    metadata: "pq.FileMetaData"
    group: ParquetGroup


def look_at_parquet(content: Content, look: Look) -> Look:
    """Look at one Parquet file; costs two or three small reads.

    Raises:
        BadFile: The file is bad.
        SourceError: The source cannot be read.
    """
    size, head = content.ref.size, content.head
    tail = content.tail[-8:] if size >= _SMALLEST else b""
    if head.startswith(_ENCRYPTED_MARK) or tail.endswith(_ENCRYPTED_MARK):
        raise BadFile("Encrypted", "is an encrypted Parquet file; deliver it decrypted")
    if not head.startswith(_MARK):
        raise BadFile(
            "NotParquet", f"begins with '{beginning(head)}', not with PAR1 as Parquet does"
        )
    if not tail.endswith(_MARK):
        raise _truncated("does not end with PAR1")
    footer = int.from_bytes(tail[:4], "little")
    if footer + _SMALLEST > size:
        raise _truncated(f"says that its footer has {footer:,} bytes, and has {size:,} itself")
    found = _read_footer(content)
    _refuse_compression(found.metadata)
    _refuse_cut_data(found.metadata, size - footer - 8)
    rows = _rows(found.metadata)
    return replace(look, group=found.group, columns=found.group.names, rows=rows, empty=rows == 0)


def _read_footer(content: Content) -> _Footer:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = SeekableContent(content)
    try:
        # Typed for the path-like and file-like objects that the stubs know.
        metadata = pq.read_metadata(pa.PythonFile(cast(io.IOBase, file), mode="r"))
        schema = metadata.schema.to_arrow_schema()
    except (pa.ArrowException, OSError, ValueError) as error:
        if file.failure is not None:
            raise file.failure from None
        reason = str(error).splitlines()[0].rstrip(" .") if str(error) else type(error).__name__
        raise BadFile(
            "CorruptParquet", f"has a footer that cannot be read: {reason}; deliver it again"
        ) from error
    for field in schema:
        _refuse_unreadable_nesting(field.type, field.name, 1)
    _refuse_repeated_names(schema.names)
    old_times = _refuse_unreadable(metadata)
    nanoseconds = tuple(
        (field.name, field.type.tz is not None)
        for field in schema
        # Arrow shows the old 96-bit timestamps as nanoseconds too.
        if pa.types.is_timestamp(field.type)
        and field.type.unit == "ns"
        and field.name not in old_times
    )
    return _Footer(
        metadata,
        ParquetGroup(
            tuple(schema.names),
            _digest(metadata),
            nanoseconds,
            # Spark itself writes them from microseconds.
            () if _is_by_spark(metadata) else tuple(n for n in schema.names if n in old_times),
            tuple(field.name for field in schema if pa.types.is_null(field.type)),
        ),
    )


def _digest(metadata: "pq.FileMetaData") -> str:
    """The same for files that Spark reads with the same types."""
    # The first line is the address of the object.
    text = repr(metadata.schema).partition("\n")[2]
    text = re.sub(r" field_id=-?[0-9]+", "", text)
    by_spark = (metadata.metadata or {}).get(_SPARK_SCHEMA, b"")
    return hashlib.blake2b(text.encode() + by_spark, digest_size=16).hexdigest()


def _is_by_spark(metadata: "pq.FileMetaData") -> bool:
    notes = metadata.metadata or {}
    return _SPARK_VERSION in notes and metadata.created_by.startswith("parquet-mr")


def _rows(metadata: "pq.FileMetaData") -> int:
    """The rows of all row groups, which is what is read."""
    groups = metadata.num_row_groups
    width = metadata.num_columns if groups * metadata.num_columns <= _MAX_CHUNKS_COMPARED else 1
    # A column that repeats has a value for each element, not for each row.
    flat = [
        i
        for i in range(min(width, metadata.num_columns))
        if not metadata.schema.column(i).max_repetition_level
    ]
    rows = 0
    for i in range(groups):
        group = metadata.row_group(i)
        rows += group.num_rows
        for j in flat:
            values = group.column(j).num_values
            if values != group.num_rows:
                raise BadFile(
                    "CorruptParquet",
                    f"has a footer that contradicts itself: row group {i + 1} has "
                    f"{counted(group.num_rows, 'row')} and {counted(values, 'value')} in column "
                    f"'{metadata.schema.column(j).path}'; deliver it again",
                )
    # Some writers note no total.
    if metadata.num_rows not in (0, rows):
        raise BadFile(
            "CorruptParquet",
            f"has a footer that contradicts itself: {counted(metadata.num_rows, 'row')} in all, "
            f"and {rows:,} in its row groups; deliver it again",
        )
    return rows


def _refuse_repeated_names(names: Sequence[str], within: str = "") -> None:
    seen: dict[str, str] = {}
    for name in names:
        # Spark compares names without regard to case.
        if name.lower() in seen:
            where = f" within '{within}'" if within else ""
            raise BadFile(
                "DuplicateColumns",
                f"has columns '{seen[name.lower()]}' and '{name}'{where}, which are one name to "
                "Spark; rename one of them",
            )
        seen[name.lower()] = name


def _refuse_unreadable_nesting(kind: "pa.DataType", path: str, depth: int) -> None:
    import pyarrow as pa

    if not pa.types.is_nested(kind):
        return
    if depth > _MAX_DEPTH:
        raise BadFile(
            "UnsupportedType",
            f"has a column '{path.split('.', 1)[0]}' that is nested more than {_MAX_DEPTH} levels "
            "deep; deliver it flatter, or as JSON text",
        )
    fields = [kind.field(i) for i in range(kind.num_fields)]
    if pa.types.is_struct(kind):
        _refuse_repeated_names([field.name for field in fields], path)
        if not all(field.name for field in fields):
            raise BadFile(
                "UnsupportedType",
                f"has a field without a name within column '{path}'; give it one",
            )
    for field in fields:
        _refuse_unreadable_nesting(field.type, f"{path}.{field.name}", depth + 1)


def _refuse_compression(metadata: "pq.FileMetaData") -> None:
    if not metadata.num_row_groups:
        return
    group = metadata.row_group(0)
    for i in range(group.num_columns):
        compression = group.column(i).compression
        if compression in _UNREADABLE_COMPRESSIONS:
            raise BadFile(
                "UnsupportedCompression",
                f"is compressed with {compression.lower()}, which Spark does not read; write it "
                "with zstd, snappy, gzip or lz4_raw",
            )


def _refuse_cut_data(metadata: "pq.FileMetaData", data_end: int) -> None:
    """Refuse a footer that speaks of data which is not there."""
    if not metadata.num_row_groups:
        return
    group = metadata.row_group(metadata.num_row_groups - 1)
    for i in range(group.num_columns):
        column = group.column(i)
        first_page = column.data_page_offset
        if column.has_dictionary_page and column.dictionary_page_offset:
            first_page = min(first_page, column.dictionary_page_offset)
        end = first_page + column.total_compressed_size
        if end > data_end:
            raise _truncated(f"should have data up to byte {end:,}, and has it up to {data_end:,}")


def _refuse_unreadable(metadata: "pq.FileMetaData") -> set[str]:
    """Refuse types that Spark does not read without loss.

    Returns:
        The top-level columns of old 96-bit timestamps.
    """
    schema, by_spark, old_times = metadata.schema, _is_by_spark(metadata), set[str]()
    for i in range(len(schema.names)):
        # The stubs know the class, not these attributes.
        column = cast(Any, schema.column(i))
        kind = column.logical_type.type
        nested = column.path != column.name or column.max_repetition_level
        what = _UNREADABLE_TYPES.get(kind) or _UNREADABLE_TYPES.get(column.converted_type)
        # One of these at the top is read as a number or as bytes, and converted.
        if kind == "TIMESTAMP" and "nanoseconds" in str(column.logical_type) and nested:
            what = "nested timestamps in nanoseconds"
        elif column.physical_type == "INT96" and not nested:
            old_times.add(column.name)
        elif column.physical_type == "INT96" and not by_spark:
            what = "nested 96-bit timestamps, which are in nanoseconds,"
        elif kind == "DECIMAL" and column.precision > _MAX_DECIMAL_DIGITS:
            what = f"decimals of {column.precision} digits"
        if what:
            raise BadFile(
                "UnsupportedType",
                f"has {what} in column '{column.path}', which Spark does not read; write it in "
                "another type (timestamps in microseconds, times of day and UUIDs as text)",
            )
    return old_times


def _truncated(why: str) -> BadFile:
    return BadFile("TruncatedParquet", f"is cut short: it {why}; deliver it again whole")
