"""The keys of the section ``format`` for JSON."""

import re
from typing import Literal

from pydantic import Field, field_validator

from autoloader_dagster.specs.section import FormatSection, SpecModel
from autoloader_dagster.specs.timestamp_formats import TimestampFormats


class JsonOptions(SpecModel):
    """How a JSON file is laid out."""

    layout: Literal["auto", "lines", "document"] = Field(
        default="auto",
        description="'lines': one record a line. 'document': arrays of records and records, one "
        "after the other, with or without line breaks or commas between. 'auto' looks into each "
        "file.",
    )
    record_path: str | None = Field(
        default=None,
        description="Where a document keeps its records, for example 'Records' (CloudTrail) or "
        "'data.items'. Implies layout: document.",
    )
    timestamp_formats: TimestampFormats = Field(
        default=(), description="Further date and time patterns to try (Spark's letters)."
    )

    @field_validator("record_path")
    @classmethod
    def _is_a_path(cls, value: str | None) -> str | None:
        if value is not None and not all(
            re.fullmatch(r"[^\"'\[\]$\s]+", key) for key in value.split(".")
        ):
            raise ValueError(
                f"'{value}' is not a path; write keys with dots between, as 'data.items'"
            )
        return value


class JsonFormat(FormatSection):
    """JSON lines or JSON documents."""

    type: Literal["json"] = Field(description="JSON lines or JSON documents.")
    options: JsonOptions = Field(default=JsonOptions(), description="How the files are laid out.")
