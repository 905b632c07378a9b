"""Copies for Spark in a bucket, for clusters that do not see the folders of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from autoloader_dagster.errors import SourceError, UsageError
from autoloader_dagster.sources.s3.client import Patience, S3Access
from autoloader_dagster.sources.s3.connection import ResolvedS3Connection
from autoloader_dagster.sources.s3.errors import S3Place, told_as_source_errors

# A store takes at most 10,000 parts, and at most 5 GB in one.
_PART_BYTES = 64 * 2**20
_MAX_PARTS = 10_000
# The most that one call removes.
_AT_ONCE = 1_000
_HINT = (
    "Check AUTOLOADER_STAGING and AUTOLOADER_STAGING_CONNECTION. The credentials need "
    "s3:PutObject, s3:GetObject, s3:DeleteObject and s3:ListBucket there. The files wait for the "
    "next run."
)


@dataclass(frozen=True)
class _StagingPlace(S3Place):
    def __str__(self) -> str:
        endpoint = f" at {self.endpoint}" if self.endpoint else ""
        connection = f"connection '{self.connection}'" if self.connection else "no connection"
        return f"{self.address}{endpoint} (AUTOLOADER_STAGING, {connection})"


class S3CopyStore:
    """A prefix of a bucket.

    Args:
        url: ``s3://bucket/prefix/``.
        connection: Endpoint and credentials; None for the SDK's own defaults.
        part_bytes: A larger file is sent in parts of this size.
    """

    def __init__(
        self,
        url: str,
        connection: ResolvedS3Connection | None,
        part_bytes: int = _PART_BYTES,
    ) -> None:
        self._bucket, _, self._prefix = url.partition("://")[2].partition("/")
        self._connection = connection
        self._part_bytes = part_bytes
        self.address = f"s3a://{self._bucket}/{self._prefix}"

    def put(self, folder: str, path: Path) -> str:
        """Send a file; see ``CopyStore.put``."""
        key = f"{self._prefix}{folder}/{path.name}"
        size = path.stat().st_size
        with self._errors(key) as client:
            if size <= self._part_bytes:
                with path.open("rb") as body:
                    client.put_object(Bucket=self._bucket, Key=key, Body=body)
            else:
                self._put_in_parts(client, key, path, size)
            stored = client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
        if stored != size:
            raise UsageError(
                f"the copy s3://{self._bucket}/{key} has {stored:,} bytes, and {size:,} were sent",
                "Check the object store, and whether another program writes below "
                "AUTOLOADER_STAGING. The files wait for the next run.",
            )
        return f"s3a://{self._bucket}/{key}"

    def remove(self, folder: str) -> None:
        """Remove what is in a folder; see ``CopyStore.remove``."""
        with self._errors(f"{self._prefix}{folder}/") as client:
            keys = [each["Key"] for each in self._list(client, f"{self._prefix}{folder}/")]
            for first in range(0, len(keys), _AT_ONCE):
                objects = [{"Key": key} for key in keys[first : first + _AT_ONCE]]
                client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
                )

    def folders(self) -> Iterator[tuple[str, float]]:
        """See ``CopyStore.folders``."""
        with self._errors(self._prefix) as client:
            listed = list(self._list(client, self._prefix))
        # A store lists keys in their order.
        for name, objects in groupby(listed, lambda each: self._folder_of(each["Key"])):
            if name:
                yield name, max(each["LastModified"].timestamp() for each in objects)

    def spark_options(self) -> dict[str, str]:
        """See ``CopyStore.spark_options``."""
        with self._errors(self._prefix):
            return self._access.spark_options(self._bucket)

    def _folder_of(self, key: str) -> str:
        folder, _, name = key[len(self._prefix) :].partition("/")
        return folder if name else ""

    def _list(self, client: Any, prefix: str) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            answer = client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, **token)
            yield from answer.get("Contents", [])
            if not answer.get("IsTruncated"):
                return
            token = {"ContinuationToken": answer["NextContinuationToken"]}

    def _put_in_parts(self, client: Any, key: str, path: Path, size: int) -> None:
        place = {"Bucket": self._bucket, "Key": key}
        length = max(self._part_bytes, -(-size // _MAX_PARTS))
        upload = client.create_multipart_upload(**place)["UploadId"]
        try:
            parts = []
            with path.open("rb") as file:
                while block := file.read(length):
                    number = len(parts) + 1
                    answer = client.upload_part(
                        **place, UploadId=upload, PartNumber=number, Body=block
                    )
                    parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            client.complete_multipart_upload(
                **place, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            # A store keeps the parts, and asks money for them, until they are given up.
            client.abort_multipart_upload(**place, UploadId=upload)
            raise

    @cached_property
    def _access(self) -> S3Access:
        return S3Access(self._connection, Patience())

    @contextmanager
    def _errors(self, key: str) -> Iterator[Any]:
        """The SDK's client for the block, whose errors are told as ``UsageError``."""
        connection = self._connection
        place = _StagingPlace(
            address=f"s3://{self._bucket}/{key}",
            endpoint=(connection.endpoint_url if connection else None) or "",
            connection=connection.name if connection else None,
            spec="",
        )
        try:
            with told_as_source_errors(place):
                yield self._access.client
        except SourceError as error:
            raise UsageError(f"copies for Spark cannot be kept: {error.what}", _HINT) from error
