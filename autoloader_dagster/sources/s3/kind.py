"""S3 as a kind of source: the section ``source`` and what the rest asks of the kind."""

import re
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from autoloader_dagster.sources.base import Refused, SourceKind
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.jar import Jar
from autoloader_dagster.sources.s3.connection import ResolvedS3Connection, S3Connection
from autoloader_dagster.sources.s3.copies import S3CopyStore
from autoloader_dagster.sources.s3.source import S3FileSource
from autoloader_dagster.specs.source_section import SourceSection
from autoloader_dagster.specs.tenants import Fence, TenantRules
from autoloader_dagster.specs.values import shown_url

_JARS = (
    # S3A of the Hadoop that is in Spark. Its AWS SDK comes from Iceberg's bundle (69 MB, not the
    # 640 MB of Amazon's own), which leaves out the two parts that follow; all are of one version.
    Jar(
        "org.apache.hadoop:hadoop-aws:3.4.2",
        "d2d24e6b715b5656b9d238bf13b6682a07e2004dd36aad74a73aeb854319f4d9",
        936_997,
    ),
    Jar(
        "org.apache.iceberg:iceberg-aws-bundle:1.12.0",
        "dd7e49ffa4ac9b215bed846581991259e3aec9bb2fa08d6cec029c46cd66d957",
        69_034_612,
    ),
    Jar(
        "software.amazon.awssdk:s3-transfer-manager:2.54.17",
        "7bef0ea4efd5e0860bab63e08317040951edb51b72a5be734284c28b8324ab87",
        282_942,
    ),
    Jar(
        "software.amazon.awssdk:apache-client:2.54.17",
        "0b00ae3d55c3d1213ca47b5651dc4c2a0080fc9b6192dde3d53c3da6c1811bcb",
        77_826,
    ),
)


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
    hadoop_conf: ClassVar = {"fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem"}
    jars = _JARS

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

    def copy_store(self, url: str, connection: ResolvedS3Connection | None) -> S3CopyStore:
        return S3CopyStore(url, connection)


SOURCE = S3()
