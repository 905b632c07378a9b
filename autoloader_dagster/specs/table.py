"""The sections ``schema``, ``partition`` and ``table``: what the files become."""

from datetime import date
from functools import cached_property
from typing import Literal

from pydantic import Field, field_validator, model_validator

from autoloader_dagster.specs.path_pattern import PathPattern
from autoloader_dagster.specs.section import (
    LATER,
    KeyFault,
    SpecModel,
    check_entries,
    only,
    unsupported,
)
from autoloader_dagster.specs.sql_types import check_sql_type
from autoloader_dagster.specs.table_properties import check_property
from autoloader_dagster.specs.values import (
    IDENTIFIER,
    Day,
    Text,
    Timezone,
    check_partition_by,
)

# What Dagster and Python count with in every time zone. Hours begin later, because each listing of
# their keys takes seconds.
EARLIEST = date(1900, 1, 1)
EARLIEST_HOUR = date(2000, 1, 1)
LATEST = date(2199, 12, 31)


class Schema(SpecModel):
    """How the table's columns follow the files."""

    mode: Literal["evolve", "approve", "rescue", "strict", "ignore"] = Field(
        default="evolve",
        description="What a new column in a file does. 'evolve' adds it to the table; the other "
        "modes are not supported yet.",
        json_schema_extra=only("evolve"),
    )
    hints: dict[str, str] = Field(
        default_factory=dict,
        description="Spark SQL types for some columns, by table column name or original name, "
        "for example {fips: string, price: 'decimal(18,2)'}. A hint that is nearly the name of a "
        "column is an error; one that matches no column yet is a warning. The type of a column "
        "that the table has can only become wider.",
    )
    optional_hints: dict[str, str] = Field(
        default_factory=dict,
        description="Like hints, for columns that the files do not have yet; a name that matches "
        "no column is neither an error nor a warning.",
    )
    names: Literal["normalised", "original"] = Field(
        default="normalised",
        description="'normalised': lower case, a-z 0-9 and _ only; the original becomes the "
        "column's comment. 'original' keeps the names of the files.",
    )

    @field_validator("mode")
    @classmethod
    def _other_modes_come_later(cls, value: str) -> str:
        if value != "evolve":
            raise unsupported(value)
        return value

    @property
    def types(self) -> dict[str, str]:
        """The types of both kinds of hints."""
        return {**self.optional_hints, **self.hints}

    @model_validator(mode="after")
    def _hints_name_a_column_once(self) -> "Schema":
        seen: dict[str, str] = {}
        for key, hints in (("hints", self.hints), ("optional_hints", self.optional_hints)):
            for name, sql_type in hints.items():
                other = seen.setdefault(name.lower(), name)
                repeated = other == name and key == "optional_hints" and name in self.hints
                if repeated or self.types[other] != sql_type:
                    raise KeyFault(f"repeats the hint '{other}'; keep one of them", key, name)
        return self

    @field_validator("hints", "optional_hints")
    @classmethod
    def _are_types(cls, value: dict[str, str]) -> dict[str, str]:
        for column, sql_type in value.items():
            try:
                check_sql_type(sql_type)
            except ValueError as error:
                raise KeyFault(str(error), column) from None
        return value


class Partition(SpecModel):
    """Which Dagster partition a file belongs to; it becomes the column _partition_key."""

    by: Literal["path", "modified_time", "none"] = Field(
        default="modified_time",
        description="'path' reads it from the file's path by the pattern, 'modified_time' takes "
        "the file's time, 'none' makes an asset without partitions. A path keeps the partition of "
        "its first version: a later version, with a later time, goes to it too.",
    )
    pattern: str | None = Field(
        default=None,
        description="For by: path. A glob on the path below url with {yyyy} {MM} {dd} {HH} for "
        "times, or one {name} for a key: '{MM}-{dd}-{yyyy}.csv', 'region={region}/**'.",
    )
    every: Literal["hour", "day", "week", "month"] = Field(
        default="day", description="The length of a time partition. A week begins on Monday."
    )
    start: Day | None = Field(
        default=None,
        description="A day in the first partition, which is the whole week or month around it; an "
        "older file is held. Default 2000-01-01, for hours 2020-01-01. At the earliest 1900-01-01, "
        "for hours 2000-01-01; at the latest 2199-12-31.",
    )
    timezone: Timezone = Field(
        default="UTC", description="Where days begin. Hourly partitions are in UTC only."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Partition":
        if self.by == "path" and not self.pattern:
            raise KeyFault("is missing; partition.by: path needs it", "pattern")
        if self.by != "path" and self.pattern:
            raise KeyFault(f"belongs to partition.by: path, and this is by: {self.by}", "pattern")
        if self.start and not self.earliest <= self.start <= LATEST:
            raise KeyFault(
                f"'{self.start}' is not from {self.earliest} to {LATEST}, where partitions by "
                f"{self.every} can begin",
                "start",
            )
        if self.every == "hour" and self.timezone != "UTC":
            raise KeyFault(
                "hourly partitions are in UTC only, because local time has one hour twice a year",
                "timezone",
            )
        if self.pattern:
            try:
                PathPattern(self.pattern, self.every)
            except ValueError as error:
                raise KeyFault(str(error), "pattern") from None
        return self

    @cached_property
    def path_pattern(self) -> PathPattern:
        """The compiled pattern of ``by: path``."""
        if self.pattern is None:
            raise ValueError("there is no pattern")
        return PathPattern(self.pattern, self.every)

    @property
    def kind(self) -> Literal["time", "key", "none"]:
        """Whether the partitions are time windows, named keys, or there are none."""
        if self.by == "none":
            return "none"
        if self.by == "path" and self.path_pattern.key_name:
            return "key"
        return "time"

    @property
    def earliest(self) -> date:
        """The earliest day that ``start`` can be."""
        return EARLIEST_HOUR if self.every == "hour" else EARLIEST

    @property
    def first_day(self) -> date:
        """``start`` with its default."""
        return self.start or date(2020 if self.every == "hour" else 2000, 1, 1)


class Table(SpecModel):
    """The Iceberg table."""

    name: str = Field(
        description="catalog.namespace.table, for example lake.health.covid_daily. The embedded "
        "catalog is called lake."
    )
    partition_by: tuple[str, ...] = Field(
        default=("_partition_key",),
        description="Iceberg partitioning: columns or transforms such as days(event_time) or "
        "bucket(16, id). Used when the table is made. Empty by default for partition.by: none.",
    )
    sort_by: tuple[str, ...] = Field(
        default=(), description="Sort order. Not supported yet.", json_schema_extra=LATER
    )
    properties: dict[str, Text] = Field(
        default_factory=dict, description="Iceberg table properties, set when the table is made."
    )
    mode: Literal["append", "merge", "overwrite"] = Field(
        default="append",
        description="How rows go in. Only 'append' is supported yet.",
        json_schema_extra=only("append"),
    )
    shared: bool = Field(
        default=False, description="Other specs write this table too, and say so as well."
    )

    @field_validator("name")
    @classmethod
    def _has_three_parts(cls, value: str) -> str:
        parts = value.split(".")
        if len(parts) < 3 or not all(IDENTIFIER.fullmatch(part) for part in parts):
            raise ValueError(
                f"'{value}' is not catalog.namespace.table in lower-case letters, digits and _"
            )
        return value

    @field_validator("mode")
    @classmethod
    def _other_modes_come_later(cls, value: str) -> str:
        if value != "append":
            raise unsupported(value)
        return value

    @field_validator("partition_by")
    @classmethod
    def _are_partition_fields(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_partition_by(value)
        return value

    @field_validator("properties")
    @classmethod
    def _can_be_set(cls, value: dict[str, str]) -> dict[str, str]:
        check_entries(value, check_property)
        return value

    @field_validator("sort_by")
    @classmethod
    def _sort_comes_later(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            raise unsupported(list(value))
        return value
