"""The keys of the section ``format`` for Parquet."""

from typing import Literal

from pydantic import Field

from autoloader_dagster.specs.section import FormatSection


class ParquetFormat(FormatSection):
    """Apache Parquet."""

    type: Literal["parquet"] = Field(description="Apache Parquet.")
