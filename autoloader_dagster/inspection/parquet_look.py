"""The look at a Parquet file: its marks at both ends and its footer, without reading the data."""

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from autoloader_dagster.inspection.content import Content, SeekableContent
from autoloader_dagster.inspection.outcome import Look, ParquetGroup, SetAside, beginning

if TYPE_CHECKING:
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
}


def look_at_parquet(content: Content, look: Look) -> Look:
    """Look at one Parquet file; costs two or three small reads.

    Raises:
        SetAside: The file is bad.
        SourceError: The source cannot be read.
    """
    size, head = content.ref.size, content.head
    tail = content.tail[-8:] if size >= _SMALLEST else b""
    if head.startswith(_ENCRYPTED_MARK) or tail.endswith(_ENCRYPTED_MARK):
        raise SetAside("Encrypted", "is an encrypted Parquet file; deliver it decrypted")
    if not head.startswith(_MARK):
        raise SetAside(
            "NotParquet", f"begins with '{beginning(head)}', not with PAR1 as Parquet does"
        )
    if not tail.endswith(_MARK):
        raise _truncated("does not end with PAR1")
    footer = int.from_bytes(tail[:4], "little")
    if footer + _SMALLEST > size:
        raise _truncated(f"says that its footer has {footer:,} bytes, and has {size:,} itself")
    metadata, types, nanoseconds = _read_footer(content)
    _refuse_cut_data(metadata, size - footer - 8)
    _refuse_unreadable(metadata)
    names = tuple(types)
    digest = hashlib.blake2b(repr(types).encode(), digest_size=16).hexdigest()
    return replace(
        look,
        group=ParquetGroup(names, digest, nanoseconds),
        columns=names,
        rows=metadata.num_rows,
        empty=metadata.num_rows == 0,
    )


def _read_footer(
    content: Content,
) -> tuple["pq.FileMetaData", dict[str, str], tuple[tuple[str, bool], ...]]:
    """The footer, the type of each top-level column, and which are in nanoseconds."""
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
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SetAside(
            "CorruptParquet", f"has a footer that cannot be read: {reason}; deliver it again"
        ) from error
    seen: dict[str, str] = {}
    for name in schema.names:
        # Spark compares names without regard to case.
        if name.lower() in seen:
            raise SetAside(
                "DuplicateColumns",
                f"has columns '{seen[name.lower()]}' and '{name}', which are one name to Spark; "
                "rename one of them",
            )
        seen[name.lower()] = name
    types = {field.name: f"{field.type} {field.nullable}" for field in schema}
    nanoseconds = tuple(
        (field.name, field.type.tz is not None)
        for field in schema
        if pa.types.is_timestamp(field.type)
        and field.type.unit == "ns"
        # Arrow shows Spark's old 96-bit timestamps as nanoseconds too, and Spark reads those.
        and metadata.schema.column(schema.names.index(field.name)).physical_type == "INT64"
    )
    return metadata, types, nanoseconds


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


def _refuse_unreadable(metadata: "pq.FileMetaData") -> None:
    schema = metadata.schema
    for i in range(len(schema.names)):
        # The stubs know the class, not these attributes.
        column = cast(Any, schema.column(i))
        kind = column.logical_type.type
        what = _UNREADABLE_TYPES.get(kind) or _UNREADABLE_TYPES.get(column.converted_type)
        if (
            kind == "TIMESTAMP"
            and "nanoseconds" in str(column.logical_type)
            # One at the top is read as a number and converted.
            and "." in column.path
        ):
            what = "nested timestamps in nanoseconds"
        if what:
            raise SetAside(
                "UnsupportedType",
                f"has {what} in column '{column.path}', which Spark does not read; write it in "
                "another type (timestamps in microseconds, times of day as text)",
            )


def _truncated(why: str) -> SetAside:
    return SetAside("TruncatedParquet", f"is cut short: it {why}; deliver it again whole")
