"""The ingestion spec: what may stand in one YAML file, with its defaults and its meaning.

The descriptions are the reference: editors show them through ``ingestion_specs/schema.json``.
What a spec may say one day but this version does not do is refused by name, never ignored.
"""

import re
from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from autoloader_dagster.specs.cron import check_cron
from autoloader_dagster.specs.path_pattern import PathPattern
from autoloader_dagster.specs.values import (
    IDENTIFIER,
    ByteSize,
    Character,
    Day,
    Duration,
    Text,
    Timezone,
    check_glob,
    check_owner,
    check_partition_field,
    check_sql_type,
    check_tag,
    shown_url,
)

# In the JSON schema: a key that comes later is left out, and choices that come later are, too.
_LATER: dict[str, Any] = {"x-later": True}


def _only(*choices: str) -> dict[str, Any]:
    return {"x-supported": list(choices)}


class KeyFault(ValueError):
    """What is wrong with one key, found by a check that looks at its whole section.

    Attributes:
        message: What is wrong.
        path: The keys from the section to the one to blame.
    """

    def __init__(self, message: str, *path: str) -> None:
        self.message = message
        self.path = path
        super().__init__(f"{'.'.join(path)}: {message}")


def _unsupported(value: object) -> ValueError:
    shown = f"{value} " if isinstance(value, (str, int, float)) else ""
    return ValueError(f"{shown}is not supported yet")


class SpecModel(BaseModel):
    """Base of every part of a spec: unknown keys are errors and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# --- source ---------------------------------------------------------------------------------


class SourceBase(SpecModel):
    """What every kind of source has."""

    url: str = Field(
        description="Where the files are: a bucket and prefix (s3://landing/covid/) or a folder. "
        "A relative folder is relative to the folder of the spec file."
    )
    include: tuple[str, ...] = Field(
        default=("**",),
        min_length=1,
        description="Globs on the path below url; a file is taken if one matches. "
        "* stays inside one folder, ** crosses folders, and ? [] {a,b} work as in a shell.",
    )
    exclude: tuple[str, ...] = Field(
        default=("**/_SUCCESS", "**/_temporary/**", "**/.*.crc", "**/.DS_Store"),
        description="Globs on the path below url; a file is left out if one matches. "
        "The default leaves out what writers and desktops leave beside the data.",
    )
    modified_after: Day | None = Field(
        default=None, description="Files last changed before this day (UTC) are left out."
    )
    on_change: Literal["ignore", "append", "replace", "fail"] = Field(
        default="ignore",
        description="What to do when a file that was loaded comes again with other content: "
        "ignore it; append the new content; replace the old rows in the same commit; or fail, "
        "which sets it aside for a person to look at.",
    )
    ready: Any = Field(
        default=None,
        description="When a file counts as complete. Not supported yet.",
        json_schema_extra=_LATER,
    )
    after_load: Any = Field(
        default="keep",
        description="What becomes of a loaded file. Only 'keep' is supported yet.",
        json_schema_extra=_LATER,
    )

    @field_validator("url")
    @classmethod
    def _holds_no_credentials(cls, value: str) -> str:
        # The address itself is not repeated: it would carry the password into the logs. No bucket's
        # name holds : or @, and a password may hold slashes.
        if re.match(r"s3a?://[^/]*[:@]|(?!s3a?:)[^/]*://.*@", value):
            raise ValueError(
                "a user name or password stands in it; take it out and name a connection"
            )
        if not value.strip():
            raise ValueError("is empty")
        return value

    @field_validator("include", "exclude")
    @classmethod
    def _are_globs_below_url(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for glob in value:
            check_glob(glob)
        return value

    @field_validator("ready")
    @classmethod
    def _ready_comes_later(cls, value: Any) -> Any:
        if value is not None:
            raise _unsupported(value)
        return value

    @field_validator("after_load")
    @classmethod
    def _after_load_comes_later(cls, value: Any) -> Any:
        if value != "keep":
            raise _unsupported(value)
        return value


class LocalSource(SourceBase):
    """A folder that this machine and the Spark server both see."""

    type: Literal["local"] = Field(description="A local or mounted folder.")

    @field_validator("url")
    @classmethod
    def _is_a_folder(cls, value: str) -> str:
        if "://" in value:
            raise ValueError(
                f"'{shown_url(value)}' is an address, and type: local reads a folder such as "
                "/data/in or ../data"
            )
        return value


class S3Source(SourceBase):
    """A prefix in an S3 bucket, or in any store that speaks S3."""

    type: Literal["s3"] = Field(description="Amazon S3 or a store that speaks its protocol.")
    connection: str | None = Field(
        default=None,
        description="A name in _connections.yaml; without it the AWS SDK's default credentials.",
    )

    @field_validator("url")
    @classmethod
    def _is_s3_url(cls, value: str) -> str:
        if not re.match(r"s3a?://[^/]+", value):
            raise ValueError(
                f"'{shown_url(value)}' is not an S3 address; write it like 's3://bucket/prefix/'"
            )
        return re.sub(r"^s3a://", "s3://", value)


UNSUPPORTED_SOURCES = ("azure", "gcs", "sftp", "ftp")
Source = Annotated[LocalSource | S3Source, Field(discriminator="type")]


# --- format ---------------------------------------------------------------------------------


class CsvOptions(SpecModel):
    """How a CSV file is written."""

    header: bool = Field(
        default=True,
        description="Whether the first row holds the column names. Without it the columns are "
        "column_1, column_2, … by position.",
    )
    delimiter: Character = Field(default=",", min_length=1, description="Between two values.")
    quote: Character = Field(
        default='"', description="Around a value; empty where nothing is quoted."
    )
    escape: Character = Field(
        default='"',
        description="Before a quote inside a quoted value; a doubled quote (RFC 4180) by default.",
    )
    encoding: Literal["utf-8", "iso-8859-1", "us-ascii", "utf-16", "utf-16le", "utf-16be"] = Field(
        default="utf-8", description="The files' character encoding."
    )
    multiline: Literal["auto", True, False] = Field(
        default="auto",
        description="Whether a quoted value may hold line breaks. 'auto' looks into every file, "
        "which reads it once more; say true or false for very large files.",
    )
    null_values: tuple[Text, ...] = Field(
        default=("",), description="Cells that mean 'no value', for example ['', 'NA']."
    )
    timestamp_formats: tuple[str, ...] = Field(
        default=(),
        description="Further date and time patterns to try (Spark's letters), for example "
        "'M/d/yyyy H:mm'.",
    )
    comment: Character | None = Field(
        default=None, min_length=1, description="Lines that begin with this sign are left out."
    )

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> "CsvOptions":
        for key, sign in (
            ("quote", self.quote),
            ("escape", self.escape),
            ("comment", self.comment),
        ):
            if sign and sign == self.delimiter:
                raise KeyFault(f"is the delimiter too ({sign!r}); they must differ", key)
        for name, sign in (("quote", self.quote), ("escape", self.escape)):
            if self.comment and self.comment == sign:
                raise KeyFault(f"is the {name} too ({sign!r}); they must differ", "comment")
        return self


class CsvFormat(SpecModel):
    """Delimited text."""

    type: Literal["csv"] = Field(description="Comma- or otherwise delimited text.")
    options: CsvOptions = Field(default=CsvOptions(), description="How the files are written.")


class JsonOptions(SpecModel):
    """How a JSON file is laid out."""

    layout: Literal["auto", "lines", "document"] = Field(
        default="auto",
        description="'lines': one record a line. 'document': the whole file is one value, an "
        "array of records or one record. 'auto' looks into each file.",
    )
    record_path: str | None = Field(
        default=None,
        description="Where a document keeps its records, for example 'Records' (CloudTrail) or "
        "'data.items'. Implies layout: document.",
    )
    timestamp_formats: tuple[str, ...] = Field(
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


class JsonFormat(SpecModel):
    """JSON lines or JSON documents."""

    type: Literal["json"] = Field(description="JSON lines or JSON documents.")
    options: JsonOptions = Field(default=JsonOptions(), description="How the files are laid out.")


class ParquetFormat(SpecModel):
    """Apache Parquet."""

    type: Literal["parquet"] = Field(description="Apache Parquet.")


UNSUPPORTED_FORMATS = ("avro", "orc", "xml", "text", "binary")
Format = Annotated[CsvFormat | JsonFormat | ParquetFormat, Field(discriminator="type")]


# --- schema, partition, table -----------------------------------------------------------------


class Schema(SpecModel):
    """How the table's columns follow the files."""

    mode: Literal["evolve", "approve", "rescue", "strict", "ignore"] = Field(
        default="evolve",
        description="What a new column in a file does. 'evolve' adds it to the table; the other "
        "modes are not supported yet.",
        json_schema_extra=_only("evolve"),
    )
    hints: dict[str, str] = Field(
        default_factory=dict,
        description="Spark SQL types for some columns, by table column name or original name, "
        "for example {fips: string, price: 'decimal(18,2)'}.",
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
            raise _unsupported(value)
        return value

    @field_validator("hints")
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
        "the file's time, 'none' makes an asset without partitions.",
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
        description="The first day with a partition; an older file is held. Default 2000-01-01, "
        "for hours 2020-01-01.",
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
        if self.every == "hour" and self.timezone != "UTC":
            raise KeyFault(
                "hourly partitions are in UTC only, for a local clock has one hour twice a year",
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
        default=(), description="Sort order. Not supported yet.", json_schema_extra=_LATER
    )
    properties: dict[str, Text] = Field(
        default_factory=dict, description="Iceberg table properties, set when the table is made."
    )
    mode: Literal["append", "merge", "overwrite"] = Field(
        default="append",
        description="How rows go in. Only 'append' is supported yet.",
        json_schema_extra=_only("append"),
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
            raise _unsupported(value)
        return value

    @field_validator("partition_by")
    @classmethod
    def _are_partition_fields(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            check_partition_field(entry)
        return value

    @field_validator("sort_by")
    @classmethod
    def _sort_comes_later(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            raise _unsupported(list(value))
        return value


# --- trigger, batch, errors -------------------------------------------------------------------


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
    """When files are loaded without a hand; without a trigger only by hand."""

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
        "fit goes to _rescued. 'quarantine': a file with more than max_bad_rows of them is set "
        "aside whole.",
    )
    max_bad_rows: int = Field(
        default=0,
        strict=True,
        ge=0,
        description="Bad rows that a file may hold before the bad_rows check warns (rescue) or "
        "the file is set aside (quarantine).",
    )
    bad_file: Literal["quarantine", "fail"] = Field(
        default="quarantine",
        description="'quarantine': a bad file is set aside with its reason, the rest is loaded "
        "and a check warns. 'fail': the same, and the check is an error.",
    )
    retries: int = Field(
        default=3,
        strict=True,
        ge=0,
        description="How often a failed file is tried again before quarantine.",
    )


# --- the spec ---------------------------------------------------------------------------------


class IngestionSpec(SpecModel):
    """One source of files and the table they become."""

    version: Literal[1] = Field(default=1, description="Version of this format.")
    name: str = Field(
        default="", description="Name of the ingestion. Default: the file's name without .yaml."
    )
    description: str = Field(default="", description="What the table holds, for people.")
    status: Literal["draft", "active", "paused"] = Field(
        default="active",
        description="'active': loaded by its triggers. 'draft' and 'paused': by hand only.",
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
        description="Checks of one's own. Not supported yet.",
        json_schema_extra=_LATER,
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
        for key, text in value.items():
            try:
                check_tag(key, text)
            except ValueError as error:
                raise KeyFault(str(error), key) from None
        return value

    @field_validator("checks")
    @classmethod
    def _checks_come_later(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if value:
            raise _unsupported(list(value))
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
