"""What Parquet files must share to be read by one reader."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ParquetGroup:
    """What Parquet files must share to be read by one reader.

    Attributes:
        names: The top-level columns, in order.
        schema: A digest of the whole schema, nested types and all.
        nanoseconds: The top-level columns that hold timestamps in nanoseconds, which Spark reads
            as numbers, each with whether it is an instant (else it is a local time).
        old_times: The top-level columns of old 96-bit timestamps that may be finer than
            microseconds.
        nulls: The top-level columns that have no type because they have no value.
    """

    names: tuple[str, ...]
    schema: str
    nanoseconds: tuple[tuple[str, bool], ...] = ()
    old_times: tuple[str, ...] = ()
    nulls: tuple[str, ...] = ()
