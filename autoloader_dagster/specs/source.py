"""The section ``source``: where the files are, and which of them are taken."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from autoloader_dagster.specs.section import LATER, SpecModel, unsupported
from autoloader_dagster.specs.values import Day, check_glob, check_path, shown_url


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
        json_schema_extra=LATER,
    )
    after_load: Any = Field(
        default="keep",
        description="What becomes of a loaded file. Only 'keep' is supported yet.",
        json_schema_extra=LATER,
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
            raise unsupported(value)
        return value

    @field_validator("after_load")
    @classmethod
    def _after_load_comes_later(cls, value: Any) -> Any:
        if value != "keep":
            raise unsupported(value)
        return value


class LocalSource(SourceBase):
    """A folder that this machine and the Spark server both see."""

    type: Literal["local"] = Field(description="A local or mounted folder.")

    @field_validator("url")
    @classmethod
    def _is_a_folder(cls, value: str) -> str:
        if value.startswith(("s3://", "s3a://")):
            raise ValueError(f"'{shown_url(value)}' is an S3 address; use source.type: s3")
        if "://" in value:
            raise ValueError(
                f"'{shown_url(value)}' is an address, and type: local reads a folder such as "
                "/data/in or ../data"
            )
        check_path(value)
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
