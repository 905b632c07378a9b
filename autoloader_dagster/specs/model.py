"""The ingestion spec: what one YAML file may contain, with its defaults and its meaning.

The descriptions are the reference: editors show them through ``ingestion_specs/schema.json``.
The larger sections have modules of their own.
"""

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from autoloader_dagster.specs.cron import check_cron
from autoloader_dagster.specs.format import Format
from autoloader_dagster.specs.section import LATER, KeyFault, SpecModel, check_entries, unsupported
from autoloader_dagster.specs.source import Source
from autoloader_dagster.specs.table import Partition, Schema, Table
from autoloader_dagster.specs.values import (
    IDENTIFIER,
    ByteSize,
    Duration,
    Text,
    Timezone,
    check_owner,
    check_tag,
)


class OnArrival(SpecModel):
    """A sensor that looks for new files."""

    every: Duration = Field(
        default=timedelta(seconds=60),
        description="Time between two looks, at least 5s.",
        json_schema_extra={"default": "60s"},
    )

    @field_validator("every")
    @classmethod
    def _not_too_often(cls, value: timedelta) -> timedelta:
        if value < timedelta(seconds=5):
            raise ValueError("must be at least 5s")
        return value


_NAMED_SCHEDULES = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1"}


class Trigger(SpecModel):
    """When files are loaded automatically; without a trigger they are loaded only on request."""

    on_arrival: OnArrival | None = Field(
        default=None, description="Look for new files at an interval, and load what is there."
    )
    schedule: str | None = Field(
        default=None, description="hourly, daily, weekly or a cron string such as '15 */6 * * *'."
    )
    timezone: Timezone = Field(default="UTC", description="The schedule's timezone.")

    @model_validator(mode="after")
    def _says_what_it_means(self) -> "Trigger":
        # Read as 'none', an on_arrival without keys would be a sensor that never is.
        if "on_arrival" in self.model_fields_set and self.on_arrival is None:
            raise KeyFault("is empty; write {every: 60s}, or leave the key out", "on_arrival")
        return self

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, value: str | None) -> str | None:
        if value is not None and value not in _NAMED_SCHEDULES:
            check_cron(value)
        return value

    @property
    def cron(self) -> str | None:
        """The schedule as a cron string."""
        return _NAMED_SCHEDULES.get(self.schedule, self.schedule) if self.schedule else None


class Batch(SpecModel):
    """How much goes into one commit."""

    max_files: int = Field(
        default=10_000, strict=True, gt=0, le=50_000, description="Files in one commit."
    )
    max_bytes: ByteSize = Field(
        default=10 * 2**30,
        description="Bytes of source files in one commit, as '10 GiB'.",
        json_schema_extra={"default": "10 GiB"},
    )


class Errors(SpecModel):
    """What bad rows and bad files get."""

    bad_rows: Literal["rescue", "quarantine"] = Field(
        default="rescue",
        description="'rescue': a row with a value that does not fit is kept, and what does not "
        "fit goes to _rescued. 'quarantine': a file with more than max_bad_rows of them is "
        "quarantined whole.",
    )
    max_bad_rows: int = Field(
        default=0,
        strict=True,
        ge=0,
        description="Bad rows that a file may hold before the bad_rows check warns (rescue) or "
        "the file is quarantined (quarantine).",
    )
    bad_file: Literal["quarantine", "fail"] = Field(
        default="quarantine",
        description="'quarantine': a bad file is quarantined with its reason, the rest is loaded "
        "and a check warns. 'fail': the same, and the check is an error.",
    )
    retries: int = Field(
        default=3,
        strict=True,
        ge=0,
        description="How often a failed file is tried again before quarantine.",
    )


class IngestionSpec(SpecModel):
    """One source of files and the table they become."""

    version: Literal[1] = Field(default=1, description="Version of this format.")
    name: str = Field(
        default="", description="Name of the ingestion. Default: the file's name without .yaml."
    )
    description: str = Field(default="", description="What the table holds, for people.")
    status: Literal["draft", "active", "paused"] = Field(
        default="active",
        description="'active': loaded by its triggers. 'draft' and 'paused': only on request.",
    )
    owners: tuple[str, ...] = Field(
        default=(), description="E-mail addresses or 'team:name', as in Dagster."
    )
    tags: dict[str, Text] = Field(default_factory=dict, description="Dagster tags of the asset.")
    source: Source = Field(description="Where the files are.")
    format: Format = Field(description="How the files are written.")
    # 'schema' would shadow a pydantic attribute.
    columns: Schema = Field(
        default=Schema(), alias="schema", description="How the table's columns follow the files."
    )
    partition: Partition = Field(
        default=Partition(), description="Which Dagster partition a file belongs to."
    )
    table: Table = Field(description="The Iceberg table.")
    trigger: Trigger = Field(default=Trigger(), description="When files are loaded by themselves.")
    batch: Batch = Field(default=Batch(), description="How much goes into one commit.")
    errors: Errors = Field(default=Errors(), description="What bad rows and bad files get.")
    checks: tuple[Any, ...] = Field(
        default=(),
        description="Your own checks. Not supported yet.",
        json_schema_extra=LATER,
    )

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if value and not IDENTIFIER.fullmatch(value):
            raise ValueError(f"'{value}' is not a name in lower-case letters, digits and _")
        return value

    @field_validator("owners")
    @classmethod
    def _are_owners(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for owner in value:
            check_owner(owner)
        return value

    @field_validator("tags")
    @classmethod
    def _are_tags(cls, value: dict[str, str]) -> dict[str, str]:
        check_entries(value, check_tag)
        return value

    @field_validator("checks")
    @classmethod
    def _checks_come_later(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if value:
            raise unsupported(list(value))
        return value

    @model_validator(mode="after")
    def _table_fits_partition(self) -> "IngestionSpec":
        if self.partition.by != "none":
            return self
        if "partition_by" not in self.table.model_fields_set:
            # The default names a column that is always null here. The model is frozen, and not
            # handed out yet.
            table = self.table.model_copy(update={"partition_by": ()})
            object.__setattr__(self, "table", table)
        elif any("_partition_key" in entry for entry in self.table.partition_by):
            raise KeyFault(
                "_partition_key is empty with partition.by: none; take it out",
                "table",
                "partition_by",
            )
        return self
