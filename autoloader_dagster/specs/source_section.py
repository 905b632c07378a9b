"""The keys of the section ``source`` that every kind of source has."""

import re
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from autoloader_dagster.specs.registry import source_of_address
from autoloader_dagster.specs.section import LATER, SpecModel, unsupported
from autoloader_dagster.specs.values import Day, check_glob


class SourceSection(SpecModel):
    """The section ``source`` of any kind; each kind adds its keys.

    Attributes:
        credentials: What an address of this kind looks like that holds a user name or password.
        type: The kind, a name in ``autoloader_dagster.specs.registry``.
    """

    credentials: ClassVar[re.Pattern[str]] = re.compile(r"(?s)[^/]*://.*@")

    # Any, because each kind narrows it to its own name.
    type: Any

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
        "which quarantines it for a person to look at.",
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

    @property
    def named_connection(self) -> str | None:
        """The connection in ``_connections.yaml`` that it names; None if it names none."""
        return None

    @field_validator("url")
    @classmethod
    def _holds_no_credentials(cls, value: str) -> str:
        # The address itself is not repeated: it would carry the password into the logs.
        kind = source_of_address(value)
        credentials = kind.section.credentials if kind else SourceSection.credentials
        if credentials.match(value):
            raise ValueError(
                "it contains a user name or password; take it out and name a connection"
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
