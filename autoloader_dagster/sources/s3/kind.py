"""S3 as a kind of source: the section ``source`` and what the rest asks of the kind."""

import re
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from autoloader_dagster.sources.base import Refused, SourceKind
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.s3.connection import ResolvedS3Connection, S3Connection
from autoloader_dagster.sources.s3.source import S3FileSource
from autoloader_dagster.specs.source_section import SourceSection
from autoloader_dagster.specs.tenants import Fence, TenantRules
from autoloader_dagster.specs.values import shown_url


class S3Source(SourceSection):
    """A prefix in an S3 bucket, or in any store that speaks S3."""

    # No bucket's name holds : or @, but a password may hold slashes, and a key may hold both.
    credentials: ClassVar[re.Pattern[str]] = re.compile(r"s3a?://[^/]*[:@]")

    type: Literal["s3"] = Field(description="Amazon S3 or a store that speaks its protocol.")
    connection: str | None = Field(
        default=None,
        description="A name in _connections.yaml; without it the AWS SDK's default credentials.",
    )

    @property
    def named_connection(self) -> str | None:
        return self.connection

    @field_validator("url")
    @classmethod
    def _is_s3_url(cls, value: str) -> str:
        if not re.match(r"s3a?://[^/]+", value):
            raise ValueError(
                f"'{shown_url(value)}' is not an S3 address; write it like 's3://bucket/prefix/'"
            )
        return re.sub(r"^s3a://", "s3://", value)


class S3(SourceKind[S3Source]):
    """A prefix of a bucket, or one object."""

    section = S3Source
    connection = S3Connection
    schemes = ("s3", "s3a")
    dagster_kind = "s3"

    def refused(self, section: S3Source, file: Path, rules: TenantRules) -> Refused | None:
        if rules.may_read_bucket(section.url):
            return None
        return Refused(f"read '{section.url}'", "buckets")

    def open(
        self,
        section: S3Source,
        chosen: FileFilter,
        spec: str,
        connection: ResolvedS3Connection | None,
        fence: Fence | None,
    ) -> S3FileSource:
        return S3FileSource(section.url, chosen, spec, connection)


SOURCE = S3()
