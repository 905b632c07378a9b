"""The keys of the section ``format`` for Parquet."""

from typing import Literal

from pydantic import Field

from autoloader_dagster.specs.section import SpecModel


class ParquetFormat(SpecModel):
    """Apache Parquet."""

    type: Literal["parquet"] = Field(description="Apache Parquet.")
